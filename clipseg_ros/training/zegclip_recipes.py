# SPDX-License-Identifier: Apache-2.0
"""The trainings of the ZegCLIP paper, one frozen recipe each (Zhou et al., CVPR 2023), and ours on tabletop scenes.

The settings are those of github.com/ZiqinZhou66/ZegCLIP, configs/, with which the published weights were made; those of
Pascal Context are the paper's, since the code has none. Where the two differ we follow the code: docs/zegclip.md lists
the differences, and what of the ablations neither says.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from clipseg_ros.models.zegclip import Shape
from clipseg_ros.training.schedule import Schedule
from clipseg_ros.training.zegclip_views import Views

SOURCES = "clipseg_ros.training.zegclip_sources:"


@dataclass(frozen=True)
class Recipe:
    """One training.

    about: the rows it made. source: the opener of the examples, as module:function, see zegclip_sources. setting: of
    zegclip_task.SETTINGS; transductive and self-training start from the first half of the inductive `schedule` and go
    on for `further`. shape: of prompts and decoder; without prompt_layers there are none. tower: CLIP's vision tower
    learns too. loss: of zegclip_losses.LOSSES. templates: as engine zegclip takes them. clip: weights of the CLIP.
    """

    name: str
    about: str
    source: str = f"{SOURCES}voc"
    setting: str = "inductive"
    shape: Shape = Shape()
    tower: bool = False
    loss: str = "focal+dice"
    templates: str = "single"
    schedule: Schedule = Schedule(
        steps=20_000, learning_rate=2e-4, final_rate=1e-6, warm_up=1_500, power=0.9, warm_up_from=1e-6, amp=False
    )
    further: Schedule | None = None
    batch: int = 16
    views: Views = Views()
    clip: str = "openai/clip-vit-base-patch16"


VOC = Recipe("zegclip-voc", "ZegCLIP, inductive, VOC 2012, of Table 2")
COCO = replace(
    VOC, name="zegclip-coco", about="ZegCLIP, inductive, COCO-Stuff 164K, of Table 2", source=f"{SOURCES}coco",
    shape=Shape(prompts=100), templates="multi", schedule=replace(VOC.schedule, steps=80_000),
)
CONTEXT = replace(
    VOC, name="zegclip-context", about="ZegCLIP, inductive, Pascal Context, of Table 2", source=f"{SOURCES}context",
    shape=Shape(prompts=35), templates="multi", schedule=replace(VOC.schedule, steps=40_000),
)
TOWERS = {  # Table 5's baselines: what is done to CLIP's vision tower
    "Fix": {"shape": {"prompt_layers": ()}, "tower": False},
    "FT": {"shape": {"prompt_layers": ()}, "tower": True},
    "DPT": {"shape": {}, "tower": False},
}
DESIGNS = {  # and what is added to them: the non-mutually-exclusive loss and the relationship descriptor
    "": ("exclusive", "t"),
    "-nel": ("focal+dice", "t"),
    "-rd": ("exclusive", "t*g,t"),
    "-nel-rd": ("focal+dice", "t*g,t"),
}
DESCRIPTORS = {  # Table 4's rows
    "text": "t", "product": "t*g", "distance": "|t-g|", "difference": "t-g", "sum": "t+g", "text-image": "t,g",
    "difference-text": "t-g,t", "product-sum": "t*g,t+g", "sum-text": "t+g,t", "product-difference": "t*g,t-g",
    "product-distance-text": "t*g,|t-g|,t",
}
DEPTHS = ((1, 1), (1, 3), (1, 6), (1, 9), (10, 12), (7, 12), (4, 12))  # Table 8's rows but the published one
COUNTS = (1, 5, 10, 20, 35, 50, 100)  # Figure 6 prints no numbers: these are ours


def designed(recipe: Recipe, tower: str, design: str, row: str) -> Recipe:
    """A row of Table 5 on another data set's recipe; the last has the recipe's own numbers."""
    loss, descriptor = DESIGNS[design]
    shape = replace(recipe.shape, descriptor=descriptor, **TOWERS[tower]["shape"])
    return replace(
        recipe, name=f"{recipe.name}-{tower.lower()}{design}", shape=shape, tower=TOWERS[tower]["tower"], loss=loss,
        about=f"Baseline-{tower}{design.upper().replace('-', ' + ')}{row}",
    )


def _settings(recipe: Recipe) -> list[Recipe]:
    """The rows of Table 2."""
    title = recipe.about.split(", ")[2]
    # Half of the inductive schedule, as the authors' for VOC (10k of 20k) and COCO (40k of 80k).
    further = replace(recipe.schedule, steps=recipe.schedule.steps // 2)
    rows = (("st", "self-training", "ZegCLIP+ST"), ("transductive", "transductive", "†ZegCLIP+ST"))
    return [
        recipe,
        *(
            replace(recipe, name=f"{recipe.name}-{end}", setting=setting, further=further,
                    about=f"{row}, {title}, of Table 2")
            for end, setting, row in rows
        ),
        replace(recipe, name=f"{recipe.name}-full", setting="full",
                about=f"ZegCLIP, fully supervised, {title}, of Table 2"),
    ]


def _designs(recipe: Recipe) -> list[Recipe]:
    rows = [designed(recipe, tower, design, ", of Table 5") for tower in TOWERS for design in DESIGNS]
    return [row for row in rows if row.name != f"{recipe.name}-dpt-nel-rd"]  # which is the recipe itself


def _ablations() -> list[Recipe]:
    """Tables 4, 6, 8, 9 and Figure 6."""

    def shaped(name: str, about: str, recipe: Recipe = VOC, **changes: object) -> Recipe:
        return replace(recipe, name=f"{recipe.name}-{name}", about=about, shape=replace(recipe.shape, **changes))

    return [
        *(shaped(f"query-{name}", f"[{terms}] of Table 4", descriptor=terms) for name, terms in DESCRIPTORS.items()),
        *(replace(one, name=f"{one.name}-binary", loss="binary", about=f"{one.name[8:]} plain of Table 6")
          for one in (VOC, COCO, CONTEXT)),
        *(shaped(f"layers-{first}-{last}", f"layers {first} to {last} of Table 8",
                 prompt_layers=tuple(range(first - 1, last))) for first, last in DEPTHS),
        *(replace(one, name=f"{one.name}-single", templates="single", about=f"{one.name[8:]} single of Table 9")
          for one in (COCO, CONTEXT)),
        *(shaped(f"prompts-{count}", f"{count} prompts, of Figure 6", recipe, prompts=count)
          for recipe in (VOC, COCO) for count in COUNTS if count != recipe.shape.prompts),
    ]


TABLETOP = Recipe(
    "tabletop-zegclip", "rendered scenes", source=f"{SOURCES}scenes", templates="{}", batch=12,
    shape=Shape(prompts=8, prompt_layers=tuple(range(6)), heads=4, hidden=512, side=224), views=Views(side=112),
    # A tower that learns does so at a tenth of the rate, which is its own.
    schedule=Schedule(
        steps=1_000, learning_rate=3e-3, final_rate=1e-5, warm_up=100, power=0.9, warm_up_from=1e-6,
        groups=(("^(vision|projection)", 0.1, 1.0),),
    ),
    clip="build/train/captions/clip",
)


def _tabletop() -> list[Recipe]:
    """Rows as Table 5's, on the demo recipe's own CLIP, and the last one self-trained."""
    rows = (("FT", ""), ("DPT", ""), ("DPT", "-nel"), ("DPT", "-rd"), ("DPT", "-nel-rd"))
    found = [designed(TABLETOP, *row, ", on rendered tabletop scenes") for row in rows]
    further = replace(TABLETOP.schedule, steps=TABLETOP.schedule.steps // 2)
    return [*found, replace(
        found[-1], name=f"{found[-1].name}-transductive", about=f"{found[-1].about}, self-trained",
        setting="transductive", further=further,
    )]


RECIPES = {
    recipe.name: recipe
    for recipe in (
        *(one for recipe in (VOC, COCO, CONTEXT) for one in _settings(recipe)), *_designs(VOC), *_designs(COCO),
        *_ablations(), *_tabletop(),
    )
}

# SPDX-License-Identifier: Apache-2.0
"""The trainings of the OVSeg paper, one frozen recipe each (Liang et al., CVPR 2023); each starts where `clip` says.

    ovseg-swinb, ovseg-r101c     mask proposals on COCO-Stuff; their CLIP stays as OpenAI published it
    ovseg-pairs-1 to -4          mask-category pairs, the rows of Table 2; trains nothing
    ovseg-clip-*                 the CLIP learns the pairs: (b) of Table 3 on proposals
    ovseg-prompts-*              the mask prompts alone learn them: (a) of Table 3, or after ovseg-clip-* its (c)
    ovseg-joint-*                both at once
    tabletop-ovseg*              the rows of Table 3 in small, on rendered scenes and the demo's CLIP

The settings are those of github.com/facebookresearch/ov-seg (CC BY-NC 4.0, as its weights are; nothing of it is used
here). Where the paper differs we follow the code: the prompts' rate is 5e-2 there, 2e-2 in the paper; batches of CLIP
are 4 x 32 (ViT-L/14) and 4 x 128 (ViT-B/16), 256 in the paper. The smaller model's pictures are 256 to 1024 pixels
here: the code's file forgets them, and would take detectron2's 800.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from clipseg_ros.engines.ovseg_settings import TEMPLATES
from clipseg_ros.models.maskformer import ProposalShape
from clipseg_ros.training.ovseg_pictures import Cropping
from clipseg_ros.training.schedule import Schedule

NO_DECAY = r"norm|queries|relative_position_bias_table|\.fpn\.(stem|layers\.\d\.(proj|block))\.1\."
"""Of a proposal network: norms (the pyramid's have no name of their own), queries, Swin's tables."""
CLIP_NO_DECAY = r"norm|bias$|class_embedding|logit_scale"
"""Of a CLIP: norms, and all that is no matrix."""


@dataclass(frozen=True)
class ProposalRecipe:
    """A proposal network on COCO-Stuff.

    about: what it made. clip: weights whose texts name the classes; an OVSeg's own network is gone on with. backbone:
    weights of a Swin to start from, in transformers' format, a folder or a hub model; "": none. frozen: a regular
    expression for the parameters that do not learn. form: of the label files, raw or train_ids; scenes: rendered
    tabletop scenes in place of COCO-Stuff. templates: sentences around a class. clip_side: that the CLIP's cut-outs get
    in pixels, 0 for its own.
    """

    name: str
    about: str
    clip: str
    shape: ProposalShape
    cropping: Cropping
    schedule: Schedule
    batch: int = 32
    backbone: str = ""
    frozen: str = ""
    form: str = "raw"
    templates: tuple[str, ...] = TEMPLATES["vild"]
    clip_side: int = 0


@dataclass(frozen=True)
class PairRecipe:
    """Mask-category pairs. clip: an OVSeg, whose proposals are cut out and whose CLIP finds the nouns. source: of
    ovseg_pairs.SOURCES. side, threshold: of the picture and of the masks' probabilities."""

    name: str
    about: str
    clip: str
    source: str
    side: int = 640
    threshold: float = 0.4
    form: str = "raw"


@dataclass(frozen=True)
class CutOutRecipe:
    """A CLIP, its mask prompts or both on pairs. learn: of ovseg_task.LEARNED. epochs: over the pairs, which make the
    schedule's steps where it has none. template: the sentence around a word. scenes: cut-outs of rendered tabletop
    scenes in place of a folder's."""

    name: str
    about: str
    clip: str
    learn: tuple[str, ...]
    schedule: Schedule
    batch: int
    epochs: int = 5
    prompt_depth: int = 3
    template: str = "{}"
    scenes: bool = False


Recipe = ProposalRecipe | PairRecipe | CutOutRecipe

SWIN_B = ProposalRecipe(
    "ovseg-swinb", "OVSeg's proposals, Swin-B on COCO-Stuff-171", "openai/clip-vit-large-patch14", ProposalShape(),
    Cropping(),
    Schedule(120_000, 6e-5, warm_up=1_500, weight_decay=0.01, power=0.9, warm_up_from=1e-6, clip=0.01, amp=False,
             groups=((NO_DECAY, 1.0, 0.0),)),
    backbone="microsoft/swin-base-patch4-window12-384-in22k",
)
R101C = replace(
    SWIN_B, name="ovseg-r101c", about="OVSeg's proposals, R101c on COCO-Stuff-171", clip="openai/clip-vit-base-patch16",
    shape=ProposalShape(backbone="resnet_c", depths=(3, 4, 23, 3), vector_size=512),
    cropping=Cropping(512, tuple(512 * tenths // 10 for tenths in range(5, 21)), 2048),
    schedule=replace(SWIN_B.schedule, learning_rate=2e-4, weight_decay=1e-4,
                     groups=((r"^backbone\.", 0.1, 1.0), (NO_DECAY, 1.0, 0.0))),
    backbone="", frozen=r"^backbone\.(stem|stages\.0)\.",
)
TABLE_2 = {
    "1": "true masks, names of their classes", "2": "true masks, nouns of one caption",
    "3": "proposals, nouns of one caption", "4": "proposals, nouns of five captions",
}
TOWER = Schedule(
    0, 5e-6, warm_up=100, weight_decay=0.2, beta2=0.98, epsilon=1e-6, groups=((CLIP_NO_DECAY, 1.0, 0.0),)
)
PROMPTS = replace(TOWER, learning_rate=5e-2, weight_decay=0.0, groups=())
STAGES = {  # what learns, its schedule, depth of the prompts, what it makes
    "clip": (("tower",), TOWER, 0, "(b) of Table 3"),
    "prompts": (("prompts",), PROMPTS, 3, "(a) of Table 3; after ovseg-clip-{} its (c)"),
    # Rates for both at once are not given: each has its own.
    "joint": (
        ("tower", "prompts"), replace(TOWER, groups=((r"^prompts\.", 1e4, 0.0), *TOWER.groups)), 3,
        "CLIP and mask prompts at once",
    ),
}


def _cut_outs(model: str, clip: str, batch: int) -> list[CutOutRecipe]:
    return [
        CutOutRecipe(f"ovseg-{stage}-{model}", f"OVSeg's CLIP on pairs: {about.format(model)}", clip, learn,
                     schedule, batch, prompt_depth=depth)
        for stage, (learn, schedule, depth, about) in STAGES.items()
    ]


TABLETOP = ProposalRecipe(
    "tabletop-ovseg", "OVSeg's proposals on rendered tabletop scenes; its CLIP is the demo's: baseline of Table 3",
    "build/train/captions/clip",
    ProposalShape(
        width=32, depths=(2, 2, 2, 2), heads=(1, 2, 4, 8), window=4, drop_path=0.0, features=64, decoder_width=64,
        decoder_layers=3, decoder_heads=4, decoder_hidden=256, queries=16, vector_hidden=128,
    ),
    Cropping(), Schedule(1_500, 1e-3, warm_up=50, clip=1.0), batch=8, form="scenes",
    templates=TEMPLATES["plain"], clip_side=64,
)
_SCENES = Schedule(150, 2e-4, warm_up=10, weight_decay=0.2, beta2=0.98, epsilon=1e-6)
_SCENE_PROMPTS = replace(_SCENES, learning_rate=1e-2, weight_decay=0.0)


def _tabletop() -> list[Recipe]:
    """Rows as Table 3's on rendered scenes; the baseline is where (a) and (b) start."""
    base, full = (f"build/train/{name}/model" for name in (TABLETOP.name, f"{TABLETOP.name}-clip"))
    rows = (
        ("prompts", "(a), mask prompts alone", base, ("prompts",), _SCENE_PROMPTS, 3),
        ("clip", "(b), the whole tower", base, ("tower",), _SCENES, 0),
        ("clip-prompts", "(c), mask prompts after (b)", full, ("prompts",), _SCENE_PROMPTS, 3),
    )
    return [TABLETOP, *(
        CutOutRecipe(f"{TABLETOP.name}-{name}", f"{about}, as Table 3's on rendered tabletop scenes", clip, learn,
                     schedule, batch=64, prompt_depth=depth, scenes=True)
        for name, about, clip, learn, schedule, depth in rows
    )]


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        SWIN_B, R101C,
        *(PairRecipe(f"ovseg-pairs-{row}", f"({row}) of Table 2: {words}", "build/train/ovseg-swinb/model", row)
          for row, words in TABLE_2.items()),
        *_cut_outs("l", "build/train/ovseg-swinb/model", 4 * 32),
        *_cut_outs("b", "build/train/ovseg-r101c/model", 4 * 128), *_tabletop(),
    )
}

# SPDX-License-Identifier: Apache-2.0
"""Every number of a training run on the tabletop scenes, one frozen instance a run."""

from __future__ import annotations

from dataclasses import dataclass, replace

from clipseg_ros.evaluation.tabletop import TESTS, VALIDATION
from clipseg_ros.training.schedule import Schedule


@dataclass(frozen=True)
class Lessons:
    """What masks teach: a step sees `batch` pictures and `prompts` prompts each, a share `mixed` of which mixes its
    text with a support. The loss is the mask's cross-entropy plus `dice` times Dice and `presence` times the
    cross-entropy of being there at all."""

    schedule: Schedule
    batch: int
    prompts: int
    mixed: float
    presence: float
    dice: float = 1.0


_MASKS = Lessons(
    Schedule(steps=1_200, learning_rate=1e-3, final_rate=1e-5, warm_up=50, clip=1.0),
    batch=12, prompts=4, mixed=0.25, presence=0.5,
)


@dataclass(frozen=True)
class Recipe:
    """A small CLIPSeg from scratch on rendered tabletop scenes: the paper's two stages, and two more.

    Network: input_side: of the square with as many pixels as a camera's picture is resized to, aspect kept; side: of
    the cut-outs of such pictures that it learns from; patch in pixels; width / depth / heads / feed-forward of the
    vision tower, blocks read by the decoder (from 0), width / feed-forward of the decoder, width / depth of the text
    tower, size of a prompt's vector.
    Data: `scenes` rendered from seed first_seed on, without what is held out; scenes of the seeds `validation` choose
    the threshold, those of `tests` give the printed numbers.
    Stage `captions`: both towers learn which captions fit whole scenes, patches and object views. For view_steps they
    see views_alone object views of view_side pixels a step, from which kinds are learned soonest; then a step sees
    `batch` cut-outs of scenes, of which a share `share` of the patches near objects, since the rest is table, with
    `phrases` captions each, of which a share `absent` does not fit; and `views` object views.
    Stage `masks`: the towers are frozen, the decoder learns from the first `examples` scenes; a share `absent` of the
    prompts is not to be seen.
    Stage `joint`, which the paper lacks, None for none: the towers learn from masks, too, for so small a CLIP tells
    things apart better than it tells where they end. So that a thing is known in a colour that it was never seen in, a
    share `colourless` of its pictures lose colour, in a share `repainted` all things get hues without a name, and
    neither is asked for colours; `additive` weighs the loss that keeps the vectors of a colour and an object a sum of
    both, over `squares` of four such texts a step (see additive_loss). So that a trait finds a thing that it was never
    shown with, `traits` weighs the loss that draws its vector to the mean of its kinds' (see union_loss), and a share
    `unions` of the prompts are means of a few random kinds, whose masks are all of theirs.
    Stage `texts`, after joint: a fresh text tower learns the vectors of the one that joint taught (see texts).
    clip: a folder that stage captions wrote, by an earlier run, say, whose towers are taken in its place.
    Comparisons: `engine` names the decoder (clipseg, clip-deconv, vitseg; vitseg's own vision tower learns kinds and
    colours in place of captions), `groups` the phrases that masks are taught with, None for all.
    """

    name: str
    engine: str = "clipseg"
    groups: tuple[str, ...] | None = None
    clip: str | None = None

    side: int = 160
    patch: int = 8
    input_side: int = 240
    width: int = 128
    depth: int = 6
    heads: int = 4
    feed_forward: int = 512
    extract_layers: tuple[int, ...] = (1, 3, 5)
    reduce_dim: int = 64
    decoder_feed_forward: int = 256
    text_width: int = 128
    text_depth: int = 2
    vector: int = 128

    scenes: int = 14_000
    first_seed: int = 0
    validation: range = VALIDATION
    tests: range = TESTS

    captions: Schedule = Schedule(
        steps=6_500, learning_rate=1e-3, warm_up=200, weight_decay=0.05, beta2=0.98, muon=0.02, clip=1.0
    )
    batch: int = 24
    share: float = 0.28
    phrases: int = 6
    views: int = 10
    view_side: int = 64
    view_steps: int = 2_500
    views_alone: int = 32
    absent: float = 0.4

    examples: int = 3_500
    masks: Lessons = _MASKS

    joint: Lessons | None = Lessons(
        Schedule(
            steps=20_000, learning_rate=6e-4, final_rate=1e-5, warm_up=100, weight_decay=0.05, beta2=0.98, clip=1.0,
            restarts=((14_000, 3e-4),),  # the second curve takes affordances from an IoU of 0.66 to 0.71
            groups=((r"^clip", 0.5, 1.0),), bfloat16=True,
        ),
        batch=10, prompts=3, mixed=0.15, presence=0.25,
    )
    colourless: float = 0.13
    repainted: float = 0.32
    additive: float = 2.0
    squares: int = 24
    traits: float = 0.3
    unions: float = 0.3

    texts: Schedule = Schedule(
        steps=3_000, learning_rate=1e-3, warm_up=20, weight_decay=3.0, beta2=0.98, groups=((r"bias|norm", 1.0, 0.0),)
    )

    @property
    def grid(self) -> int:
        """Side of the grid of patches."""
        return self.side // self.patch

    @property
    def output(self) -> int:
        """Side of the logits in pixels: CLIPSeg's refined head enlarges the grid twice by a quarter of the patch."""
        return self.grid * (self.patch // 4) ** 2


_SMOKE = Recipe(
    "demo-smoke", side=96, patch=8, input_side=128, width=64, depth=2, heads=2, feed_forward=128,
    extract_layers=(0, 1), reduce_dim=32, text_width=64, text_depth=1, vector=64,
    scenes=8, validation=VALIDATION[:4], tests=TESTS[:4], view_side=48,
    captions=Schedule(steps=2, learning_rate=1e-3, muon=0.02), batch=4, views=4, view_steps=1, views_alone=6,
    masks=Lessons(Schedule(steps=2, learning_rate=1e-3), batch=2, prompts=3, mixed=0.25, presence=0.5),
    joint=Lessons(Schedule(steps=2, learning_rate=1e-3), batch=2, prompts=2, mixed=0.25, presence=0.5),
    texts=Schedule(steps=2, learning_rate=1e-3),
)

_RECIPES = (
    Recipe("demo", masks=replace(_MASKS, schedule=replace(_MASKS.schedule, steps=300))),  # a start for stage joint
    Recipe("demo-frozen", joint=None),  # the paper's two stages, which the comparisons keep to
    Recipe("demo-objects", groups=("object", "colour"), joint=None),
    Recipe("demo-clip-deconv", "clip-deconv", joint=None),
    Recipe("demo-vitseg", "vitseg", joint=None),
    _SMOKE,
    replace(_SMOKE, name="demo-smoke-clip-deconv", engine="clip-deconv", groups=("object", "colour"), joint=None),
    replace(_SMOKE, name="demo-smoke-vitseg", engine="vitseg", joint=None),
)
RECIPES = {recipe.name: recipe for recipe in _RECIPES}

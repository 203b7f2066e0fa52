# SPDX-License-Identifier: Apache-2.0
"""Every number of a training run, one frozen instance a run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """A small CLIPSeg from scratch on rendered tabletop scenes.

    Network: side and patch in pixels, width / depth / heads / feed-forward of the vision tower, blocks read by the
    decoder (from 0), width / feed-forward of the decoder, width / depth of the text tower, size of a prompt's vector.
    Data: number of rendered scenes and the seed of the first; validation scenes choose the threshold, test scenes
    give the printed numbers.
    `views` pictures are rendered of each scene, from different places of the camera's path.
    Schedule: AdamW; `tower_steps` in which the two towers learn alone what patches show and which phrases fit them,
    looking at a share `tower_share` of the patches near objects, since the rest is table; then `steps` with masks,
    too. The rate warms up linearly, stays while the towers are alone, then falls on a cosine to final_rate. `batch`
    pictures a step and `phrases` a picture, of which a share `absent` is not to be seen, and of which the first
    `prompts` get a mask.
    Losses: cross-entropy of the mask, `dice`, and `patches` for what patches show and which phrases fit (see losses).
    """

    side: int = 192
    patch: int = 16
    width: int = 192
    depth: int = 6
    heads: int = 6
    feed_forward: int = 768
    extract_layers: tuple[int, ...] = (1, 3, 5)
    reduce_dim: int = 64
    decoder_feed_forward: int = 256
    text_width: int = 128
    text_depth: int = 2
    vector: int = 128

    scenes: int = 14_000
    views: int = 1
    first_seed: int = 0
    validation_scenes: int = 200
    validation_seed: int = 10_000_000
    test_scenes: int = 500
    test_seed: int = 20_000_000

    seed: int = 0
    tower_steps: int = 11_200
    tower_share: float = 0.35
    steps: int = 6_000
    batch: int = 16
    phrases: int = 16
    prompts: int = 6
    absent: float = 0.4
    learning_rate: float = 8e-4
    final_rate: float = 1e-5
    warm_up: int = 200
    weight_decay: float = 0.05
    dice: float = 1.0
    patches: float = 0.3

    @property
    def grid(self) -> int:
        """Side of the grid of patches."""
        return self.side // self.patch

    @property
    def output(self) -> int:
        """Side of the logits in pixels: CLIPSeg's refined head enlarges the grid twice by a quarter of the patch."""
        return self.grid * (self.patch // 4) ** 2

    def validation(self) -> range:
        """Seeds of the scenes that choose the threshold."""
        return range(self.validation_seed, self.validation_seed + self.validation_scenes)

    def tests(self) -> range:
        """Seeds of the scenes that are measured."""
        return range(self.test_seed, self.test_seed + self.test_scenes)


RECIPES = {
    "demo": Recipe(),
    "demo-smoke": Recipe(
        side=96, width=64, depth=2, heads=2, feed_forward=128, extract_layers=(0, 1), reduce_dim=32, text_width=64,
        text_depth=1, vector=64, scenes=8, validation_scenes=4, test_scenes=4,
        tower_steps=2, steps=2, batch=4, warm_up=1,
    ),
}

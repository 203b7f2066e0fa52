# SPDX-License-Identifier: Apache-2.0
"""ResNet with a deep stem, as detectron2's R101c: OVSeg's smaller backbone, which transformers does not have.

Three convolutions of 3 x 3 instead of one of 7 x 7, the stride in each block's 3 x 3, dilations of 1, 2 and 4 in the
last stage (He et al., CVPR 2016; Chen et al., DeepLabv3, 2017), and batch norms that never change.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

STEM, WIDTH, GROWTH = 64, 64, 4
GRID = (1, 2, 4)  # dilations of the blocks of the last stage
EPSILON = 1e-5


@dataclass(frozen=True, eq=False)
class Features:
    """feature_maps: (B, C, h / s, w / s) at strides s of 4, 8, 16 and 32."""

    feature_maps: tuple[torch.Tensor, ...]


class FrozenNorm(nn.Module):
    """A batch norm whose mean, deviation, scale and shift are buffers: the same in training."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, h, w) of x, the same."""
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=EPSILON)


class Conv(nn.Sequential):
    """A convolution without bias and its norm; sides stay, but for the stride."""

    def __init__(self, given: int, made: int, size: int, stride: int = 1, dilation: int = 1) -> None:
        padding = dilation * (size // 2)
        conv = nn.Conv2d(given, made, size, stride, padding, dilation, bias=False)
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        super().__init__(conv, FrozenNorm(made))


class Bottleneck(nn.Module):
    """Three convolutions beside a shortcut."""

    def __init__(self, given: int, width: int, stride: int, dilation: int) -> None:
        super().__init__()
        made = GROWTH * width
        self.conv1 = Conv(given, width, 1)
        self.conv2 = Conv(width, width, 3, stride, dilation)
        self.conv3 = Conv(width, made, 1)
        self.shortcut = Conv(given, made, 1, stride) if given != made or stride > 1 else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 4 width, h / stride, w / stride) of x (B, C, h, w)."""
        deep = self.conv3(F.relu(self.conv2(F.relu(self.conv1(x)))))
        return F.relu(deep + self.shortcut(x))


class ResNetC(nn.Module):
    """depths: blocks a stage, (3, 4, 23, 3) in R101c. Raises ValueError for another number of stages than 4."""

    def __init__(self, depths: tuple[int, ...]) -> None:
        super().__init__()
        if len(depths) != 4:
            raise ValueError(f"depths {depths}: expected 4 stages, such as (3, 4, 23, 3)")
        self.channels = tuple(GROWTH * WIDTH * 2**stage for stage in range(4))
        self.stem = nn.ModuleList([Conv(3, STEM, 3, stride=2), Conv(STEM, STEM, 3), Conv(STEM, 2 * STEM, 3)])
        self.stages = nn.ModuleList(_stage(stage, depth) for stage, depth in enumerate(depths))

    def forward(self, pixels: torch.Tensor) -> Features:
        """Of pixels (B, 3, h, w), normalised."""
        x = pixels
        for conv in self.stem:
            x = F.relu(conv(x))
        x, maps = F.max_pool2d(x, 3, 2, 1), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return Features(tuple(maps))


def _stage(index: int, depth: int) -> nn.Sequential:
    """Stage `index`, from 0, of `depth` blocks; the first block halves the sides, but in stage 0."""
    width = WIDTH * 2**index
    given = 2 * STEM if index == 0 else GROWTH * width // 2
    blocks = []
    for block in range(depth):
        dilation = GRID[block % len(GRID)] if index == 3 else 1
        stride = 2 if block == 0 and index > 0 else 1
        blocks.append(Bottleneck(given if block == 0 else GROWTH * width, width, stride, dilation))
    return nn.Sequential(*blocks)

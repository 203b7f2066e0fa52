# SPDX-License-Identifier: Apache-2.0
"""ResNet with a deep stem: strides, dilations, norms that stay, and a block by hand."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from clipseg_ros.models.resnet_c import Bottleneck, FrozenNorm, ResNetC


def test_features_come_at_strides_of_4_8_16_and_32() -> None:
    maps = ResNetC((1, 1, 1, 1)).eval()(torch.randn(1, 3, 64, 96)).feature_maps
    assert [tuple(one.shape) for one in maps] == [
        (1, 256, 16, 24), (1, 512, 8, 12), (1, 1024, 4, 6), (1, 2048, 2, 3)
    ]


def test_the_published_depths_have_the_parameters_of_a_resnet_101_and_the_deep_stem() -> None:
    """torchvision's ResNet-101 has 44,549,160: 2,049,000 in its classes, 105,344 in norms, 9,408 in its stem."""
    with torch.device("meta"):
        network = ResNetC((3, 4, 23, 3))
    stem = 9 * (3 * 64 + 64 * 64 + 64 * 128)
    # The first block reads 128 channels instead of 64, in conv1 and in the shortcut.
    assert sum(weight.numel() for weight in network.parameters()) == 42_385_408 + stem + 64 * (64 + 256)


def test_stride_and_dilation_stand_in_the_3_x_3() -> None:
    network = ResNetC((1, 2, 1, 3))
    first, second = network.stages[1]
    assert first.conv1[0].stride == (1, 1) and first.conv2[0].stride == (2, 2) == first.shortcut[0].stride
    assert second.conv2[0].stride == (1, 1) and isinstance(second.shortcut, torch.nn.Identity)
    assert [block.conv2[0].dilation[0] for block in network.stages[3]] == [1, 2, 4]
    assert [block.conv2[0].stride[0] for block in network.stages[3]] == [2, 1, 1]


def test_a_block_is_three_convolutions_beside_its_shortcut() -> None:
    torch.manual_seed(0)
    block, x = Bottleneck(8, 4, stride=2, dilation=2), torch.randn(1, 8, 6, 6)
    convs = [getattr(block, f"conv{index}")[0].weight for index in (1, 2, 3)]
    scale = (1.0 + 1e-5) ** -0.5  # of a norm with mean 0, variance 1, scale 1, shift 0
    deep = F.relu(F.conv2d(x, convs[0]) * scale)
    deep = F.relu(F.conv2d(deep, convs[1], stride=2, padding=2, dilation=2) * scale)
    deep = F.conv2d(deep, convs[2]) * scale
    torch.testing.assert_close(block(x), F.relu(deep + F.conv2d(x, block.shortcut[0].weight, stride=2) * scale))


def test_norms_never_change() -> None:
    norm = FrozenNorm(2).train()
    norm.weight.copy_(torch.tensor([2.0, 3.0]))
    norm.bias.fill_(1.0)
    norm.running_mean.fill_(4.0)
    norm.running_var.fill_(4.0)
    found = norm(torch.full((1, 2, 1, 1), 6.0))
    torch.testing.assert_close(found.flatten(), torch.tensor([3.0, 4.0]), atol=1e-4, rtol=0)
    assert norm.running_mean[0] == 4.0 and not list(norm.parameters())


def test_other_numbers_of_stages_are_refused() -> None:
    with pytest.raises(ValueError, match=r"depths \(3, 4\): expected 4 stages"):
        ResNetC((3, 4))

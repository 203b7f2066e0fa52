# SPDX-License-Identifier: Apache-2.0
"""An example from two messages."""

from __future__ import annotations

import numpy as np
import pytest
from sensor_msgs.msg import Image

from clipseg_ros.ros.conversions import BadImage, image_to_ros
from clipseg_ros.ros.support_input import support_from_ros
from clipseg_ros.segmentation import Frame, PromptError

PICTURE = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


def message(array: np.ndarray, encoding: str) -> Image:
    return image_to_ros(array, encoding, Frame(PICTURE))


def test_the_example_is_where_the_mask_is_not_0() -> None:
    mask = np.zeros((4, 6), np.uint8)
    mask[1, 2], mask[3, 5] = 1, 255
    support = support_from_ros(message(PICTURE, "rgb8"), message(mask, "mono8"))
    np.testing.assert_array_equal(support.image, PICTURE)
    np.testing.assert_array_equal(support.mask, mask > 0)


def test_the_example_outlives_its_message() -> None:
    image = message(PICTURE, "rgb8")
    support = support_from_ros(image, message(np.full((4, 6), 255, np.uint8), "mono8"))
    image.data[0] = 77
    assert support.image[0, 0, 0] == 0


@pytest.mark.parametrize(
    "mask, encoding, error, reason",
    [
        (np.zeros((4, 6, 3), np.uint8), "rgb8", BadImage, "encoding 'rgb8' of seg_support/mask: expected mono8"),
        (np.ones((3, 6), np.uint8), "mono8", PromptError, r"support mask of shape \(3, 6\)"),
        (np.zeros((4, 6), np.uint8), "mono8", PromptError, "support mask is empty"),
    ],
)
def test_a_bad_mask_is_refused(mask: np.ndarray, encoding: str, error: type, reason: str) -> None:
    with pytest.raises(error, match=reason):
        support_from_ros(message(PICTURE, "rgb8"), message(mask, encoding))

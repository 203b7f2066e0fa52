# SPDX-License-Identifier: Apache-2.0
"""Examples to search for: seg_support/image and seg_support/mask, paired by their stamps.

    seg_support/image   sensor_msgs/Image in any encoding of the camera; one without pixels clears the examples
    seg_support/mask    sensor_msgs/Image mono8 of the same size: the example is where it is not 0
                        both reliable, volatile, depth 10
"""

from __future__ import annotations

from collections.abc import Callable

from rclpy.node import Node
from sensor_msgs.msg import Image

from clipseg_ros.ros import qos
from clipseg_ros.ros.conversions import BadImage, frame_from_ros
from clipseg_ros.ros.pairing import pair
from clipseg_ros.segmentation import Support


class SupportInput:
    """Calls `callback` with an image and its mask, or with an empty image and None; slop: seconds between stamps."""

    def __init__(self, node: Node, slop: float, callback: Callable[[Image, Image | None], None]) -> None:
        self._callback = callback
        self._pair_image, pair_mask = pair(slop, callback)
        node.create_subscription(Image, "seg_support/image", self._on_image, **qos.overridable(qos.QUERY))
        node.create_subscription(Image, "seg_support/mask", pair_mask, **qos.overridable(qos.QUERY))

    def _on_image(self, image: Image) -> None:
        if image.height == 0 or image.width == 0:
            self._callback(image, None)
        else:
            self._pair_image(image)


def support_from_ros(image: Image, mask: Image) -> Support:
    """The example. Raises BadImage for messages that cannot be read, PromptError for an empty mask or another size."""
    if mask.encoding != "mono8":
        raise BadImage(f"encoding {mask.encoding!r} of seg_support/mask: expected mono8, not 0 where the example is")
    return Support(frame_from_ros(image).image.copy(), frame_from_ros(mask).image[..., 0] > 0)

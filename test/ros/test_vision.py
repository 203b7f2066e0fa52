# SPDX-License-Identifier: Apache-2.0
"""Labels and boxes as messages of vision_msgs, which comes with a ROS 2 installation and is no wheel of PyPI."""

from __future__ import annotations

import numpy as np
import pytest

from clipseg_ros.masks import Component
from clipseg_ros.queries import Entry, Query
from clipseg_ros.ros import vision
from clipseg_ros.ros.conversions import header_of
from clipseg_ros.segmentation import Frame, Prompt, Support

pytestmark = pytest.mark.skipif(not vision.INSTALLED, reason="vision_msgs is no wheel of PyPI")
FRAME = Frame(np.zeros((2, 3, 3), np.uint8), 7_000_000_005, "optical")
MUG = Entry(200, Query(Prompt("red mug", label="mug")))
EXAMPLE = Entry(254, Query(Prompt(support=Support(np.zeros((2, 2, 3), np.uint8), np.ones((2, 2), bool)))))


def test_label_info_names_every_value_of_the_labels() -> None:
    info = vision.label_info_to_ros([MUG, EXAMPLE], 0.25, FRAME)
    assert info.header == header_of(FRAME) and info.threshold == 0.25
    names = {label.class_id: label.class_name for label in info.class_map}
    assert names == {0: "background", 200: "mug", 254: EXAMPLE.prompt.name}


def test_a_detection_has_the_box_the_text_the_score_and_the_id() -> None:
    message = vision.detections_to_ros([(MUG, Component(0.75, 6, 3, 10, 2, 5))], FRAME)
    (detection,) = message.detections
    assert message.header == detection.header == header_of(FRAME)
    assert (detection.bbox.center.position.x, detection.bbox.center.position.y) == (4.0, 12.5)
    assert (detection.bbox.size_x, detection.bbox.size_y, detection.bbox.center.theta) == (2.0, 5.0, 0.0)
    (result,) = detection.results
    assert (result.hypothesis.class_id, result.hypothesis.score, detection.id) == ("red mug", 0.75, "200")


def test_an_example_is_detected_by_its_name() -> None:
    (detection,) = vision.detections_to_ros([(EXAMPLE, Component(1.0, 1, 0, 0, 1, 1))], FRAME).detections
    assert detection.results[0].hypothesis.class_id == EXAMPLE.prompt.name


def test_nothing_found_is_a_message_too() -> None:
    assert vision.detections_to_ros([], FRAME).detections == []

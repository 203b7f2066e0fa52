# SPDX-License-Identifier: Apache-2.0
"""Labels and boxes as vision_msgs has them; that package is no wheel of PyPI, so the topics appear where it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from clipseg_ros.masks import Component
from clipseg_ros.queries import Entry
from clipseg_ros.ros.conversions import header_of
from clipseg_ros.segmentation import Frame

try:
    from vision_msgs.msg import (
        BoundingBox2D,
        Detection2D,
        Detection2DArray,
        LabelInfo,
        ObjectHypothesis,
        ObjectHypothesisWithPose,
        VisionClass,
    )
except ImportError:
    INSTALLED = False
else:
    INSTALLED = True

BACKGROUND = "background"


def label_info_to_ros(entries: Sequence[Entry], threshold: float, frame: Frame) -> LabelInfo:
    """What the values of ~/labels mean: 0 is background, the others are the entries' labels."""
    names = {0: BACKGROUND, **{entry.id: entry.prompt.name for entry in entries}}
    classes = [VisionClass(class_id=id_, class_name=name) for id_, name in names.items()]
    return LabelInfo(header=header_of(frame), class_map=classes, threshold=threshold)


def detections_to_ros(found: Iterable[tuple[Entry, Component]], frame: Frame) -> Detection2DArray:
    """One detection a component: class_id the query's text, score the mean, id that of the query.

    The box is that of the pixels' outer edges: one pixel at column 3 has its centre at x = 3.5 and size 1.
    """
    detections = [_detection(entry, component, frame) for entry, component in found]
    return Detection2DArray(header=header_of(frame), detections=detections)


def _detection(entry: Entry, component: Component, frame: Frame) -> Detection2D:
    hypothesis = ObjectHypothesis(class_id=entry.prompt.text or entry.prompt.name, score=component.score)
    box = BoundingBox2D(size_x=float(component.width), size_y=float(component.height))
    box.center.position.x = component.x + component.width / 2
    box.center.position.y = component.y + component.height / 2
    result = ObjectHypothesisWithPose(hypothesis=hypothesis)
    return Detection2D(header=header_of(frame), results=[result], bbox=box, id=str(entry.id))

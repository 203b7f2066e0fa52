# SPDX-License-Identifier: Apache-2.0
"""The node's topics with results, made only for those who listen.

Publishes, with the header of the source image
    ~/mask, ~/labels, ~/score, ~/overlay, ~/masks, ~/scores, ~/confidence
                          sensor_msgs/Image: mono8 0/255 of any prompt; mono8 ids; 32FC1, the highest score of all;
                          rgb8; mono8 0/255, one image a prompt, stacked by rows in the order of ~/active_queries;
                          32FC(N) in that order, at `scores_scale`; mono8, 255 times the labelled prompt's score
    ~/overlay/compressed, ~/mask/compressed, ~/labels/compressed
                          sensor_msgs/CompressedImage as image_transport has it: JPEG; PNG; PNG
    ~/camera_info         sensor_msgs/CameraInfo: that of the source image
    ~/points              sensor_msgs/PointCloud2 x y z rgb label: the labelled pixels that have depth, thinned
    ~/target              geometry_msgs/PointStamped: the middle of the largest component of the best prompt
    ~/target_size         geometry_msgs/Vector3Stamped: how far it reaches along x, y and z of the optical frame
    ~/detections          vision_msgs/Detection2DArray where that is installed: a box a component
                          all reliable, volatile, keep last 1
    ~/label_info          vision_msgs/LabelInfo where that is installed, latched, before the first image with new ids
The best prompt has the highest mean score in its own mask. The two target topics are silent where nothing was found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from geometry_msgs.msg import PointStamped, Vector3Stamped
from rclpy.lifecycle import LifecycleNode
from rclpy.utilities import get_rmw_implementation_identifier
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

from clipseg_ros import surfaces
from clipseg_ros.ros import qos, spatial, vision
from clipseg_ros.ros.answer import Answer
from clipseg_ros.ros.conversions import BadImage, compressed_to_ros, header_of, image_to_ros
from clipseg_ros.ros.shared_memory import SizeWatch, segment_size

Message = object  # any of the types named above
WARNING_PERIOD = 5.0  # s

_PICTURES: dict[str, tuple[type, Callable[[Answer], Message]]] = {
    "mask": (Image, lambda answer: image_to_ros(answer.mask, "mono8", answer.frame)),
    "labels": (Image, lambda answer: image_to_ros(answer.labels, "mono8", answer.frame)),
    "score": (Image, lambda answer: image_to_ros(answer.result.score, "32FC1", answer.frame)),
    "overlay": (Image, lambda answer: image_to_ros(answer.overlay, "rgb8", answer.frame)),
    "masks": (Image, lambda answer: image_to_ros(answer.stack, "mono8", answer.frame)),
    "scores": (Image, lambda answer: image_to_ros(answer.channels, f"32FC{len(answer.entries)}", answer.frame)),
    "confidence": (Image, lambda answer: image_to_ros(answer.confidence, "mono8", answer.frame)),
    "overlay/compressed": (CompressedImage, lambda answer: compressed_to_ros(answer.overlay, "rgb8", answer.frame)),
    "mask/compressed": (CompressedImage, lambda answer: compressed_to_ros(answer.mask, "mono8", answer.frame)),
    "labels/compressed": (CompressedImage, lambda answer: compressed_to_ros(answer.labels, "mono8", answer.frame)),
}
_SPATIAL = {"camera_info": CameraInfo, "points": PointCloud2, "target": PointStamped, "target_size": Vector3Stamped}
LABEL_INFO, DETECTIONS = "label_info", "detections"


class Outputs:
    """Publishers under `base`, as in ~/mask for "~"; silent while the node is not active."""

    def __init__(self, node: LifecycleNode, base: str) -> None:
        self._node = node
        self._watch = SizeWatch(segment_size(get_rmw_implementation_identifier()))
        types = {**{topic: kind for topic, (kind, _) in _PICTURES.items()}, **_SPATIAL}
        if vision.INSTALLED:
            types[DETECTIONS] = vision.Detection2DArray
            self._told = vision.LabelInfo()
            self._labels = node.create_lifecycle_publisher(
                vision.LabelInfo, f"{base}/{LABEL_INFO}", **qos.overridable(qos.LATCHED)
            )
        self._topics = {
            topic: node.create_lifecycle_publisher(kind, _name(node, base, topic), **qos.overridable(qos.OUTPUT))
            for topic, kind in types.items()
        }

    def wanted(self) -> tuple[str, ...]:
        """The topics that somebody listens to."""
        return tuple(topic for topic, publisher in self._topics.items() if publisher.get_subscription_count())

    def messages(self, answer: Answer) -> Iterator[dict[str, Message]]:
        """What the wanted topics get: first the pictures, then what may have to wait for camera_info and depth."""
        wanted = self.wanted()
        first: dict[str, Message] = {}
        if vision.INSTALLED:
            threshold = answer.settings.threshold or answer.result.threshold
            first[LABEL_INFO] = vision.label_info_to_ros(answer.entries, threshold, answer.frame)
        first.update((topic, _PICTURES[topic][1](answer)) for topic in wanted if topic in _PICTURES)
        if DETECTIONS in wanted:
            first[DETECTIONS] = vision.detections_to_ros(answer.detections, answer.frame)
        yield first
        if not _SPATIAL.keys().isdisjoint(wanted):
            yield self._spatial(answer, wanted)

    def publish(self, messages: dict[str, Message]) -> None:
        """Send what `messages` made; label_info only where it is news."""
        for topic, message in messages.items():
            if topic == LABEL_INFO:
                self._tell_labels(message)
                continue
            self._topics[topic].publish(message)
            if isinstance(message, Image):
                complaint = self._watch.complaint(self._topics[topic].topic_name, len(message.data))
                if complaint is not None:
                    self._node.get_logger().warning(complaint)

    def _tell_labels(self, info: Message) -> None:
        if (info.class_map, info.threshold) != (self._told.class_map, self._told.threshold):
            self._labels.publish(info)
            self._told = info

    def _spatial(self, answer: Answer, wanted: tuple[str, ...]) -> dict[str, Message]:
        info, messages = answer.belongings.info, {}
        if info is None:
            return messages
        if "camera_info" in wanted:
            info.header = header_of(answer.frame)  # within sync_slop: listeners pair it with the mask exactly
            messages["camera_info"] = info
        try:
            messages.update(_located(answer, info, wanted))
        except (BadImage, spatial.BadCalibration) as error:
            self._node.get_logger().warning(f"no points, no target: {error}", throttle_duration_sec=WARNING_PERIOD)
        return messages


def _located(answer: Answer, info: CameraInfo, wanted: tuple[str, ...]) -> dict[str, Message]:
    """The messages with places in metres, none without depth. Raises BadImage, BadCalibration."""
    image, frame = answer.frame.image, answer.frame
    message = answer.belongings.depth if {"points", "target", "target_size"}.intersection(wanted) else None
    if message is None:
        return {}
    intrinsics = spatial.intrinsics_from_ros(info, image.shape[:2])
    depth = spatial.depth_from_ros(message, image.shape[:2])
    messages: dict[str, Message] = {}
    if "points" in wanted:
        seen = surfaces.surface(answer.labels > 0, depth, intrinsics)
        labels = answer.labels.ravel()[seen.pixels]
        kept = surfaces.thinned(seen.points, labels, answer.settings.point_spacing)
        colours = image.reshape(-1, 3)[seen.pixels[kept]]
        messages["points"] = spatial.points_to_ros(seen.points[kept], colours, labels[kept], frame)
    if {"target", "target_size"}.isdisjoint(wanted):
        return messages
    target = surfaces.locate(answer.target, depth, intrinsics)
    if target is not None and "target" in wanted:
        messages["target"] = spatial.target_to_ros(target, frame)
    if target is not None and "target_size" in wanted:
        messages["target_size"] = spatial.target_size_to_ros(target, frame)
    return messages


def _name(node: LifecycleNode, base: str, topic: str) -> str:
    """A compressed topic follows the remaps of the one that it is beside, as image_transport has it."""
    raw, slash, suffix = topic.partition("/")
    return f"{node.resolve_topic_name(f'{base}/{raw}')}{slash}{suffix}" if slash else f"{base}/{topic}"

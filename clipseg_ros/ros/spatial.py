# SPDX-License-Identifier: Apache-2.0
"""Depth and calibration messages -> arrays; points and targets -> messages."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import Point, PointStamped, Vector3, Vector3Stamped
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField

from clipseg_ros.ros.conversions import BadImage, header_of
from clipseg_ros.segmentation import Frame
from clipseg_ros.surfaces import Target

DEPTH_ENCODINGS = {"32FC1": "f4", "16UC1": "u2", "mono16": "u2"}
# As PCL has it: four bytes of colour, blue first, in the place of a float; so RViz and PointXYZRGBL take them.
POINT = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("rgb", "<u4"), ("label", "<u4")])
_FIELD_TYPES = {**dict.fromkeys(("x", "y", "z", "rgb"), PointField.FLOAT32), "label": PointField.UINT32}


class BadCalibration(ValueError):
    """A camera_info that gives no intrinsics for the image; the message says why."""


def depth_from_ros(message: Image, size: tuple[int, int]) -> np.ndarray:
    """(H, W) float32 metres along the optical axis, NaN where a 16-bit image says 0 (REP 118).

    32FC1 holds metres, 16UC1 and mono16 millimetres. size: (H, W) of the image that it must be registered to.
    Raises BadImage.
    """
    if message.encoding not in DEPTH_ENCODINGS:
        raise BadImage(f"depth of encoding {message.encoding!r}: expected one of {', '.join(DEPTH_ENCODINGS)}")
    if (message.height, message.width) != size:
        raise BadImage(
            f"depth of {message.width}x{message.height} pixels for an image of {size[1]}x{size[0]}: expected the same; "
            "remap `depth` to the topic that is registered (aligned) to the colour image"
        )
    dtype = np.dtype((">" if message.is_bigendian else "<") + DEPTH_ENCODINGS[message.encoding])
    row = message.width * dtype.itemsize
    if message.step < row or len(message.data) < message.step * message.height:
        raise BadImage(
            f"depth of step {message.step} and {len(message.data)} bytes: expected >= {row} and "
            f"{max(message.step, row) * message.height} for {message.encoding} of {message.width}x{message.height}"
        )
    rows = np.frombuffer(message.data, np.uint8, message.step * message.height).reshape(message.height, message.step)
    depth = np.ascontiguousarray(rows[:, :row]).view(dtype).astype(np.float32)
    return depth if dtype.kind == "f" else np.where(depth > 0.0, depth * np.float32(1e-3), np.float32(np.nan))


def intrinsics_from_ros(info: CameraInfo, size: tuple[int, int]) -> np.ndarray:
    """(3, 3) float64: the left of the projection matrix P, which holds for rectified images, else K.

    size: (H, W) of the image. Raises BadCalibration: a camera that is not calibrated, or another size.
    """
    if (info.height, info.width) not in (size, (0, 0)):
        raise BadCalibration(
            f"camera_info of {info.width}x{info.height} pixels for an image of {size[1]}x{size[0]}: expected the same"
        )
    projection, camera = np.array(info.p).reshape(3, 4)[:, :3], np.array(info.k).reshape(3, 3)
    intrinsics = projection if projection[0, 0] > 0.0 else camera
    if not (np.isfinite(intrinsics).all() and intrinsics[0, 0] > 0.0 and intrinsics[1, 1] > 0.0):
        raise BadCalibration(
            f"camera_info with focal lengths {intrinsics[0, 0]:g} and {intrinsics[1, 1]:g}: expected above 0; "
            "calibrate the camera"
        )
    return intrinsics


def points_to_ros(points: np.ndarray, colours: np.ndarray, labels: np.ndarray, frame: Frame) -> PointCloud2:
    """points (P, 3) float32 metres, colours (P, 3) uint8 RGB and labels (P,) uint8 in the frame_id of `frame`."""
    table = np.empty(len(points), POINT)
    table["x"], table["y"], table["z"] = points.T
    red, green, blue = colours.astype(np.uint32).T
    table["rgb"] = red << 16 | green << 8 | blue
    table["label"] = labels
    cloud = PointCloud2(header=header_of(frame), height=1, width=len(table), point_step=POINT.itemsize)
    cloud.row_step = table.nbytes
    cloud.is_dense = True  # every point is finite
    cloud.fields = [
        PointField(name=name, offset=POINT.fields[name][1], datatype=_FIELD_TYPES[name], count=1)
        for name in POINT.names
    ]
    cloud.data.frombytes(table.view(np.uint8))
    return cloud


def target_to_ros(target: Target, frame: Frame) -> PointStamped:
    """Where the target's centre is."""
    x, y, z = target.centre.tolist()
    return PointStamped(header=header_of(frame), point=Point(x=x, y=y, z=z))


def target_size_to_ros(target: Target, frame: Frame) -> Vector3Stamped:
    """How far the target's surface reaches along the axes of the optical frame, metres."""
    x, y, z = target.extent.tolist()
    return Vector3Stamped(header=header_of(frame), vector=Vector3(x=x, y=y, z=z))

# SPDX-License-Identifier: Apache-2.0
"""Depth and calibration in, points and targets out, with arrays small enough to read."""

from __future__ import annotations

import numpy as np
import pytest
from sensor_msgs.msg import Image, PointField

from clipseg_ros.ros import spatial
from clipseg_ros.ros.camera import camera_info
from clipseg_ros.ros.conversions import BadImage, header_of
from clipseg_ros.ros.spatial import BadCalibration, depth_from_ros, intrinsics_from_ros
from clipseg_ros.segmentation import Frame
from clipseg_ros.surfaces import Target

FRAME = Frame(np.zeros((2, 3, 3), np.uint8), 7_000_000_005, "optical")
NAN = np.nan
METRES = np.array([[1.5, NAN, 0.25], [60.0, 2.0, NAN]], np.float32)
MILLIMETRES = np.array([[1500, 0, 250], [60_000, 2000, 0]], np.uint16)
K = np.array([[500.0, 0.0, 1.0], [0.0, 400.0, 0.5], [0.0, 0.0, 1.0]])


def depth_message(values: np.ndarray, encoding: str, padding: int = 0) -> Image:
    rows = np.pad(np.ascontiguousarray(values).view(np.uint8), ((0, 0), (0, padding)), constant_values=99)
    message = Image(height=values.shape[0], width=values.shape[1], encoding=encoding, step=rows.shape[1])
    message.is_bigendian = int(values.dtype.str.startswith(">"))
    message.data.frombytes(np.ascontiguousarray(rows))
    return message


@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize(
    "values, encoding",
    [
        (METRES.astype("<f4"), "32FC1"),
        (METRES.astype(">f4"), "32FC1"),
        (MILLIMETRES.astype("<u2"), "16UC1"),
        (MILLIMETRES.astype(">u2"), "16UC1"),
        (MILLIMETRES.astype("<u2"), "mono16"),
    ],
)
def test_depth_becomes_metres_with_nan_for_unknown(values: np.ndarray, encoding: str, padding: int) -> None:
    depth = depth_from_ros(depth_message(values, encoding, padding), (2, 3))
    assert depth.dtype == np.float32 and depth.dtype.isnative
    np.testing.assert_allclose(depth, METRES, rtol=1e-6)


def test_depth_of_an_unknown_encoding_is_refused() -> None:
    with pytest.raises(BadImage, match="depth of encoding 'mono8': expected one of 32FC1, 16UC1, mono16"):
        depth_from_ros(depth_message(MILLIMETRES, "mono8"), (2, 3))


def test_depth_of_another_size_is_refused_with_the_remedy() -> None:
    with pytest.raises(BadImage, match=r"depth of 3x2 pixels for an image of 6x4: expected the same; remap `depth`"):
        depth_from_ros(depth_message(METRES, "32FC1"), (4, 6))


@pytest.mark.parametrize("change", [{"step": 11}, {"step": 13}])
def test_depth_with_too_little_data_is_refused(change: dict[str, int]) -> None:
    message = depth_message(METRES, "32FC1")
    message.step = change["step"]
    with pytest.raises(BadImage, match=rf"depth of step {change['step']} and 24 bytes: expected >= 12 and"):
        depth_from_ros(message, (2, 3))


def test_intrinsics_are_those_of_the_rectified_image() -> None:
    info = camera_info(K, FRAME)
    info.p[0] = 450.0
    np.testing.assert_array_equal(intrinsics_from_ros(info, (2, 3)), [[450, 0, 1], [0, 400, 0.5], [0, 0, 1]])


def test_intrinsics_are_k_where_there_is_no_projection() -> None:
    info = camera_info(K, FRAME)
    info.p = [0.0] * 12
    info.height = info.width = 0  # as of drivers that do not say
    np.testing.assert_array_equal(intrinsics_from_ros(info, (2, 3)), K)


@pytest.mark.parametrize("k", [np.zeros((3, 3)), np.diag([500.0, 0.0, 1.0]), np.diag([500.0, NAN, 1.0])])
def test_a_camera_without_calibration_is_refused(k: np.ndarray) -> None:
    with pytest.raises(BadCalibration, match="focal lengths .* expected above 0; calibrate the camera"):
        intrinsics_from_ros(camera_info(k, FRAME), (2, 3))


def test_a_calibration_of_another_size_is_refused() -> None:
    with pytest.raises(BadCalibration, match="camera_info of 3x2 pixels for an image of 6x4: expected the same"):
        intrinsics_from_ros(camera_info(K, FRAME), (4, 6))


def test_points_are_laid_out_as_pcl_reads_them() -> None:
    points = np.array([[0.1, 0.2, 1.0], [-1.0, 0.0, 2.0]], np.float32)
    colours = np.array([[1, 2, 3], [250, 128, 0]], np.uint8)
    cloud = spatial.points_to_ros(points, colours, np.array([5, 254], np.uint8), FRAME)
    assert cloud.header == header_of(FRAME)
    assert (cloud.height, cloud.width, cloud.point_step, cloud.row_step, cloud.is_dense) == (1, 2, 20, 40, True)
    assert [(f.name, f.offset, f.datatype, f.count) for f in cloud.fields] == [
        ("x", 0, PointField.FLOAT32, 1),
        ("y", 4, PointField.FLOAT32, 1),
        ("z", 8, PointField.FLOAT32, 1),
        ("rgb", 12, PointField.FLOAT32, 1),
        ("label", 16, PointField.UINT32, 1),
    ]
    words = np.frombuffer(cloud.data, np.uint32).reshape(2, 5)
    np.testing.assert_array_equal(words[:, :3].copy().view(np.float32), points)
    assert words[:, 3].tolist() == [0x010203, 0xFA8000] and words[:, 4].tolist() == [5, 254]


def test_no_point_is_a_cloud_too() -> None:
    empty = np.empty((0, 3))
    cloud = spatial.points_to_ros(empty.astype(np.float32), empty.astype(np.uint8), np.empty(0, np.uint8), FRAME)
    assert (cloud.width, len(cloud.data), cloud.row_step) == (0, 0, 0)


def test_a_target_is_a_point_and_a_size_in_the_frame_of_the_image() -> None:
    target = Target(np.array([0.1, -0.2, 1.5]), np.array([0.3, 0.4, 0.05]))
    place, size = spatial.target_to_ros(target, FRAME), spatial.target_size_to_ros(target, FRAME)
    assert place.header == size.header == header_of(FRAME)
    assert (place.point.x, place.point.y, place.point.z) == (0.1, -0.2, 1.5)
    assert (size.vector.x, size.vector.y, size.vector.z) == (0.3, 0.4, 0.05)


def test_a_calibration_is_read_and_not_changed() -> None:
    info = camera_info(K, FRAME)
    intrinsics_from_ros(info, (2, 3))[0, 0] = 9.0
    assert info == camera_info(K, FRAME)

# SPDX-License-Identifier: Apache-2.0
"""What is known of Fast DDS's shared memory, and that its limit is told of once."""

from __future__ import annotations

from pathlib import Path

import pytest

from clipseg_ros.ros.shared_memory import DEFAULT_SEGMENT, SizeWatch, segment_size

PROFILES = Path(__file__).parents[2] / "config" / "fastdds_large_images.xml"
FAST_DDS = "rmw_fastrtps_cpp"


def test_without_a_profile_the_segment_is_fast_dds_s_own() -> None:
    assert segment_size(FAST_DDS, {}) == DEFAULT_SEGMENT == 524_288


@pytest.mark.parametrize("variable", ["FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"])
def test_the_profile_that_comes_with_the_package_says_its_segment(variable: str) -> None:
    assert segment_size(FAST_DDS, {variable: str(PROFILES)}) == 16 << 20


@pytest.mark.parametrize(
    "rmw, environment",
    [
        ("rmw_cyclonedds_cpp", {}),
        (FAST_DDS, {"FASTDDS_BUILTIN_TRANSPORTS": "LARGE_DATA"}),
        (FAST_DDS, {"FASTRTPS_DEFAULT_PROFILES_FILE": "/nowhere/profiles.xml"}),
    ],
)
def test_where_something_else_decides_nothing_is_known(rmw: str, environment: dict[str, str]) -> None:
    assert segment_size(rmw, environment) is None


@pytest.mark.parametrize(
    "text", ["<profiles>", "<profiles/>", "<p><segment_size>many</segment_size></p>", "<p><segment_size/></p>"]
)
def test_a_profile_that_cannot_be_read_decides_nothing(text: str, tmp_path: Path) -> None:
    (tmp_path / "profiles.xml").write_text(text)
    assert segment_size(FAST_DDS, {"FASTRTPS_DEFAULT_PROFILES_FILE": str(tmp_path / "profiles.xml")}) is None


def test_the_first_image_that_outgrows_the_segment_is_told_of_once() -> None:
    watch = SizeWatch(1000)
    assert watch.complaint("/segment/mask", 1000) is None
    complaint = watch.complaint("/segment/scores", 1001)
    assert "1001 bytes on /segment/scores outgrows the shared-memory segment of 1000 bytes" in complaint
    assert "fastdds_large_images.xml" in complaint and "scores_scale" in complaint
    assert watch.complaint("/segment/scores", 5000) is None


def test_without_a_known_segment_nothing_is_told() -> None:
    assert SizeWatch(None).complaint("/segment/scores", 1 << 40) is None

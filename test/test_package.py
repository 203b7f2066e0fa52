# SPDX-License-Identifier: Apache-2.0
"""What is shipped: metadata that agrees with itself, files that are installed, settings that their readers accept."""

from __future__ import annotations

import glob
import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from xml.etree import ElementTree

import pytest
import setuptools  # noqa: F401  puts its distutils in place, which Python 3.12 no longer has
import yaml
from distutils.core import run_setup
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "clipseg_ros"
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
SOURCES = sorted([*PACKAGE.rglob("*.py"), *(ROOT / "launch").glob("*.py")])
TESTS = sorted((ROOT / "test").rglob("*.py"))
PROFILES = ROOT / "config" / "fastdds_large_images.xml"


@pytest.fixture(scope="module")
def distribution() -> setuptools.Distribution:
    """setup.py as setuptools reads it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return run_setup("setup.py", stop_after="init")


def _pins() -> dict[str, list[Requirement]]:
    pins: dict[str, list[Requirement]] = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            pin = Requirement(line)
            pins.setdefault(_plain(pin.name), []).append(pin)
    return pins


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_package_xml_and_setup_say_the_same(distribution: setuptools.Distribution) -> None:
    xml = ElementTree.parse(ROOT / "package.xml").getroot()
    told = distribution.metadata
    assert [xml.findtext(tag) for tag in ("name", "version", "license")] == [told.name, told.version, told.license]
    assert xml.findtext("description").rstrip(".") == told.description
    assert xml.findtext("maintainer") == told.maintainer
    assert xml.find("maintainer").get("email") == told.maintainer_email
    assert xml.findtext("export/build_type") == "ament_python"


def test_what_people_copy_and_edit_is_installed(distribution: setuptools.Distribution) -> None:
    installed = {folder: set(files) for folder, files in distribution.data_files}
    share = "share/clipseg_ros"
    assert installed[share] == {"package.xml"}
    assert installed[f"{share}/launch"] == {f"launch/{path.name}" for path in (ROOT / "launch").glob("*.py")}
    assert installed[f"{share}/config"] == {f"config/{path.name}" for path in (ROOT / "config").iterdir()}
    assert installed["share/ament_index/resource_index/packages"] == {"resource/clipseg_ros"}
    assert all((ROOT / name).is_file() for files in installed.values() for name in files)


def test_every_folder_with_code_is_a_package(distribution: setuptools.Distribution) -> None:
    folders = {".".join(path.parent.relative_to(ROOT).parts) for path in PACKAGE.rglob("*.py")}
    assert set(distribution.packages) == folders


def test_package_data_takes_every_data_file(distribution: setuptools.Distribution) -> None:
    names = [path.relative_to(PACKAGE).as_posix() for path in (PACKAGE / "data").rglob("*") if path.is_file()]
    patterns = distribution.package_data["clipseg_ros"]
    taken = [name for pattern in patterns for name in glob.glob(pattern, root_dir=PACKAGE)]
    assert set(names) <= set(taken)


@pytest.mark.parametrize("python", PYTHONS)
def test_every_requirement_has_one_pin_that_it_accepts(distribution: setuptools.Distribution, python: str) -> None:
    extras = distribution.extras_require
    lines = [*distribution.install_requires, *extras["scenes"], *extras["crf"], *extras["test"]]
    pins = _pins()
    for wanted in map(Requirement, lines):
        named = pins.get(_plain(wanted.name), [])
        found = [pin for pin in named if not pin.marker or pin.marker.evaluate({"python_version": python})]
        assert len(found) == 1, f"{wanted.name} on Python {python}: {found}"
        (exact,) = found[0].specifier
        assert exact.operator == "==" and wanted.specifier.contains(exact.version), f"{wanted} and {found[0]}"


def test_ros_wheels_are_of_one_distribution_and_for_their_platform_alone(distribution: setuptools.Distribution) -> None:
    for wheel in map(Requirement, distribution.extras_require["ros-jazzy"]):
        assert wheel.name.startswith("ros-jazzy-")
        assert wheel.marker.evaluate({"sys_platform": "linux", "platform_machine": "x86_64"})
        assert not wheel.marker.evaluate({"sys_platform": "linux", "platform_machine": "aarch64"})


def test_the_licence_is_whole() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Version 2.0, January 2004" in text and "END OF TERMS AND CONDITIONS" in text
    assert all(re.search(rf"^ *{number}\. ", text, re.MULTILINE) for number in range(1, 10))


@pytest.mark.parametrize("path", [*SOURCES, *TESTS, ROOT / "setup.py"], ids=_name)
def test_source_names_its_licence(path: Path) -> None:
    assert path.read_text().startswith("# SPDX-License-Identifier: Apache-2.0\n")


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_module_fits_in_the_head(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 250


def test_yaml_names_parameters_and_values_that_the_node_takes() -> None:
    pytest.importorskip("rclpy")
    from rclpy.parameter import Parameter

    from clipseg_ros.ros.parameter_table import changed
    from clipseg_ros.ros.parameters import Parameters

    text = (ROOT / "config" / "segment.yaml").read_text()
    everything = re.sub(r"^    # (\w+: )", r"    \1", text, flags=re.MULTILINE)  # the lines that are commented out, too
    values = yaml.safe_load(everything)["/**"]["ros__parameters"]
    assert values.keys() <= {entry.name for entry in fields(Parameters)}
    assert {"queries", "threshold", "weights", "device", "autostart"} <= values.keys()
    settings = changed(
        Parameters(), [Parameter(name, value=value) for name, value in values.items()]
    )
    assert settings.queries == ("red mug", "something to sit on")


def test_rviz_hears_the_node_and_does_not_stretch_scores() -> None:
    settings = yaml.safe_load((ROOT / "config" / "segment.rviz").read_text())["Visualization Manager"]
    shown = {display["Topic"]["Value"]: display for display in settings["Displays"]}
    points = shown.pop("/segment/points")
    assert points["Class"] == "rviz_default_plugins/PointCloud2" and points["Enabled"] is False
    assert set(shown) == {"/image", "/segment/mask", "/segment/score", "/segment/overlay"}
    assert settings["Global Options"]["Fixed Frame"] == "camera_color_optical_frame"
    score = shown["/segment/score"]
    assert (score["Normalize Range"], score["Min Value"], score["Max Value"]) == (False, 0, 1)
    for topic, display in shown.items():
        assert display["Class"] == "rviz_default_plugins/Image" and display["Enabled"] is True
        assert display["Topic"]["Reliability Policy"] == ("Best Effort" if topic == "/image" else "Reliable")


def test_fast_dds_makes_the_large_segment(tmp_path: Path) -> None:
    pytest.importorskip("rclpy")
    from rclpy.utilities import get_rmw_implementation_identifier

    if get_rmw_implementation_identifier() != "rmw_fastrtps_cpp":
        pytest.skip("the profile is Fast DDS's")
    code = (
        "import os, rclpy; before = set(os.listdir('/dev/shm')); rclpy.init(); node = rclpy.create_node('profile')\n"
        "print(max(os.path.getsize('/dev/shm/' + name) for name in set(os.listdir('/dev/shm')) - before))\n"
        "node.destroy_node(); rclpy.try_shutdown()"
    )
    env = os.environ | {"FASTRTPS_DEFAULT_PROFILES_FILE": str(PROFILES), "ROS_LOG_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "Error" not in done.stdout + done.stderr
    size = ElementTree.parse(PROFILES).findtext(".//{*}segment_size")
    assert int(done.stdout.split()[-1]) >= int(size) >= 16 << 20


def test_the_outer_check_is_make_test_and_make_tells_its_targets() -> None:
    commands = [line for line in (ROOT / ".ci" / "run").read_text().splitlines() if not line.startswith("#")]
    assert commands[-1] == "make test" and commands[0] == "set -euo pipefail"
    make = ["make", "--no-print-directory", "-C", str(ROOT)]
    told = subprocess.run(make, capture_output=True, text=True, check=True).stdout
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE).group(1).split()
    for target in set(targets) - {"machine"}:
        assert re.search(rf"^make {target} +\S", told, re.MULTILINE), target


def test_workflows_parse_and_name_every_target() -> None:
    flows = {path.stem: yaml.safe_load(path.read_text()) for path in (ROOT / ".github" / "workflows").glob("*.yml")}
    assert flows["ros"]["jobs"]["colcon"]["strategy"]["matrix"]["distro"] == ["humble", "jazzy", "kilted", "lyrical"]
    assert flows["pip"]["jobs"]["make"]["strategy"]["matrix"]["python"] == list(PYTHONS)

# SPDX-License-Identifier: Apache-2.0
"""Who may import whom: the rooms of the package, the libraries that each may know, and that all are declared."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "clipseg_ros"
MODULES = sorted(PACKAGE.rglob("*.py"))

# room: the rooms that it may import; its own modules always
ROOMS = {
    "segmentation": set(),
    "masks": {"segmentation"},
    "queries": {"segmentation"},
    "video": {"masks", "segmentation"},
    "crf": {"segmentation"},
    "surfaces": set(),
    "encodings": set(),
    "models": {"masks", "segmentation"},
    "engines": {"crf", "masks", "models", "segmentation"},
    "datasets": {"masks", "segmentation"},
    "evaluation": {"datasets", "engines", "masks", "models", "segmentation", "video"},
    "training": {"datasets", "engines", "evaluation", "masks", "models", "segmentation"},
    "ros": {"encodings", "engines", "masks", "queries", "segmentation", "surfaces", "video"},
}
ANYWHERE = {"__init__", "__main__", "tools"}  # __init__ imports nothing, as another test holds
# The test camera and the demo's client render scenes and measure; the node does neither.
MAY_MEASURE = {"ros/client.py", "ros/scoring.py", "ros/sources.py"}
TORCH = {"torch", "transformers"}
TORCH_ROOMS = {"crf", "engines", "evaluation", "models", "tools", "training"}
ROS = {
    "ament_index_python", "builtin_interfaces", "cv_bridge", "diagnostic_msgs", "diagnostic_updater", "geometry_msgs",
    "launch", "launch_ros", "lifecycle_msgs", "message_filters", "rcl_interfaces", "rclpy", "sensor_msgs", "std_msgs",
    "std_srvs", "vision_msgs",
}
NAMES = {
    "cv2": "opencv-python-headless", "yaml": "pyyaml", "PIL": "pillow", "pydensecrf": "pydensecrf2",
    "triton": "torch",  # a dependency of torch's wheels for GPUs
}


def imported(source: str, package: tuple[str, ...]) -> set[str]:
    """Dotted names that a module's source imports anywhere; `package` is where its relative imports start."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join(filter(None, (*above, node.module)))
            names |= {f"{module}.{alias.name}" for alias in node.names}
    return names


def forbidden(path: str, source: str) -> set[str]:
    """What the module at `path` (inside the package) imports and may not."""
    parts = Path(path).with_suffix("").parts
    room = parts[0]
    names = imported(source, ("clipseg_ros", *parts[:-1]))
    libraries = {name.split(".")[0] for name in names} - {"clipseg_ros"}
    wrong = libraries & ROS if room != "ros" else set()
    if room not in TORCH_ROOMS:
        wrong |= libraries & TORCH
    rooms = {name.split(".")[1] for name in names if name.startswith("clipseg_ros.")}
    if room in ANYWHERE:
        return wrong | (rooms & {"ros"})
    allowed = ROOMS[room] | {room} | ({"datasets", "evaluation"} if path in MAY_MEASURE else set())
    return wrong | (rooms - allowed)


def declared() -> set[str]:
    """Distributions that setup.py names, lower case."""
    tree = ast.parse((ROOT / "setup.py").read_text())
    given = [node for node in ast.walk(tree) if isinstance(node, ast.keyword)]
    lists = [node.value for node in given if node.arg in ("install_requires", "extras_require")]
    lines = [node.value for found in lists for node in ast.walk(found) if isinstance(node, ast.Constant)]
    return {re.split(r"[\[<>=;~! ]", line)[0].lower() for line in lines}


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_module_stays_in_its_room(module: Path) -> None:
    assert forbidden(module.relative_to(PACKAGE).as_posix(), module.read_text()) == set()


@pytest.mark.parametrize(
    ("path", "source", "wrong"),
    [
        ("masks.py", "from clipseg_ros import engines", {"engines"}),
        ("masks.py", "import torch.nn as nn", {"torch"}),
        ("models/clip.py", "from ..engines.clipseg import CLIPSegEngine", {"engines"}),
        ("models/clip.py", "from . import weights", set()),
        ("engines/__init__.py", "def create():\n    from clipseg_ros.ros import node", {"ros"}),
        ("ros/node.py", "from clipseg_ros.evaluation import metrics", {"evaluation"}),
        ("ros/sources.py", "from clipseg_ros.datasets import tabletop\nimport rclpy", set()),
        ("tools/demo.py", "import rclpy", {"rclpy"}),
        ("tools/demo.py", "from clipseg_ros.ros import demo_client", {"ros"}),
        ("tools/bench.py", "import torch\nfrom clipseg_ros import engines", set()),
    ],
)
def test_a_step_out_of_the_room_is_seen(path: str, source: str, wrong: set[str]) -> None:
    assert forbidden(path, source) == wrong


def test_the_map_imports_nothing() -> None:
    assert imported((PACKAGE / "__init__.py").read_text(), ("clipseg_ros",)) <= {"__future__.annotations"}


def test_every_library_is_declared() -> None:
    names = {name.split(".")[0] for path in MODULES for name in imported(path.read_text(), ())}
    libraries = names - set(sys.stdlib_module_names) - {"clipseg_ros", ""} - ROS
    assert {NAMES.get(name, name).lower() for name in libraries} <= declared()


def test_package_xml_names_the_ros_packages_that_are_imported_and_no_others() -> None:
    xml = ElementTree.parse(ROOT / "package.xml").getroot()
    wanted = {entry.text for entry in xml.iter("exec_depend") if not entry.text.startswith("python3-")}
    sources = [*MODULES, *(ROOT / "launch").glob("*.py")]
    assert {name.split(".")[0] for path in sources for name in imported(path.read_text(), ())} & ROS == wanted

# SPDX-License-Identifier: Apache-2.0
"""The whole build metadata; pyproject.toml names the builder alone, since colcon reads nothing else from it."""
from glob import glob

from setuptools import find_packages, setup

NAME = "clipseg_ros"
WHEELS = 'sys_platform == "linux" and platform_machine == "x86_64"'  # the only platform that ROS is built for on PyPI

setup(
    name=NAME,
    version="0.1.0",
    description="Open-vocabulary segmentation for ROS 2: cameras and words in, masks and scores out",
    license="Apache-2.0",
    url="https://github.com/clipseg-ros/clipseg_ros",
    author="clipseg_ros maintainers",
    author_email="maintainers@example.org",
    maintainer="clipseg_ros maintainers",
    maintainer_email="maintainers@example.org",
    python_requires=">=3.10",
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={NAME: ["data/*", "data/*/*", "data/*/*/*"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/launch", sorted(glob("launch/*.launch.py"))),
        (f"share/{NAME}/config", sorted(glob("config/*"))),
    ],
    zip_safe=False,  # the demo model is opened as a folder
    install_requires=[
        "huggingface_hub",
        "matplotlib",
        "numpy>=1.26",
        # Headless: the package opens no window, and the other wheel's Qt plugins break RViz and rqt. Over an apt ROS,
        # where cv2 comes without pip metadata, nothing installs this list: colcon ignores it (see constraints-ros.txt).
        "opencv-python-headless>=4.5,<5",  # cv_bridge raises KeyError with OpenCV 5
        "pillow",
        "pyyaml",
        "safetensors",
        "scipy",
        "tokenizers",
        "torch>=2.4",
        "tqdm",
        "transformers>=5.20,<6",
    ],
    extras_require={
        # rclpy cannot be imported without an rmw, hence [fastrtps]; every line names its distribution, since the
        # names without one resolve to another.
        "ros-jazzy": [
            f"ros-jazzy-rclpy[fastrtps]==7.1.6; {WHEELS}",
            f"ros-jazzy-sensor-msgs==5.3.6; {WHEELS}",
            f"ros-jazzy-std-msgs==5.3.6; {WHEELS}",
            f"ros-jazzy-std-srvs==5.3.6; {WHEELS}",
            f"ros-jazzy-geometry-msgs==5.3.6; {WHEELS}",
            f"ros-jazzy-diagnostic-msgs==5.3.6; {WHEELS}",
        ],
        "scenes": ["embreex"],
        "crf": ["pydensecrf2==1.1"],
        "bags": ["rosbags"],
        "ray": ["ray"],  # spreads bags over a cluster
        "nouns": ["nltk"],  # of captions, for OVSeg's pairs of masks and words
        # colcon is in the same environment as rclpy because the scripts that it writes run under its own Python.
        "test": ["pytest", "pytest-timeout", "colcon-common-extensions", "nltk", "rosbags"],
    },
    entry_points={
        "console_scripts": [
            f"segment = {NAME}.ros.node:main",
            f"camera = {NAME}.ros.camera:main",
        ],
    },
    classifiers=[
        "Intended Audience :: Developers",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3 :: Only",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
)

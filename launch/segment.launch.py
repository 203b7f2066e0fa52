# SPDX-License-Identifier: Apache-2.0
"""Starts the node `segment` and, if asked, RViz; --show-args lists the arguments.

It holds no default of the node's: an argument left empty is not passed on, a given one beats `params_file`.
"""
from __future__ import annotations

import os
import shlex
from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

CONFIG = Path(__file__).resolve().parents[1] / "config"
TEXT_PARAMETERS = ("engine", "weights", "device", "image_transport")
RVIZ_TOPICS = ("mask", "score", "overlay", "points")
TOPICS = {"image": "image", "depth": "depth", "camera_info": "camera_info", "query_topic": "seg_query"}

ARGUMENTS = (
    DeclareLaunchArgument(
        "image", default_value="",
        description="camera topic to segment, such as /camera/color/image_raw (empty: the topic `image`)"),
    DeclareLaunchArgument(
        "depth", default_value="",
        description="depth topic registered to the camera's, such as /camera/aligned_depth_to_color/image_raw, for "
                    "points and targets (empty: the topic `depth`)"),
    DeclareLaunchArgument(
        "camera_info", default_value="",
        description="the camera's calibration, such as /camera/color/camera_info (empty: the topic `camera_info`)"),
    DeclareLaunchArgument(
        "query_topic", default_value="",
        description="std_msgs/String topic that carries the words to look for (empty: the topic `seg_query`)"),
    DeclareLaunchArgument(
        "weights", default_value="",
        description="model folder, Hugging Face name, or `demo` for the small model that comes with the package"),
    DeclareLaunchArgument(
        "engine", default_value="",
        description="segmentation method, such as clipseg"),
    DeclareLaunchArgument(
        "device", default_value="",
        description="where the model runs: auto, cpu, cuda or one GPU such as cuda:1"),
    DeclareLaunchArgument(
        "image_transport", default_value="", choices=("", "raw", "compressed"),
        description="compressed: subscribe to `image`/compressed instead of `image`"),
    DeclareLaunchArgument(
        "params_file", default_value="",
        description="YAML file of node parameters; copy config/segment.yaml and edit it"),
    DeclareLaunchArgument(
        "namespace", default_value="",
        description="namespace of the node and of every relative topic"),
    DeclareLaunchArgument(
        "use_sim_time", default_value="", choices=("", "true", "false"),
        description="take the time from /clock, for simulators and bags"),
    DeclareLaunchArgument(
        "log_level", default_value="", choices=("", "debug", "info", "warn", "error", "fatal"),
        description="least severity that the node logs"),
    DeclareLaunchArgument(
        "venv", default_value="",
        description="virtual environment that holds torch, made with `python3 -m venv --system-site-packages`: "
                    "its interpreter runs the node (empty: the interpreter that built the package)"),
    DeclareLaunchArgument(
        "rviz", default_value="false", choices=("true", "false"),
        description="also start RViz with config/segment.rviz"),
    DeclareLaunchArgument(
        "large_images", default_value="false", choices=("true", "false"),
        description="set FASTRTPS_DEFAULT_PROFILES_FILE to config/fastdds_large_images.xml here, so that large images "
                    "are not lost on one machine; the camera's driver needs the same variable"),
)


def generate_launch_description() -> LaunchDescription:
    """The arguments, then the processes that their values ask for."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=_processes)])


def _processes(context: LaunchContext) -> list[SetEnvironmentVariable | Node]:
    given = {argument.name: LaunchConfiguration(argument.name).perform(context) for argument in ARGUMENTS}
    actions: list[SetEnvironmentVariable | Node] = []
    if given["large_images"] == "true":
        profiles = str(CONFIG / "fastdds_large_images.xml")
        actions.append(SetEnvironmentVariable("FASTRTPS_DEFAULT_PROFILES_FILE", profiles))
    actions.append(_segment(given))
    if given["rviz"] == "true":
        actions.append(_rviz(given))
    return actions


def _segment(given: dict[str, str]) -> Node:
    parameters: list[str | dict[str, ParameterValue | bool]] = []  # rcl lets the later source win
    if given["params_file"]:
        parameters.append(_existing("params_file", given["params_file"]))
    if values := _given_parameters(given):
        parameters.append(values)
    return Node(
        package="clipseg_ros",
        executable="segment",
        name="segment",
        namespace=given["namespace"] or None,
        parameters=parameters,
        remappings=[(topic, given[argument]) for argument, topic in TOPICS.items() if given[argument]],
        ros_arguments=["--log-level", given["log_level"]] if given["log_level"] else None,
        prefix=_interpreter(given["venv"]) if given["venv"] else None,
        output="screen",
    )


def _given_parameters(given: dict[str, str]) -> dict[str, ParameterValue | bool]:
    # ParameterValue keeps a folder named `1` or `no` a string, which launch would otherwise read as YAML.
    values: dict[str, ParameterValue | bool] = {
        name: ParameterValue(given[name], value_type=str) for name in TEXT_PARAMETERS if given[name]
    }
    return values | _clock(given)


def _clock(given: dict[str, str]) -> dict[str, bool]:
    return {"use_sim_time": given["use_sim_time"] == "true"} if given["use_sim_time"] else {}


def _rviz(given: dict[str, str]) -> Node:
    # The file names absolute topics, so that it also opens by hand; rules move them to where this node publishes.
    root = "/" + given["namespace"].strip("/")
    moved = {f"/segment/{topic}": os.path.join(root, "segment", topic) for topic in RVIZ_TOPICS}
    moved["/image"] = os.path.join(root, given["image"] or "image")
    return Node(
        package="rviz2",
        executable="rviz2",
        name="rviz2",
        arguments=["-d", str(CONFIG / "segment.rviz")],
        parameters=[clock] if (clock := _clock(given)) else [],
        remappings=[rule for rule in moved.items() if rule[0] != rule[1]],
        output="log",
    )


def _interpreter(venv: str) -> str:
    return shlex.quote(_existing("venv", os.path.join(venv, "bin", "python")))


def _existing(argument: str, name: str) -> str:
    # Not resolved: a venv's python is a link, and only the link finds the venv's packages.
    path = Path(os.path.abspath(os.path.expanduser(name)))
    if not path.is_file():
        raise FileNotFoundError(f"launch argument {argument}: there is no file {path}")
    return str(path)

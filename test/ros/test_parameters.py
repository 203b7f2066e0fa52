# SPDX-License-Identifier: Apache-2.0
"""The table of parameters against a real rclpy node."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields

import pytest
import rclpy
from rclpy.context import Context
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from clipseg_ros.ros.parameter_table import ParameterError, changed, declare
from clipseg_ros.ros.parameters import Parameters


Declare = Callable[..., tuple[Node, Parameters]]


@pytest.fixture
def declared(ros_domain: int) -> Iterator[Declare]:
    """declared("name:=value", ...) is a node whose command line said so, and what it reads."""
    contexts, nodes = [], []

    def make(*overrides: str) -> tuple[Node, Parameters]:
        contexts.append(Context())
        args = [word for override in overrides for word in ("-p", override)]
        rclpy.init(context=contexts[-1], domain_id=ros_domain, args=["--ros-args", *args] if args else [])
        nodes.append(Node("segment", context=contexts[-1]))
        return nodes[-1], declare(nodes[-1], Parameters)

    yield make
    for node in nodes:
        node.destroy_node()
    for context in contexts:
        rclpy.try_shutdown(context=context)


def test_a_node_without_overrides_reads_the_defaults(declared: Declare) -> None:
    assert declared()[1] == Parameters()


@pytest.mark.parametrize(
    "override, name, value",
    [
        ("threshold:=1", "threshold", 1.0),
        ("threshold:=0.25", "threshold", 0.25),
        ("max_rate:=5", "max_rate", 5.0),
        ("queries:=cat", "queries", ("cat",)),
        ("queries:=[cat, red mug; dog]", "queries", ("cat", "red mug; dog")),
        ("queries:=['']", "queries", ()),
        ("queries:=[]", "queries", ()),
        ("cameras:=[front, wrist]", "cameras", ("front", "wrist")),
        ("autostart:=false", "autostart", False),
        ("max_queries:=254", "max_queries", 254),
        ("weights:=7", "weights", "7"),
    ],
)
def test_values_mean_what_they_say(declared: Declare, override: str, name: str, value: object) -> None:
    read = getattr(declared(override)[1], name)
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize("entry", fields(Parameters), ids=lambda entry: entry.name)
def test_every_parameter_describes_itself(declared: Declare, entry: object) -> None:
    descriptor = declared()[0].describe_parameter(entry.name)
    assert descriptor.description == entry.metadata["description"] != ""
    assert descriptor.read_only == entry.metadata["fixed"]
    if isinstance(entry.default, (int, float)) and not isinstance(entry.default, bool):
        (span,) = [*descriptor.integer_range, *descriptor.floating_point_range]
        assert (span.from_value, span.to_value) == entry.metadata["span"]
    if entry.metadata["choices"]:
        assert all(choice in descriptor.additional_constraints for choice in entry.metadata["choices"])


@pytest.mark.parametrize("override", ["threshold:=1.5", "max_queries:=0", "overlay_opacity:=.nan"])
def test_an_override_out_of_range_ends_the_declaration(declared: Declare, override: str) -> None:
    with pytest.raises(InvalidParameterValueException, match="out of range.*Min"):
        declared(override)


def test_an_override_of_another_type_ends_the_declaration(declared: Declare) -> None:
    with pytest.raises(InvalidParameterTypeException, match="'autostart' to '0' of type 'INTEGER', expecting"):
        declared("autostart:=0")


@pytest.mark.parametrize(
    "override, reason",
    [
        ("threshold:=2", "threshold 2.0: expected 0.0 to 1.0"),
        ("threshold:=high", "threshold 'high': expected float"),
        ("weights:=true", "weights True: expected str"),
        ("max_rate:=true", "max_rate True: expected float"),
        ("queries:=[1, 2]", r"queries \[1, 2\]: expected texts"),
        ("image_qos:=best", "image_qos 'best': expected one of auto, sensor_data, reliable"),
        ("cameras:=[front, front]", "cameras: 'front': expected names of letters, digits and _, each once"),
        ("cameras:=[my-cam]", "cameras: 'my-cam': expected names"),
        ("affordance_mode:=all", "affordance_mode 'all': expected one of prompt, objects, both"),
        ("engine:=yolo", "engine 'yolo': expected one of clipseg"),
        ("engine_options:=keep_aspect", "engine_options: 'keep_aspect' is not name=value"),
    ],
)
def test_a_bad_override_is_refused_with_its_value(declared: Declare, override: str, reason: str) -> None:
    with pytest.raises(ParameterError, match=reason):
        declared(override)


def test_engine_options_are_named_values(declared: Declare) -> None:
    text = "keep_aspect=true; extract_layers=[3,7,9]; template=a photo of a {}.; side=64;"
    _, settings = declared(f"engine_options:={text}")
    assert settings.options() == {
        "keep_aspect": True, "extract_layers": [3, 7, 9], "template": "a photo of a {}.", "side": 64
    }


def test_changes_of_other_names_are_not_ours() -> None:
    assert changed(Parameters(), [Parameter("use_sim_time", value=True)]) == Parameters()


@pytest.mark.parametrize("name", ["threshold", "queries"])
def test_a_parameter_cannot_be_deleted(name: str) -> None:
    with pytest.raises(ParameterError, match=f"{name} None: expected"):
        changed(Parameters(), [Parameter(name, Parameter.Type.NOT_SET, None)])

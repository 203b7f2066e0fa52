# SPDX-License-Identifier: Apache-2.0
"""Every parameter of the node in one table: default, meaning, range; declared, read and checked by its fields.

A whole number is taken where a fraction is expected and one text where a list is, so that `threshold:=1` and
`queries:=cat` mean what they say.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from typing import TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.parameter import Parameter

from clipseg_ros.engines import DEFAULT_WEIGHTS, ENGINES

T = TypeVar("T")


class ParameterError(ValueError):
    """A parameter's value that is refused; the message names it and what is expected."""


def _param(
    default: T,
    description: str,
    span: tuple[float, float] | None = None,
    choices: Iterable[str] | None = None,
    fixed: bool = False,
) -> T:
    words = None if choices is None else tuple(choices)
    return field(default=default, metadata=dict(description=description, span=span, choices=words, fixed=fixed))


@dataclass(frozen=True)
class Parameters:
    """The node's settings; those not `fixed` change while it runs, from the next whole frame on."""

    engine: str = _param("clipseg", "the model's kind", choices=ENGINES, fixed=True)
    weights: str = _param(
        DEFAULT_WEIGHTS, "demo, a folder in transformers' format, or a Hugging Face model", fixed=True
    )
    device: str = _param("auto", "auto (CUDA where there is one), cpu, cuda or cuda:N", fixed=True)
    precision: str = _param("auto", "auto: fp16 on CUDA", choices=("auto", "fp32", "fp16", "bf16"), fixed=True)
    engine_options: str = _param(
        "", "the engine's own options, name=value separated by ; such as keep_aspect=true; extract_layers=[3,7,9]",
        fixed=True,
    )
    queries: tuple[str, ...] = _param(
        (), "what to look for, in the language of seg_query; the same set as seg_query, whichever came last"
    )
    max_queries: int = _param(32, "more prompts than this are refused", span=(1, 254), fixed=True)
    threshold: float = _param(
        0.0, "score at or above which a pixel belongs to a prompt without its own threshold; 0: the engine's",
        span=(0.0, 1.0),
    )
    max_rate: float = _param(0.0, "frames segmented per second at most; 0: no limit", span=(0.0, 1000.0))
    overlay_opacity: float = _param(0.5, "share of the label's colour in the overlay", span=(0.0, 1.0))
    image_qos: str = _param(
        "auto", "auto: reliable when every publisher offers it, else best effort",
        choices=("auto", "sensor_data", "reliable"), fixed=True,
    )
    image_transport: str = _param(
        "raw", "compressed: subscribe to <image>/compressed (JPEG or PNG)", choices=("raw", "compressed"), fixed=True
    )
    autostart: bool = _param(
        True, "configure and activate at the start; false: wait for lifecycle requests", fixed=True
    )
    frame_timeout: float = _param(5.0, "seconds without an image after which the node says why", span=(0.1, 3600.0))

    def options(self) -> dict[str, object]:
        """engine_options by name; a value that is no JSON is text. Raises ParameterError."""
        options: dict[str, object] = {}
        for part in filter(None, (part.strip() for part in self.engine_options.split(";"))):
            name, equals, value = (word.strip() for word in part.partition("="))
            if not (name.isidentifier() and equals):
                raise ParameterError(f"engine_options: {part!r} is not name=value; separate options by ;")
            try:
                options[name] = json.loads(value)
            except json.JSONDecodeError:
                options[name] = value
        return options


def declare(node: Node) -> None:
    """Declare every field on the node. Raises rclpy's ParameterException for an override of a wrong type or range."""
    for entry in fields(Parameters):
        node.declare_parameter(entry.name, _to_ros(entry.default), _descriptor(entry))


def read(node: Node) -> Parameters:
    """The node's present values; `queries: []` in a file leaves that one unset: none. Raises ParameterError."""
    values = (node.get_parameter(entry.name) for entry in fields(Parameters))
    return changed(Parameters(), [value for value in values if value.type_ is not Parameter.Type.NOT_SET])


def changed(settings: Parameters, changes: Iterable[Parameter]) -> Parameters:
    """settings with the changes that name a field of the table, checked. Raises ParameterError."""
    table = {entry.name: entry for entry in fields(Parameters)}
    known = [change for change in changes if change.name in table]
    settings = replace(settings, **{change.name: _checked(table[change.name], change.value) for change in known})
    settings.options()
    return settings


def _checked(entry, value: object) -> object:  # entry: dataclasses.Field, generic in name only before Python 3.11
    if isinstance(entry.default, tuple):
        return _texts(entry.name, value)
    if isinstance(entry.default, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not type(entry.default):
        raise ParameterError(f"{entry.name} {value!r}: expected {type(entry.default).__name__}")
    span, choices = entry.metadata["span"], entry.metadata["choices"]
    if span and not span[0] <= value <= span[1]:
        raise ParameterError(f"{entry.name} {value}: expected {span[0]} to {span[1]}")
    if choices and value not in choices:
        raise ParameterError(f"{entry.name} {value!r}: expected one of {', '.join(choices)}")
    return value


def _texts(name: str, value: object) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ParameterError(f"{name} {value!r}: expected texts; quote words such as 'no' and 'on'")
    return tuple(text for text in texts if text.strip())


def _to_ros(value: object) -> object:
    """rclpy takes an empty list for a list of bytes, hence the one empty text."""
    return (list(value) or [""]) if isinstance(value, tuple) else value


def _descriptor(entry) -> ParameterDescriptor:
    span, choices = entry.metadata["span"], entry.metadata["choices"]
    descriptor = ParameterDescriptor(description=entry.metadata["description"], read_only=entry.metadata["fixed"])
    descriptor.dynamic_typing = isinstance(entry.default, (float, tuple))
    if choices:
        descriptor.additional_constraints = f"one of {', '.join(choices)}"
    if span and isinstance(entry.default, int):
        descriptor.integer_range = [IntegerRange(from_value=span[0], to_value=span[1])]
    elif span:
        descriptor.floating_point_range = [FloatingPointRange(from_value=span[0], to_value=span[1])]
    return descriptor

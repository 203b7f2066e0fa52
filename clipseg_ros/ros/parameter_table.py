# SPDX-License-Identifier: Apache-2.0
"""A node's parameters as a table: a frozen dataclass, a field each with default, meaning and range.

A whole number is taken where a fraction or a text is expected and one text where a list is, so that `threshold:=1`,
`source:=0` and `queries:=cat` mean what they say.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import Field, field, fields, replace
from typing import TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.parameter import Parameter

T = TypeVar("T")
Table = TypeVar("Table")  # a frozen dataclass whose fields are made by `param`


class ParameterError(ValueError):
    """A parameter's value that is refused; the message names it and what is expected."""


def param(
    default: T,
    description: str,
    span: tuple[float, float] | None = None,
    choices: Collection[str] | None = None,
    fixed: bool = False,
) -> T:
    """A field of a table. span: inclusive; choices: looked at when a value comes; fixed: not while the node runs."""
    return field(default=default, metadata=dict(description=description, span=span, choices=choices, fixed=fixed))


def declare(node: Node, table: type[Table]) -> Table:
    """Declare every field on the node and return the values that it was started with.

    `queries: []` in a file leaves that one unset, which is none. Raises rclpy's ParameterException for an override of
    a wrong type or range, ParameterError.
    """
    for entry in fields(table):
        node.declare_parameter(entry.name, _to_ros(entry.default), _descriptor(entry))
    values = (node.get_parameter(entry.name) for entry in fields(table))
    return changed(table(), [value for value in values if value.type_ is not Parameter.Type.NOT_SET])


def changed(settings: Table, changes: Iterable[Parameter]) -> Table:
    """settings with the changes that name a field of its table, checked. Raises ParameterError."""
    table = {entry.name: entry for entry in fields(settings)}
    known = [change for change in changes if change.name in table]
    return replace(settings, **{change.name: _checked(table[change.name], change.value) for change in known})


def _checked(entry: Field, value: object) -> object:
    if isinstance(entry.default, tuple):
        return _texts(entry.name, value)
    if isinstance(entry.default, (float, str)) and type(value) is int:
        value = type(entry.default)(value)
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


def _descriptor(entry: Field) -> ParameterDescriptor:
    span, choices = entry.metadata["span"], entry.metadata["choices"]
    descriptor = ParameterDescriptor(description=entry.metadata["description"], read_only=entry.metadata["fixed"])
    descriptor.dynamic_typing = isinstance(entry.default, (float, str, tuple))
    if choices:
        descriptor.additional_constraints = f"one of {', '.join(choices)}"
    if span and isinstance(entry.default, int):
        descriptor.integer_range = [IntegerRange(from_value=span[0], to_value=span[1])]
    elif span:
        descriptor.floating_point_range = [FloatingPointRange(from_value=span[0], to_value=span[1])]
    return descriptor

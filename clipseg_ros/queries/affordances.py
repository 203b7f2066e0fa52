# SPDX-License-Identifier: Apache-2.0
"""What things are for: names such as "sit on" -> a sentence to search for, the names of things, or both.

The table is data/affordances.yaml, to which a file of the same form adds; of equal names the file's win.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

import yaml

from clipseg_ros.queries.entries import Query, QueryError
from clipseg_ros.queries.language import clean
from clipseg_ros.segmentation import Prompt

MODES = ("prompt", "objects", "both")
FORM = "group: {name: {prompt: something to hold, objects: [cup, mug]}}"


class AffordanceError(ValueError):
    """A file of affordances that cannot be read; the message names it and what is expected."""


@dataclass(frozen=True)
class Affordance:
    """name: "sit on". prompt: the sentence that asks for it. objects: names of things that it holds of, each once."""

    name: str
    prompt: str
    objects: tuple[str, ...]

    def searched(self, mode: str) -> tuple[Prompt, ...]:
        """The prompts of a mode, one of MODES; `both` begins with the sentence."""
        texts = {"prompt": (self.prompt,), "objects": self.objects, "both": (self.prompt, *self.objects)}[mode]
        return tuple(Prompt(text) for text in texts)


def load(file: str = "") -> dict[str, Affordance]:
    """Name -> affordance: those of the package and of `file` unless that is "". Raises AffordanceError."""
    own = resources.files("clipseg_ros").joinpath("data", "affordances.yaml").read_text(encoding="utf-8")
    table = read(own, "data/affordances.yaml")
    if not file:
        return table
    try:
        text = Path(file).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise AffordanceError(f"affordances_file {file!r} cannot be read: {error}") from None
    return {**table, **read(text, file)}


def read(text: str, source: str) -> dict[str, Affordance]:
    """The table of a YAML text; source: names it in errors. Raises AffordanceError."""
    try:
        groups = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise AffordanceError(f"{source} is no YAML: {error}") from None
    table = {}
    for group, named in _mapping(groups, source).items():
        for name, given in _mapping(named, f"{source}: {group}").items():
            affordance = _affordance(name, _mapping(given, f"{source}: {group}: {name}"), f"{source}: {group}: {name}")
            table[affordance.name] = affordance
    return table


def resolve(query: Query, table: Mapping[str, Affordance], mode: str) -> Query:
    """The query whose text is the name of an affordance as what is searched for it in `mode`, one of MODES.

    It keeps threshold and `once`; its label is the name unless it has one. Raises QueryError for an unknown name.
    """
    names = {name.casefold(): name for name in table}
    if query.prompt.text.casefold() not in names:
        raise QueryError(
            f"affordance {query.prompt.text!r}: expected one of {', '.join(table)}; others come from affordances_file"
        )
    found = table[names[query.prompt.text.casefold()]]
    face = replace(query.prompt, text=found.prompt, label=query.prompt.label or found.name)
    return replace(query, prompt=face, parts=() if mode == "prompt" else found.searched(mode))


def _mapping(value: object, place: str) -> dict[str, object]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise AffordanceError(f"{place} is {str(value)[:40]!r}: expected {FORM}; quote names such as 'on'")
    return value


def _affordance(name: str, given: dict[str, object], place: str) -> Affordance:
    prompt, objects = given.get("prompt"), given.get("objects")
    if set(given) != {"prompt", "objects"} or not isinstance(prompt, str) or not isinstance(objects, list):
        raise AffordanceError(f"{place}: expected a text `prompt` and a list `objects`, as in {FORM}")
    if not objects or not all(isinstance(text, str) for text in objects):
        raise AffordanceError(f"{place}: objects {objects!r}: expected at least one text; quote words such as 'no'")
    try:
        name, prompt, *texts = (clean(text, place) for text in (name, prompt, *map(_without_note, objects)))
    except QueryError as error:
        raise AffordanceError(str(error)) from None
    if not all((name, prompt, *texts)):
        raise AffordanceError(f"{place}: name, prompt or an object is empty; expected {FORM}")
    return Affordance(name, prompt, tuple(dict.fromkeys(texts)))


def _without_note(name: str) -> str:
    """ "cab (taxi)" -> "cab"."""
    return re.sub(r"\s*\([^)]*\)\s*$", "", name)

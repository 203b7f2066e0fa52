# SPDX-License-Identifier: Apache-2.0
"""The query language: the text of `seg_query`, or of `seg_affordance`, -> queries, and back.

Prompts are separated by `;` or line breaks; a JSON list says more of each:
    red mug; something to sit on
    ["red mug", {"text": "cup", "label": "my cup", "threshold": 0.4, "once": true}]
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence

from clipseg_ros.queries.entries import Query, QueryError
from clipseg_ros.segmentation import Prompt, PromptError

MAX_CHARACTERS = 200  # a text longer than that never fits the 77 tokens of CLIP
KEYS = ("text", "label", "threshold", "once")
EXAMPLE = '["red mug", {"text": "cup", "label": "my cup", "threshold": 0.4}]'


def parse(text: str) -> tuple[Query, ...]:
    """The queries of a text, in order; duplicates are dropped, the first stays; () for an empty one.

    Texts are kept as written but for white space, of which each run becomes one blank. Raises QueryError.
    """
    if text.lstrip().startswith("["):
        queries = [_from_json(item, place) for place, item in enumerate(_read_list(text), start=1)]
    else:
        texts = (clean(part, "prompt") for part in re.split(r"[;\r\n]", text))
        queries = [Query(Prompt(part)) for part in texts if part]
    distinct: dict[tuple[Prompt, ...], Query] = {}
    for query in queries:
        distinct.setdefault(query.identity, query)
    return tuple(distinct.values())


def write(queries: Sequence[Query]) -> str:
    """A text that `parse` reads as these queries of texts; "" for none."""
    return json.dumps([_to_json(query) for query in queries], ensure_ascii=False) if queries else ""


def clean(text: str, what: str) -> str:
    """One blank for each run of white space. what: names the text in errors.

    Raises QueryError where it is too long or not a text to read.
    """
    text = " ".join(text.split())
    if len(text) > MAX_CHARACTERS:
        raise QueryError(f"{what} of {len(text)} characters: at most {MAX_CHARACTERS}; shorten {text[:40] + '...'!r}")
    for character in text:
        if unicodedata.category(character) in ("Cc", "Cs"):  # control characters and halves of surrogate pairs
            raise QueryError(f"{what} {text!r} holds the control character {character!r}: remove it")
    return text


def _read_list(text: str) -> list[object]:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise QueryError(f"broken JSON, {error}: a query that begins with [ is a list such as {EXAMPLE}") from None


def _from_json(item: object, place: int) -> Query:
    """The query of one item of a JSON list, the `place`-th."""
    if isinstance(item, str):
        item = {"text": item}
    if not isinstance(item, dict):
        raise QueryError(f"prompt {place} is {json.dumps(item)[:40]}: expected a text or an object, as in {EXAMPLE}")
    for key in item:
        if key not in KEYS:
            raise QueryError(f"key {key!r} of prompt {place}: expected one of {', '.join(KEYS)}")
    text, label, threshold = item.get("text", ""), item.get("label", ""), item.get("threshold")
    once = item.get("once", False)
    for key, value in (("text", text), ("label", label)):
        if not isinstance(value, str):
            raise QueryError(f"{key} {value!r} of prompt {place}: expected a string")
    if isinstance(threshold, bool) or not isinstance(threshold, (int, float, type(None))):
        raise QueryError(f"threshold {threshold!r} of prompt {place}: expected a number above 0 and at most 1")
    if not isinstance(once, bool):
        raise QueryError(f"once {once!r} of prompt {place}: expected true or false")
    try:
        return Query(Prompt(clean(text, "text"), label=clean(label, "label"), threshold=threshold), once=once)
    except PromptError as error:
        raise QueryError(f"prompt {place}: {error}") from None


def _to_json(query: Query) -> str | dict[str, object]:
    prompt = query.prompt
    more = {"label": prompt.label, "threshold": prompt.threshold, "once": query.once}
    given = {key: value for key, value in more.items() if value not in ("", None, False)}
    return {"text": prompt.text, **given} if given else prompt.text

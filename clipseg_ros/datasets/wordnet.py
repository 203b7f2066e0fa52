# SPDX-License-Identifier: Apache-2.0
"""Nouns of Princeton WordNet, from the user's own copy: what lies under a synset, and base forms of words.

Expected: index.noun, data.noun and noun.exc in one folder, "dict" of a WordNet 3.x release or "corpora/wordnet" of
NLTK's data; some copies lack noun.exc, and that of another release will do. Formats: wndb(5WN), rules of base forms:
morphy(7WN).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple, TypeVar

from clipseg_ros.datasets import DatasetError, expect

HYPONYMS = ("~", "~i")  # kinds and instances
WHAT = "a file of WordNet's noun database, from the folder 'dict' of a WordNet release"
# Endings of plurals; "ves" is NLTK's, the others WordNet's own.
ENDINGS = (
    ("s", ""), ("ses", "s"), ("ves", "f"), ("xes", "x"), ("zes", "z"), ("ches", "ch"), ("shes", "sh"), ("men", "man"),
    ("ies", "y"),
)
Parsed = TypeVar("Parsed")


class Synset(NamedTuple):
    """Its names, lower case with underscores, and where its hyponyms begin in data.noun."""

    names: tuple[str, ...]
    hyponyms: tuple[int, ...]


class WordNet:
    """The nouns in `folder`. Raises DatasetError where a file is missing or not as described."""

    def __init__(self, folder: Path) -> None:
        self._senses = dict(_parsed(folder / "index.noun", _senses))
        self._synsets = dict(_parsed(folder / "data.noun", _synset))
        self._irregular = dict(_parsed(folder / "noun.exc", _irregular))

    def names_under(self, seeds: Iterable[str]) -> frozenset[str]:
        """All names, lower case with blanks, of the synsets that the seeds name and of everything below them.

        A seed is written "cat.n.01": the first sense of the noun cat. Raises DatasetError for an unknown one.
        """
        ahead, seen = [self._offset(seed) for seed in seeds], set()
        names: set[str] = set()
        while ahead:
            offset = ahead.pop()
            if offset in seen:
                continue
            if offset not in self._synsets:
                raise DatasetError(f"data.noun: no synset at {offset:08d}, though others point there; a damaged copy?")
            seen.add(offset)
            names.update(name.replace("_", " ") for name in self._synsets[offset].names)
            ahead.extend(self._synsets[offset].hyponyms)
        return frozenset(names)

    def base_form(self, word: str) -> str:
        """The shortest noun that the word can be a form of, as NLTK chooses ("glasses": glass); else the word itself.

        Lower case. Of equally short ones not the word itself, as in NLTK, but its base: "men" is a noun too, but man.
        """
        word = word.lower()
        forms = self._irregular.get(word) or tuple(
            word[: -len(ending)] + base for ending, base in ENDINGS if word.endswith(ending)
        )
        return min((form for form in (*forms, word) if form in self._senses), key=len, default=word)

    def _offset(self, seed: str) -> int:
        parts = seed.rsplit(".", 2)
        if len(parts) != 3 or parts[1] != "n" or not parts[2].isdecimal():
            raise DatasetError(f"synset {seed!r}: expected a noun and its sense, as 'cat.n.01'")
        senses, number = self._senses.get(parts[0].lower(), ()), int(parts[2])
        if not 1 <= number <= len(senses):
            raise DatasetError(f"synset {seed!r}: this WordNet has {len(senses)} senses of {parts[0]!r}")
        return senses[number - 1]


def _parsed(path: Path, parse: Callable[[list[str]], Parsed]) -> Iterable[Parsed]:
    """What each line's fields say; lines that begin with a blank are the licence."""
    try:
        lines = expect(path, WHAT).read_text("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: no text ({error}); expected {WHAT}") from None
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.startswith(" "):
            try:
                yield parse(line.split())
            except (ValueError, IndexError):
                raise DatasetError(f"{path}, line {number}: {line[:60]!r}; expected {WHAT}") from None


def _senses(fields: list[str]) -> tuple[str, tuple[int, ...]]:
    """index.noun: lemma pos synset_cnt p_cnt [symbol...] sense_cnt tagsense_cnt offset..."""
    count, pointers = int(fields[2]), int(fields[3])
    offsets = fields[6 + pointers :]
    if len(offsets) != count:
        raise ValueError
    return fields[0], tuple(map(int, offsets))


def _synset(fields: list[str]) -> tuple[int, Synset]:
    """data.noun: offset lex_filenum ss_type w_cnt [word lex_id]... p_cnt [symbol offset pos source/target]... | gloss;
    w_cnt is hexadecimal."""
    after = 4 + 2 * int(fields[3], 16)
    end = after + 1 + 4 * int(fields[after])
    if fields[end] != "|":
        raise ValueError
    names = tuple(name.lower() for name in fields[4:after:2])
    pointers = zip(fields[after + 1 : end : 4], fields[after + 2 : end : 4])
    return int(fields[0]), Synset(names, tuple(int(offset) for symbol, offset in pointers if symbol in HYPONYMS))


def _irregular(fields: list[str]) -> tuple[str, tuple[str, ...]]:
    """noun.exc: plural base..."""
    if len(fields) < 2:
        raise ValueError
    return fields[0], tuple(fields[1:])

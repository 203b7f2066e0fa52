# SPDX-License-Identifier: Apache-2.0
"""WordNet's noun files in miniature, written as wndb(5WN) says: byte offsets, hexadecimal counts, licence lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from clipseg_ros.datasets import DatasetError
from clipseg_ros.datasets.wordnet import WordNet

LICENCE = "  1 This software and database is being provided to you, the LICENSEE, | by nobody  \n"
SYNSETS = {  # names: (pointers); in the order of the file
    ("animal",): (("~", "cat"), ("~", "Horse")),
    ("cat", "true_cat"): (("@", "animal"), ("~", "tabby_cat"), ("#m", "Horse")),
    ("tabby_cat", "tabby"): (("@", "cat"), ("~i", "Tom")),
    ("Tom",): (("@i", "tabby_cat"),),
    ("Horse", "Equus_caballus", *(f"nag{number}" for number in range(9))): (("@", "animal"), ("~", "animal")),
    ("guy", "cat"): (),
    ("glass",): (),
    ("glasses",): (),
    ("ox",): (),
    ("leaf",): (),
    ("pony",): (),
    ("woman",): (),
    ("man",): (),
    ("men",): (),
}


def _offsets() -> dict[str, int]:
    """Where the synset of a first name begins: written twice, as offsets have eight digits in any case."""
    where = dict.fromkeys((names[0] for names in SYNSETS), 0)
    position = len(LICENCE)
    for names, pointers in SYNSETS.items():
        where[names[0]] = position
        position += len(_line(names, pointers, where))
    return where


def _line(names: tuple[str, ...], pointers: tuple, where: dict[str, int]) -> str:
    words = " ".join(f"{name} {number:x}" for number, name in enumerate(names))
    links = "".join(f" {symbol} {where[name]:08d} n 0000" for symbol, name in pointers)
    head = f"{where[names[0]]:08d} 05 n {len(names):02x} {words} {len(pointers):03d}{links}"
    return f"{head} | a gloss; \"with | bars\"  \n"


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    where = _offsets()
    data = LICENCE + "".join(_line(names, pointers, where) for names, pointers in SYNSETS.items())
    senses: dict[str, list[int]] = {}
    for names in SYNSETS:
        for name in names:
            senses.setdefault(name.lower(), []).append(where[names[0]])
    index = LICENCE + "".join(
        f"{name} n {len(found)} 2 @ ~ {len(found)} 1 {' '.join(f'{offset:08d}' for offset in found)}  \n"
        for name, found in sorted(senses.items())
    )
    (tmp_path / "data.noun").write_text(data)
    (tmp_path / "index.noun").write_text(index)
    (tmp_path / "noun.exc").write_text("oxen ox\nfeet foot feet\nkine cow\n")
    return tmp_path


def test_everything_below_a_synset_is_named_instances_too(folder):
    assert WordNet(folder).names_under(["cat.n.01"]) == {"cat", "true cat", "tabby cat", "tabby", "tom"}


def test_a_seed_names_a_sense(folder):
    assert WordNet(folder).names_under(["cat.n.02"]) == {"guy", "cat"}
    assert WordNet(folder).names_under(["true_cat.n.01", "cat.n.02"]) >= {"tom", "guy"}
    assert WordNet(folder).names_under([]) == frozenset()


def test_a_circle_of_hyponyms_ends(folder):
    assert {"animal", "equus caballus", "nag8", "tom"} <= WordNet(folder).names_under(["horse.n.01"])


@pytest.mark.parametrize(
    ("word", "base"),
    [
        ("cats", "cat"), ("Cats", "cat"), ("cat", "cat"), ("s", "s"), ("oxen", "ox"), ("oxes", "ox"),
        ("glasses", "glass"), ("glass", "glass"), ("leaves", "leaf"), ("ponies", "pony"), ("women", "woman"),
        ("men", "man"), ("kine", "kine"), ("blurbs", "blurbs"),
    ],
)
def test_plurals_have_a_base_form(folder, word, base):
    assert WordNet(folder).base_form(word) == base


@pytest.mark.parametrize("seed", ["cat", "cat.v.01", "cat.n.x", "cat.n.0", "cat.n.03", "dragon.n.01"])
def test_an_unknown_seed_is_named(folder, seed):
    with pytest.raises(DatasetError, match=seed):
        WordNet(folder).names_under([seed])


@pytest.mark.parametrize("name", ["index.noun", "data.noun", "noun.exc"])
def test_a_missing_or_damaged_file_is_named(folder, name):
    whole = (folder / name).read_text()
    (folder / name).write_text(whole + "halfaline\n")
    with pytest.raises(DatasetError, match=rf"{name}, line \d+: 'halfaline'; expected a file of WordNet"):
        WordNet(folder)
    (folder / name).write_bytes(b"\xff\xfe")
    with pytest.raises(DatasetError, match=f"{name}: no text"):
        WordNet(folder)
    (folder / name).unlink()
    with pytest.raises(DatasetError, match=f"{name}: not there; expected .* the folder 'dict'"):
        WordNet(folder)


@pytest.mark.parametrize(
    ("name", "line"),
    [("index.noun", "cat n 2 1 @ 1 0 00000001"), ("data.noun", "00000001 05 n 01 cat 0 001 | a gloss")],
)
def test_counts_that_do_not_fit_their_line_are_seen(folder, name, line):
    (folder / name).write_text(line + "\n")
    with pytest.raises(DatasetError, match=f"{name}, line 1"):
        WordNet(folder)


def test_a_pointer_to_nowhere_is_seen(folder):
    (folder / "data.noun").write_text("\n".join((folder / "data.noun").read_text().splitlines()[:3]))
    with pytest.raises(DatasetError, match="no synset at"):
        WordNet(folder).names_under(["cat.n.01"])

# SPDX-License-Identifier: Apache-2.0
"""Where published recipes take their examples from: small PhraseCut and COCO-20i folders, opened as recipes do."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipseg_ros.datasets import DatasetError
from clipseg_ros.datasets.class_names import COCO80
from clipseg_ros.datasets.coco20i import fold_classes
from clipseg_ros.datasets.episodes import EpisodeFolder
from clipseg_ros.datasets.phrasecut_plus import SHUFFLE_PLUS, Drawing
from clipseg_ros.training import sources
from clipseg_ros.training.published import RECIPES
from clipseg_ros.training.sources import EpisodeExamples

# Of fold 0 and of the first two unseen pairs, with the sense that is meant where it is not the first
SYNSETS = ("aeroplane", "bicycle", "bird", "vessel", "bottle", "cattle", "motorcycle", "sofa")
NUMBERS = {"vessel": 2}


@pytest.fixture
def phrasecut(tmp_path: Path) -> Path:
    """Three pictures with a phrase each, one of them an aeroplane, and a WordNet that knows little else."""
    (tmp_path / "images").mkdir()
    phrases = {1: "red mug", 2: "small aeroplanes", 3: "red mug"}
    tasks = []
    for number, phrase in phrases.items():
        Image.new("RGB", (40, 32), (number, 0, 0)).save(tmp_path / "images" / f"{number}.jpg")
        square = [[4, 4], [20, 4], [20, 20], [4, 20]]
        tasks.append({"task_id": f"{number}__0", "image_id": number, "phrase": phrase, "Polygons": [[square]]})
    listed = [{"image_id": number, "width": 40, "height": 32} for number in phrases]
    (tmp_path / "image_data_split.json").write_text(json.dumps(listed))
    (tmp_path / "refer_train.json").write_text(json.dumps(tasks))
    return tmp_path


def write_wordnet(folder: Path, names: tuple[str, ...]) -> None:
    """data.noun and index.noun with a synset of one name each, at the sense that CLIPSeg asks for."""
    folder.mkdir()
    data, index = "", []
    for name in names:
        senses = NUMBERS.get(name, 1)
        offsets = []
        for _ in range(senses):
            offsets.append(len(data))
            data += f"{len(data):08d} 03 n 01 {name} 0 000 | a thing  \n"
        index.append(f"{name} n {senses} 0 {senses} 0 {' '.join(f'{one:08d}' for one in offsets)}  ")
    (folder / "data.noun").write_text(data)
    (folder / "index.noun").write_text("\n".join(sorted(index)) + "\n")
    (folder / "noun.exc").write_text("")


def test_phrasecut_gives_an_example_for_every_sample(phrasecut: Path) -> None:
    source = sources.phrasecut(RECIPES["clipseg-pc"], phrasecut, "train")
    assert len(source) == 3
    sample = source.draw(0, np.random.default_rng(0))
    assert sample.image.shape == (352, 352, 3) and sample.prompts[0].support is None


@pytest.mark.parametrize("name", ["clipseg-pc-pascal0", "clipseg-pc+-unseen4"])
def test_phrases_of_a_test_class_are_left_out(phrasecut: Path, name: str) -> None:
    write_wordnet(phrasecut / "wordnet", SYNSETS)
    recipe = replace(RECIPES[name], drawing=Drawing(negatives=0.0))
    source = sources.phrasecut(recipe, phrasecut, "train")
    drawn = {source.draw(index, np.random.default_rng(0)).prompts[0].label for index in range(len(source))}
    assert len(source) == 2 and drawn == {"red mug"}


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """Two pictures that hold every class but the 20 that fold 1 tests, in a row of pixels each."""
    trained = fold_classes(1, "train")
    values = np.array([[number + 1] * 8 for number in trained], np.uint8)
    names = [f"train2014/COCO_train2014_{number:012d}.jpg" for number in range(2)]
    for name in names:
        picture, labels = tmp_path / name, (tmp_path / "annotations" / name).with_suffix(".png")
        for path in (picture, labels):
            path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values).save(labels)
        Image.new("RGB", values.shape[::-1], (80, 0, 0)).save(picture)
    lists = tmp_path / "splits" / "coco" / "trn" / "fold1.pkl"
    lists.parent.mkdir(parents=True)
    lists.write_bytes(pickle.dumps({number: names if number in trained else [] for number in range(80)}))
    return tmp_path


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "COCO_EPISODES", 300)


def test_coco_trains_on_the_classes_of_the_other_folds(coco: Path, few: None) -> None:
    source = sources.coco(RECIPES["clipseg-coco-fold1"], coco, "train")
    assert len(source) == 300
    names = set()
    for index in range(100):
        sample = source.draw(index, np.random.default_rng(index))
        (prompt,) = sample.prompts
        names.add(prompt.label)
        assert sample.image.shape == (352, 352, 3) and sample.target.any() and prompt.support is not None
        assert prompt.text in {template.replace("{}", prompt.label) for template in SHUFFLE_PLUS}
    assert len(names) > 30 and not names & {COCO80[number] for number in fold_classes(1)}


def test_negatives_ask_for_another_class_and_the_target_is_what_is_seen_of_it(coco: Path, few: None) -> None:
    recipe = RECIPES["clipseg-coco+n-fold1"]
    source = sources.coco(replace(recipe, drawing=replace(recipe.drawing, negatives=1.0)), coco, "train")
    rows = fold_classes(1, "train")
    for index in range(20):
        sample = source.draw(index, np.random.default_rng(index))
        asked = COCO80.index(sample.prompts[0].label)
        assert asked != source._episodes.episodes[index].number and sample.classes == (asked,)
        centre = (rows.index(asked) + 0.5) / len(rows) * 352
        assert abs(np.argwhere(sample.target[0])[:, 0].mean() - centre) < 4


def test_negatives_need_a_second_class(coco: Path, few: None) -> None:
    episodes = sources.coco(RECIPES["clipseg-coco-fold1"], coco, "train")._episodes
    first = episodes.episodes[0]
    alone = EpisodeFolder(tuple(one for one in episodes.episodes if one.number == first.number), episodes.names)
    with pytest.raises(ValueError, match="negatives of episodes of a single class"):
        EpisodeExamples(alone, Drawing())


def test_coco_has_no_split_to_validate_on(coco: Path) -> None:
    with pytest.raises(DatasetError, match="split 'val' of COCO-20i: it has none but the test's"):
        sources.coco(RECIPES["clipseg-coco-fold1"], coco, "val")

# SPDX-License-Identifier: Apache-2.0
"""PhraseCut+: crops, absent phrases and supports, drawn from a small PhraseCut on disk."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipseg_ros.datasets.phrasecut import PhraseCut
from clipseg_ros.datasets.phrasecut_plus import SHUFFLE_PLUS, Drawing, PhraseCutPlus, object_window, squashed

# picture: (phrase, left edge of an 8 x 8 square); pictures are 64 x 32
TASKS = {1: [("mug", 4), ("table", 40)], 2: [("mug", 50)], 3: [("lone cat", 20)], 4: [("table", 0)]}
PLAIN = Drawing(side=32, negatives=0.0, templates=("{}",))


@pytest.fixture(name="phrasecut")
def _phrasecut(tmp_path: Path) -> PhraseCut:
    """The square of a phrase is white on a picture whose grey level is ten times its number."""
    (tmp_path / "images").mkdir()
    tasks = []
    for image_id, found in TASKS.items():
        image = np.full((32, 64, 3), 10 * image_id, np.uint8)
        for number, (phrase, left) in enumerate(found):
            image[12:20, left : left + 8] = 255
            square = [[left, 12], [left + 7, 12], [left + 7, 19], [left, 19]]
            tasks.append({"task_id": f"{image_id}__{number}", "image_id": image_id, "phrase": phrase,
                          "Polygons": [[square]]})
        Image.fromarray(image).save(tmp_path / "images" / f"{image_id}.jpg", quality=100)
    listed = [{"image_id": key, "width": 64, "height": 32} for key in TASKS]
    (tmp_path / "image_data_split.json").write_text(json.dumps(listed))
    (tmp_path / "refer_train.json").write_text(json.dumps(tasks))
    return PhraseCut(tmp_path, "train")


def _drawn(phrasecut: PhraseCut, drawing: Drawing, count: int = 80) -> list:
    plus = PhraseCutPlus(phrasecut, drawing)
    return [plus.draw(seed % len(plus), np.random.default_rng(seed)) for seed in range(count)]


def _grey(image: np.ndarray) -> int:
    """The number of a picture, from its level."""
    return round(float(np.median(image)) / 10)


def test_a_crop_holds_the_object_and_its_mask_fits(phrasecut):
    for sample in _drawn(phrasecut, PLAIN):
        assert sample.image.shape == (32, 32, 3)
        assert sample.target.shape == (1, 32, 32)
        assert sample.target.any()
        assert sample.image[sample.target[0]].min() > 200


def test_same_seed_draws_the_same(phrasecut):
    plus = PhraseCutPlus(phrasecut, Drawing(side=24))
    first, second = (plus.draw(0, np.random.default_rng(7)) for _ in range(2))
    assert first.prompts == second.prompts
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.target, second.target)
    assert len({plus.draw(0, np.random.default_rng(seed)).image.tobytes() for seed in range(20)}) > 3


def test_negatives_have_another_phrase_and_no_target(phrasecut):
    samples = _drawn(phrasecut, replace(PLAIN, negatives=0.2), 300)
    own = {sample.name: phrase for sample, phrase in zip((phrasecut[i] for i in range(5)), phrasecut.phrases)}
    negative = [sample for sample in samples if sample.prompts[0].label != own[sample.name]]
    assert 0.13 < len(negative) / len(samples) < 0.27
    assert all(sample.target.any() == (sample.prompts[0].label == own[sample.name]) for sample in samples)


def test_a_phrase_that_the_picture_has_is_no_negative_unless_wanted(phrasecut):
    everything = replace(PLAIN, negatives=1.0)
    found = [{s.prompts[0].label for s in _drawn(phrasecut, d) if s.name == "1__0"}
             for d in (everything, replace(everything, absent_negatives=False))]
    assert found == [{"lone cat"}, {"lone cat", "table"}]


def test_supports_show_the_phrase_in_another_picture(phrasecut):
    for sample in _drawn(phrasecut, PLAIN):
        prompt = sample.prompts[0]
        if prompt.text == "lone cat":
            assert prompt.support is None
            assert prompt.text_weight == 1.0
        else:
            assert _grey(prompt.support.image) == {"1__0": 2, "1__1": 4, "2__0": 1, "4__0": 1}[sample.name]
            assert prompt.support.image[prompt.support.mask].min() > 200


def test_the_query_may_be_its_own_support_as_in_the_authors_code(phrasecut):
    samples = _drawn(phrasecut, replace(PLAIN, other_support=False))
    assert {_grey(s.prompts[0].support.image) for s in samples if s.name == "1__0"} == {1, 2}


def test_the_support_of_a_negative_follows_its_phrase_and_is_not_of_the_query(phrasecut):
    samples = _drawn(phrasecut, replace(PLAIN, negatives=1.0, absent_negatives=False))
    prompts = [s.prompts[0] for s in samples if s.name == "1__0"]
    assert {(p.text, p.support and _grey(p.support.image)) for p in prompts} == {("lone cat", None), ("table", 4)}


def test_two_samples_of_one_picture_are_no_support_for_each_other(phrasecut):
    alone = phrasecut.only(lambda phrase: phrase == "mug")
    alone._tasks = [task._replace(image_id=1) for task in alone._tasks]
    assert all(s.prompts[0].support is None for s in _drawn(alone, PLAIN, 20))


def test_without_supports_there_is_text_alone(phrasecut):
    assert all(s.prompts[0].support is None for s in _drawn(phrasecut, replace(PLAIN, supports=False), 20))


def test_text_weights_fill_their_range_and_no_more(phrasecut):
    drawn = [s.prompts[0] for s in _drawn(phrasecut, replace(PLAIN, text_weight=(0.2, 0.6)))]
    weights = [prompt.text_weight for prompt in drawn if prompt.support is not None]
    assert 0.2 <= min(weights) < 0.25
    assert 0.55 < max(weights) <= 0.6


def test_every_template_is_drawn_and_the_phrase_is_the_label(phrasecut):
    prompts = [s.prompts[0] for s in _drawn(phrasecut, replace(PLAIN, templates=SHUFFLE_PLUS), 200) if s.name == "2__0"]
    assert {prompt.text for prompt in prompts} == {template.format("mug") for template in SHUFFLE_PLUS}
    assert {prompt.label for prompt in prompts} == {"mug"}


def test_a_support_whose_crop_misses_the_object_is_none(phrasecut):
    samples = _drawn(phrasecut, replace(PLAIN, tries=1))
    assert {s.prompts[0].support is None for s in samples if s.name == "2__0"} == {True, False}


def test_a_window_exceeds_the_share_of_the_whole_picture_where_it_can():
    mask = np.zeros((20, 100), bool)
    mask[:, 10:20] = True
    for seed in range(50):
        rows, columns = object_window(mask, 0.05, 50, np.random.default_rng(seed))
        assert (rows, columns.stop - columns.start) == (slice(0, 20), 20)
        assert mask[rows, columns].sum() > 100
        assert object_window(mask.T, 0.05, 50, np.random.default_rng(seed)) == (columns, rows)


def test_else_a_window_holds_as_much_as_any_that_was_tried():
    mask = np.zeros((20, 200), bool)
    mask[:2, 150:152] = True
    _, columns = object_window(mask, 0.05, 2000, np.random.default_rng(0))
    assert columns.start <= 150
    assert columns.stop >= 152


def test_a_mask_and_its_image_shrink_alike():
    image = np.zeros((64, 64, 3), np.uint8)
    image[16:48, 8:32] = 255
    small, mask = squashed(image, image[..., 0] > 0, 16)
    np.testing.assert_array_equal(small[..., 0] > 127, mask)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"text_weight": (0.5, 0.2)}, "text_weight"), ({"text_weight": (0.0, 1.5)}, "text_weight"),
        ({"negatives": 1.5}, "negatives 1.5"), ({"least_share": -0.1}, "least_share -0.1"),
        ({"side": 0}, "side 0"), ({"tries": 0}, "tries 0"), ({"templates": ()}, "templates"),
        ({"templates": ("a photo",)}, "templates"),
    ],
)
def test_settings_out_of_range_are_named(setting, message):
    with pytest.raises(ValueError, match=message):
        Drawing(**setting)


def test_negatives_need_a_phrase_that_is_absent(phrasecut):
    with pytest.raises(ValueError, match="no samples"):
        PhraseCutPlus(phrasecut.only(lambda phrase: False))
    with pytest.raises(ValueError, match="1 phrases, all of one picture"):
        PhraseCutPlus(phrasecut.only(lambda phrase: phrase == "mug"))

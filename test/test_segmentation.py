# SPDX-License-Identifier: Apache-2.0
"""The nouns: what they refuse, when they are equal, which threshold counts."""

import numpy as np
import pytest

from clipseg_ros.masks import LogitMaps
from clipseg_ros.segmentation import Frame, Prompt, PromptError, Segmentation, Support, Verdict, check_image

IMAGE = np.zeros((2, 3, 3), np.uint8)
MASK = np.array([[True, False, False], [False, False, False]])


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((2, 3), np.uint8),
        np.zeros((2, 3, 4), np.uint8),
        np.zeros((2, 3, 3), np.float32),
        np.zeros((0, 3, 3), np.uint8),
    ],
)
def test_what_is_no_image_is_refused_with_its_shape_and_dtype(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match=rf"shape \({image.shape[0]}, 3.*dtype {image.dtype}: expected \(H, W, 3\)"):
        check_image(image)
    with pytest.raises(ValueError, match="expected"):
        Frame(image)


def test_a_frame_keeps_stamp_and_frame_id() -> None:
    frame = Frame(IMAGE, 12, "camera_optical")
    assert (frame.stamp_ns, frame.frame_id) == (12, "camera_optical")


def test_a_prompt_without_text_and_support_is_refused() -> None:
    with pytest.raises(PromptError, match="without text and without support"):
        Prompt()


@pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan")])
def test_a_text_weight_outside_its_range_is_refused(weight: float) -> None:
    with pytest.raises(PromptError, match=f"text_weight {weight}: expected 0"):
        Prompt("cup", text_weight=weight)


@pytest.mark.parametrize("threshold", [0.0, 1.01, float("nan")])
def test_a_threshold_outside_its_range_is_refused(threshold: float) -> None:
    with pytest.raises(PromptError, match=f"threshold {threshold} of 'cup': expected above 0"):
        Prompt("cup", threshold=threshold)


def test_a_prompt_is_named_by_its_label_then_its_text_then_its_support() -> None:
    support = Support(IMAGE, MASK)
    assert Prompt("cup", label="mine").name == "mine"
    assert Prompt("cup", support=support).name == "cup"
    assert Prompt(support=support).name == f"support {support.digest[:8]}"


def test_supports_are_equal_when_their_pixels_are() -> None:
    first, second = Support(IMAGE, MASK), Support(IMAGE.copy(), MASK.copy())
    assert first == second and hash(first) == hash(second)
    assert Prompt(support=first) == Prompt(support=second)
    assert first != Support(IMAGE + 1, MASK) and first != Support(IMAGE, ~MASK) and first != "cup"


def test_supports_of_the_same_bytes_in_another_shape_differ() -> None:
    assert Support(IMAGE, MASK) != Support(IMAGE.reshape(3, 2, 3), MASK.reshape(3, 2))


@pytest.mark.parametrize("mask", [MASK.T, MASK.astype(np.uint8)])
def test_a_support_mask_unlike_its_image_is_refused(mask: np.ndarray) -> None:
    with pytest.raises(PromptError, match=r"support mask of shape .* expected \(2, 3\) bool"):
        Support(IMAGE, mask)


def test_an_empty_support_mask_is_refused() -> None:
    with pytest.raises(PromptError, match="support mask is empty"):
        Support(IMAGE, np.zeros((2, 3), bool))


def segmentation(**thresholds: float | None) -> Segmentation:
    """Prompts with these own thresholds, scored 0.5 everywhere, under an engine whose default is 0.4."""
    prompts = tuple(Prompt(text, threshold=value) for text, value in thresholds.items())
    return Segmentation(prompts, LogitMaps(np.zeros((len(prompts), 1, 1), np.float32), (2, 2)), threshold=0.4)


def test_the_prompts_threshold_beats_the_calls_which_beats_the_engines() -> None:
    found = segmentation(own=0.6, plain=None)
    assert found.masks().all(axis=(1, 2)).tolist() == [False, True]
    assert found.masks(threshold=0.7).any(axis=(1, 2)).tolist() == [False, False]
    assert found.masks(threshold=0.1).all(axis=(1, 2)).tolist() == [False, True]
    assert found.present.tolist() == [False, True]
    assert found.labels().tolist() == [[2, 2], [2, 2]]


def test_a_score_equal_to_the_threshold_belongs() -> None:
    assert segmentation(cup=0.5).mask().all()


def test_the_mask_is_the_union_of_the_masks() -> None:
    logits = np.array([[[2.0, -2.0]], [[-2.0, 2.0]], [[-2.0, -2.0]]], np.float32)
    found = Segmentation((Prompt("a"), Prompt("b"), Prompt("c")), LogitMaps(logits, (1, 4)), 0.5)
    assert (
        (found.mask() == found.masks().any(axis=0)).all() and found.mask().any() and found.present.tolist() == [1, 1, 0]
    )


def test_nothing_asked_is_nothing_found() -> None:
    found = segmentation()
    assert found.scores.shape == (0, 2, 2) and found.masks().shape == (0, 2, 2) and found.present.shape == (0,)
    assert not found.score.any() and not found.labels().any() and not found.mask().any()


def test_an_engine_that_does_not_judge_gives_no_verdicts() -> None:
    assert segmentation(cup=None).verdicts == () and Verdict(0.2).dropped_at is None

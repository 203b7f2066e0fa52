# SPDX-License-Identifier: Apache-2.0
"""What a stream keeps from frame to frame, where it lets go, and that it follows what moves."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from clipseg_ros.masks import LogitMaps
from clipseg_ros.segmentation import Frame, Prompt, Segmentation, Support
from clipseg_ros.video import GRID_SIDE, LONGEST_GAP_S, Stream

SIZE, GRID = (240, 320), (60, 80)
MUG, BOWL = Prompt("mug"), Prompt("bowl")
STEP = 100_000_000  # ns between two frames


def texture(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """(H, W, 3) uint8: large and small blots of full contrast."""
    noise = np.random.default_rng(seed).normal(size=size).astype(np.float32)
    blots = sum(width * cv2.GaussianBlur(noise, (0, 0), width) for width in (4, 16))
    grey = cv2.normalize(blots, None, 0, 255, cv2.NORM_MINMAX)
    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)


def found(value: float | np.ndarray, *prompts: Prompt, size: tuple[int, int] = SIZE) -> Segmentation:
    """An engine's answer: this logit, or these of the grid, for each of the prompts (one mug where none is given)."""
    prompts = prompts or (MUG,)
    plane = np.broadcast_to(np.asarray(value, np.float32), GRID if np.ndim(value) == 0 else np.shape(value))
    return Segmentation(prompts, LogitMaps(np.array([plane] * len(prompts), np.float32), size), 0.5)


def marks(result: Segmentation) -> float:
    """The share of the picture that is marked."""
    return float(result.mask().mean())


@pytest.fixture
def seen() -> Stream:
    """A stream that saw mugs all over texture 0 at time 0."""
    stream = Stream()
    stream.smooth(Frame(texture(0), 0), found(4.0), 0.9)
    return stream


def test_without_smoothing_the_result_is_the_engines_own(seen: Stream) -> None:
    result = found(-4.0)
    assert seen.smooth(Frame(texture(0), STEP), result, 0.0) is result
    assert marks(seen.smooth(Frame(texture(0), 2 * STEP), result, 0.9)) == 0.0  # what was before is forgotten


def test_the_first_frame_says_what_the_engine_says() -> None:
    result = found(np.random.default_rng(0).normal(0, 5, GRID))
    smoothed = Stream().smooth(Frame(texture(0)), result, 0.9)
    np.testing.assert_allclose(smoothed.scores, result.scores, atol=1e-5)
    assert smoothed.prompts == result.prompts and smoothed.threshold == result.threshold
    assert smoothed.maps.logits.shape == (1, *GRID)


def test_noise_of_a_still_picture_falls_as_the_weight_says() -> None:
    rng, stream, results = np.random.default_rng(0), Stream(), []
    for index in range(50):
        noisy = found(rng.normal(0, 0.02, GRID))
        results.append(stream.smooth(Frame(texture(0), index * STEP), noisy, 0.8).maps.logits)
    ratio = np.std(results[20:]) / 0.02
    assert ratio == pytest.approx(np.sqrt((1 - 0.8) / (1 + 0.8)), rel=0.1)


@pytest.mark.parametrize("smoothing", [0.3, 0.9])
def test_one_frame_of_certainty_does_not_outvote_the_past(smoothing: float) -> None:
    stream = Stream()
    stream.smooth(Frame(texture(0), 0), found(2.0), smoothing)
    after = stream.smooth(Frame(texture(0), STEP), found(-30.0), smoothing)
    assert (marks(after) == 1.0) == (smoothing == 0.9)


@pytest.mark.parametrize(("right", "down"), [(8, 0), (-16, 12), (0, -20)])
def test_what_was_found_moves_with_its_surface(right: int, down: int) -> None:
    wide = texture(0, (300, 400))
    pictures = [wide[30:270, 40:360], wide[30 - down : 270 - down, 40 - right : 360 - right]]
    plane = np.full(GRID, -4.0, np.float32)
    plane[20:40, 30:50] = 4.0
    stream = Stream()
    stream.smooth(Frame(pictures[0].copy(), 0), found(plane), 1.0)
    moved = stream.smooth(Frame(pictures[1].copy(), STEP), found(0.0), 1.0).mask()
    expected = np.zeros(SIZE, bool)
    expected[80 + down : 160 + down, 120 + right : 200 + right] = True
    within = np.s_[24:-24, 24:-24]  # what came into sight has no past
    assert (moved & expected)[within].sum() / (moved | expected)[within].sum() > 0.93


def test_what_comes_into_sight_is_the_engines() -> None:
    wide, stream = texture(0, (240, 350)), Stream()
    stream.smooth(Frame(wide[:, 30:].copy(), 0), found(4.0), 1.0)
    mask = stream.smooth(Frame(wide[:, :320].copy(), STEP), found(-4.0), 1.0).mask()
    assert not mask[:, :25].any() and mask[:, 40:].mean() > 0.95


CHANGES: dict[str, tuple[Frame, Segmentation]] = {
    "a cut": (Frame(texture(1), STEP), found(-4.0)),
    "another size of image": (Frame(texture(0)[:200].copy(), STEP), found(-4.0, size=(200, 320))),
    "another grid": (Frame(texture(0), STEP), found(np.full((30, 40), -4.0))),
    "a long gap": (Frame(texture(0), int(LONGEST_GAP_S * 1e9) + 1), found(-4.0)),
    "time that runs backwards": (Frame(texture(0), -STEP), found(-4.0)),
    "another prompt": (Frame(texture(0), STEP), found(-4.0, BOWL)),
    "another weight of the text": (Frame(texture(0), STEP), found(-4.0, Prompt("mug", text_weight=0.2))),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_stream_starts_anew_after(seen: Stream, change: str) -> None:
    frame, result = CHANGES[change]
    np.testing.assert_allclose(seen.smooth(frame, result, 0.9).maps.logits, result.maps.logits, rtol=1e-5)


SAME: dict[str, tuple[Frame, Segmentation]] = {
    "nothing": (Frame(texture(0), STEP), found(-4.0)),
    "the exposure": (Frame(cv2.convertScaleAbs(texture(0), alpha=0.9, beta=20), STEP), found(-4.0)),
    "the label and the threshold": (Frame(texture(0), STEP), found(-4.0, Prompt("mug", label="cup", threshold=0.5))),
    "the order of the prompts": (Frame(texture(0), STEP), found(-4.0, BOWL, MUG)),
    "the stamp, which stands still": (Frame(texture(0), 0), found(-4.0)),
}


@pytest.mark.parametrize("change", SAME)
def test_the_past_stays_although_the_frame_changes_in(seen: Stream, change: str) -> None:
    assert marks(seen.smooth(*SAME[change], 0.9)) > 0.95


def test_forgetting_is_complete(seen: Stream) -> None:
    seen.reset()
    assert marks(seen.smooth(Frame(texture(0), STEP), found(-4.0), 0.9)) == 0.0


def test_a_prompt_that_comes_takes_nothing_from_the_one_that_stays(seen: Stream) -> None:
    masks = seen.smooth(Frame(texture(0), STEP), found(-4.0, MUG, BOWL), 0.9).masks()
    assert masks[0].mean() > 0.95 and not masks[1].any()


def test_supports_are_told_apart_by_their_pixels() -> None:
    prompts = [Prompt(support=Support(texture(seed), np.ones(SIZE, bool))) for seed in (3, 3, 4)]
    stream = Stream()
    stream.smooth(Frame(texture(0), 0), found(4.0, prompts[0]), 0.9)
    masks = stream.smooth(Frame(texture(0), STEP), found(-4.0, prompts[1], prompts[2]), 0.9).masks()
    assert masks[0].mean() > 0.95 and not masks[1].any()


def test_one_text_with_two_thresholds_is_smoothed_twice(seen: Stream) -> None:
    twice = found(-4.0, Prompt("mug", threshold=0.5), Prompt("mug", threshold=0.6))
    masks = seen.smooth(Frame(texture(0), STEP), twice, 0.9).masks()
    assert masks[0].mean() > 0.95 and masks[1].mean() > 0.95


def test_what_is_taken_away_leaves_with_its_pixels(seen: Stream) -> None:
    picture = texture(0)
    picture[60:180, 80:240] = texture(7)[60:180, 80:240]
    mask = seen.smooth(Frame(picture, STEP), found(-4.0), 0.9).mask()
    assert mask[70:170, 90:230].mean() < 0.2 < 0.95 < mask[:40].mean()  # two pictures are alike here and there


def test_a_plain_wall_with_noise_is_no_cut() -> None:
    rng, stream = np.random.default_rng(0), Stream()
    walls = [np.clip(rng.normal(128, 5, (*SIZE, 3)), 0, 255).astype(np.uint8) for _ in range(2)]
    stream.smooth(Frame(walls[0], 0), found(4.0), 0.9)
    assert marks(stream.smooth(Frame(walls[1], STEP), found(-4.0), 0.9)) > 0.95


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (400, 5), (17, 17)])
def test_small_and_thin_images_pass(size: tuple[int, int]) -> None:
    stream, picture = Stream(), texture(0, size)
    for index in range(3):
        smoothed = stream.smooth(Frame(picture, index * STEP), found(-4.0, size=size), 0.9)
    assert smoothed.labels().shape == size and not smoothed.mask().any()


def test_no_prompt_is_no_trouble(seen: Stream) -> None:
    nothing = Segmentation((), LogitMaps(np.empty((0, *GRID), np.float32), SIZE), 0.5)
    assert seen.smooth(Frame(texture(0), STEP), nothing, 0.9).scores.shape == (0, *SIZE)
    assert marks(seen.smooth(Frame(texture(0), 2 * STEP), found(-4.0), 0.9)) == 0.0


def test_the_engines_logits_are_not_written_to(seen: Stream) -> None:
    result = found(-4.0)
    first = seen.smooth(Frame(texture(0), STEP), result, 0.9).maps.logits
    kept = first.copy()
    seen.smooth(Frame(texture(0), 2 * STEP), found(4.0), 0.9)
    assert (result.maps.logits == -4.0).all() and (first == kept).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_broken_frame_is_passed_on_and_not_kept(seen: Stream, value: float) -> None:
    plane = np.full(GRID, -4.0)
    plane[3, 4] = value
    broken = found(plane)
    assert seen.smooth(Frame(texture(0), STEP), broken, 0.9) is broken
    assert np.isfinite(seen.smooth(Frame(texture(0), 2 * STEP), found(-4.0), 0.9).maps.logits).all()


class Scores:
    """ScoreMaps of another kind: scores (N, H, W) and no grid."""

    def __init__(self, scores: np.ndarray) -> None:
        self._scores = scores
        self.scores: Callable[[], np.ndarray] = lambda: self._scores


def test_scores_without_a_grid_are_smoothed_too() -> None:
    size = (480, 640)
    left = np.zeros((2, *size), np.float32)
    left[:, :, :320] = [[[1.0]], [[0.7]]]
    stream, picture = Stream(), texture(0, size)
    first = stream.smooth(Frame(picture, 0), Segmentation((MUG, BOWL), Scores(left), 0.5), 0.9)
    np.testing.assert_allclose(first.scores[:, :, :315], left[:, :, :315], atol=1e-5)
    assert first.maps.logits.shape == (2, GRID_SIDE * 3 // 4, GRID_SIDE) and first.present.all()
    after = stream.smooth(Frame(picture, STEP), Segmentation((MUG, BOWL), Scores(0 * left), 0.5), 0.9)
    assert after.masks()[0][:, :300].mean() > 0.95 and not after.masks()[0][:, 330:].any()


@pytest.mark.parametrize("smoothing", [-0.1, 1.1, float("nan")])
def test_a_weight_outside_0_to_1_is_refused(smoothing: float) -> None:
    with pytest.raises(ValueError, match=f"smoothing {smoothing}: expected 0 .* to 1"):
        Stream().smooth(Frame(texture(0)), found(1.0), smoothing)

# SPDX-License-Identifier: Apache-2.0
"""Masks shown to a classifier: the authors' pixels with their settings, geometry and independence with ours."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from clipseg_ros.models.mask_prompts import MEAN_GREY, PROMPTS, RED, MaskPrompt, PromptedFrame

GOLDEN = Path(__file__).parents[1] / "golden" / "car" / "masks"
SAME_ELLIPSES = tuple(int(part) for part in cv2.__version__.split(".")[:2]) >= (4, 13)
CASES = {"a": ("circle", "blur"), "b": ("blur", "gray"), "d": ("rectangle", "black")}


def published(names: tuple[str, ...]) -> MaskPrompt:
    """As the authors' code draws them."""
    return MaskPrompt(names, thickness=1, swapped_luma=True)


def with_box(size: tuple[int, int], rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask[rows, columns] = True
    return mask


def noise(size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)


@pytest.mark.parametrize("frame", ["blobs", "border"])
def test_prompts_are_the_authors(frame: str) -> None:
    with np.load(GOLDEN / "visual_prompts.npz") as arrays:
        expected = {key: arrays[key] for key in arrays.files if key.startswith(frame)}
    image, mask = expected.pop(f"{frame}/image"), expected.pop(f"{frame}/mask") > 0
    compared = 0
    for key, wanted in expected.items():
        version, names = key.split("/")[1].split("out_")
        if "circle" in names and (version == "") != SAME_ELLIPSES:
            continue
        shown = PromptedFrame(image, published(tuple(names.split("_")))).show(mask)
        np.testing.assert_array_equal(shown, wanted, err_msg=key)
        compared += 1
    assert compared >= 4


@pytest.mark.parametrize("case", sorted(CASES))
def test_a_step_of_the_authors_shows_the_same_images(case: str) -> None:
    if "circle" in CASES[case] and not SAME_ELLIPSES:
        pytest.skip("OpenCV before 4.13 draws another ellipse")
    with np.load(GOLDEN / f"case_{case}.npz") as arrays:
        frame = PromptedFrame(arrays["image"], published(CASES[case]))
        for mask, wanted in zip(arrays["bin_mask"], arrays["prompted"], strict=True):
            np.testing.assert_array_equal(frame.show(mask > 0), wanted)


@pytest.mark.parametrize("names", [("blur",), ("gray",), ("black",), ("blur", "gray"), ("gray", "black")])
def test_inside_the_mask_nothing_changes(names: tuple[str, ...]) -> None:
    image, mask = noise((40, 60)), with_box((40, 60), slice(10, 30), slice(0, 20))
    shown = PromptedFrame(image, MaskPrompt(names)).show(mask)
    np.testing.assert_array_equal(shown[mask], image[mask])
    assert (shown[~mask] != image[~mask]).mean() > 0.5


def test_gray_weighs_red_as_red() -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    image[..., 0] = 200
    mask = with_box((8, 8), slice(0, 2), slice(0, 2))
    assert PromptedFrame(image, MaskPrompt(("gray",))).show(mask)[7, 7].tolist() == [60, 60, 60]  # 0.299 of 200
    assert PromptedFrame(image, MaskPrompt(("gray",), swapped_luma=True)).show(mask)[7, 7].tolist() == [23, 23, 23]


def test_the_order_of_names_changes_nothing() -> None:
    image, mask = noise((50, 50)), with_box((50, 50), slice(10, 30), slice(5, 40))
    one = PromptedFrame(image, MaskPrompt(("circle", "gray", "blur"))).show(mask)
    np.testing.assert_array_equal(one, PromptedFrame(image, MaskPrompt(("blur", "circle", "gray"))).show(mask))


@pytest.mark.parametrize(("size", "width"), [((40, 60), 1), ((224, 300), 3), ((672, 900), 7)])
def test_an_outline_grows_with_the_frame(size: tuple[int, int], width: int) -> None:
    # OpenCV draws 2 n + 1 pixels for a thickness of 2 n.
    image, mask = np.zeros((*size, 3), np.uint8), with_box(size, slice(10, 30), slice(10, 30))
    shown = PromptedFrame(image, MaskPrompt(("rectangle",))).show(mask)
    assert (shown[20, :20] == RED).all(axis=-1).sum() == width


def test_the_outline_of_a_contour_leaves_holes_alone() -> None:
    mask = with_box((60, 60), slice(10, 50), slice(10, 50))
    mask[25:35, 25:35] = False
    shown = PromptedFrame(np.zeros((60, 60, 3), np.uint8), MaskPrompt(("contour",))).show(mask)
    assert (shown[10, 10] == RED).all()
    assert not shown[20:40, 20:40].any()


def test_a_crop_is_a_square_around_the_mask_in_mean_grey() -> None:
    image, mask = np.full((100, 200, 3), 9, np.uint8), with_box((100, 200), slice(40, 60), slice(50, 90))
    shown = PromptedFrame(image, MaskPrompt(("crop",), context=0.25)).show(mask)
    assert shown.shape == (60, 60, 3)  # 40 columns and a quarter on each side
    assert (shown[:15] == MEAN_GREY).all()
    assert (shown[15:45] == 9).all()  # 20 rows and a quarter on each side
    assert (shown[45:] == MEAN_GREY).all()


def test_a_crop_keeps_the_other_prompts() -> None:
    image, mask = noise((100, 200)), with_box((100, 200), slice(40, 60), slice(50, 70))
    shown = PromptedFrame(image, MaskPrompt(("crop", "black", "contour"), context=0.5)).show(mask)
    assert shown.shape == (40, 40, 3)
    assert not shown[:8].any()
    assert (shown[10, 10:30] == RED).all()
    np.testing.assert_array_equal(shown[12:28, 12:28], image[42:58, 52:68])


@pytest.mark.parametrize("names", [(name,) for name in PROMPTS] + [PROMPTS])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (300, 2)])
def test_tiny_frames_and_full_masks_do_not_crash(names: tuple[str, ...], size: tuple[int, int]) -> None:
    image = noise(size)
    before = image.copy()
    shown = PromptedFrame(image, MaskPrompt(names)).show(np.ones(size, bool))
    assert shown.dtype == np.uint8 and shown.shape[2] == 3
    np.testing.assert_array_equal(image, before)


def test_an_empty_mask_shows_the_frame() -> None:
    image = noise((20, 30))
    frame = PromptedFrame(image, MaskPrompt(("black", "circle", "crop")))
    np.testing.assert_array_equal(frame.show(np.zeros((20, 30), bool)), image)


@pytest.mark.parametrize("mask", [np.ones((20, 31), bool), np.ones((20, 30), np.uint8)])
def test_a_mask_of_another_size_or_type_is_refused(mask: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"expected \(20, 30\) bool"):
        PromptedFrame(noise((20, 30)), MaskPrompt(("blur",))).show(mask)


@pytest.mark.parametrize("names", ["blur", ("blur", "polygon")])
def test_an_unknown_prompt_is_refused_with_the_names(names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="expected a tuple of blur, gray"):
        MaskPrompt(names)


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="thickness 0"):
        MaskPrompt(("circle",), thickness=0)
    with pytest.raises(ValueError, match="context -0.1"):
        MaskPrompt(("crop",), context=-0.1)

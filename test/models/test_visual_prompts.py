# SPDX-License-Identifier: Apache-2.0
"""Visual prompts against the authors' pixels on square images, and against geometry on all others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from clipseg_ros.models import visual_prompts
from clipseg_ros.models.visual_prompts import VISUAL_PROMPTS, VisualPrompt, object_box, prompt_pixels
from clipseg_ros.models.weights import InputFormat
from clipseg_ros.segmentation import Support

GOLDEN = Path(__file__).parents[1] / "golden" / "clipseg" / "visual_prompt_golden.npz"
IMAGENET = InputFormat(64, np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32))
BEST = VISUAL_PROMPTS["crop_bg_blur_intensity_10"]
CROPS = [name for name, visual in VISUAL_PROMPTS.items() if visual.context is not None]
TECHNIQUES = {
    "red_object": VISUAL_PROMPTS["object_red"],
    "red_outline": VISUAL_PROMPTS["object_outline"],
    "crop_bg_blur_tight": VISUAL_PROMPTS["crop_bg_blur"],
    "crop_intensity_10_as_named": VISUAL_PROMPTS["crop_bg_intensity_10"],
    "crop_intensity_10_notebook": VISUAL_PROMPTS["crop_bg_intensity_10_notebook"],
    "blur1": VisualPrompt(blur=1.0),
    "blur5": VisualPrompt(blur=5.0),
}
SAME_NAME = ("bg_intensity_50", "bg_intensity_10", "bg_intensity_0", "bg_blur", "bg_blur_intensity_10", "crop")
SAME_NAME += ("crop_large_context", "crop_bg_blur_notebook", "crop_bg_blur_intensity_10")
TECHNIQUES.update({name: VISUAL_PROMPTS[name] for name in SAME_NAME})
MODES = {
    "overlay": VisualPrompt(background=0.0),
    "highlight": VisualPrompt(background=0.15),
    "crop": VisualPrompt(blur=1.0, context=0.1),
    "crop_blur_highlight": BEST,
}
Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def arrays() -> Arrays:
    with np.load(GOLDEN) as content:
        return dict(content)


def support_of(arrays: Arrays, mask: str) -> Support:
    return Support(arrays["image_u8"], arrays[f"mask/{mask}"] > 0)


def painted(size: tuple[int, int], box: tuple[int, int, int, int], seed: int = 0) -> Support:
    """Noise with a mask over the box left, right, top, bottom."""
    mask = np.zeros(size, bool)
    mask[box[2] : box[3], box[0] : box[1]] = True
    return Support(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8), mask)


def close(found: torch.Tensor, expected: np.ndarray, atol: float = 1e-5) -> None:
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected, atol=atol)


@pytest.mark.parametrize("mask", ["blob", "corner"])
@pytest.mark.parametrize("name", list(TECHNIQUES))
def test_every_row_is_the_authors(arrays: Arrays, name: str, mask: str) -> None:
    found = prompt_pixels(support_of(arrays, mask), TECHNIQUES[name], IMAGENET, 64, unit=1.0)
    close(found, arrays[f"technique/{name}/{mask}"])


@pytest.mark.parametrize("mask", ["blob", "corner"])
@pytest.mark.parametrize("name", list(MODES))
def test_the_modes_of_the_authors_data_sets_are_made_of_the_same_parts(arrays: Arrays, name: str, mask: str) -> None:
    found = prompt_pixels(support_of(arrays, mask), MODES[name], IMAGENET, 64, unit=1.0)
    close(found, arrays[f"mode/{name}/{mask}/0"])


def test_a_crop_of_352_pixels_is_the_authors(arrays: Arrays) -> None:
    found = prompt_pixels(support_of(arrays, "blob"), BEST, IMAGENET, 352, unit=1.0)
    close(found[:, 2::7, 4::7], arrays["mode/crop_blur_highlight352/blob/sub"])


def test_no_row_of_the_table_goes_unchecked() -> None:
    assert set(VISUAL_PROMPTS.values()) == set(TECHNIQUES.values()) - {TECHNIQUES["blur1"], TECHNIQUES["blur5"]}


@pytest.mark.parametrize("context", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("mask", ["blob", "corner"])
def test_the_box_is_the_authors(arrays: Arrays, mask: str, context: float) -> None:
    expected = arrays[f"bbox/{mask}/context{context}/square0"].tolist()
    assert list(object_box(arrays[f"mask/{mask}"] > 0, context)) == expected


@pytest.mark.parametrize(
    ("size", "box", "expected"),
    [
        ((48, 80), (60, 70, 20, 30), (59, 71, 19, 31)),
        ((80, 48), (20, 30, 60, 70), (19, 31, 59, 71)),
        ((48, 80), (70, 80, 0, 40), (69, 80, 0, 44)),
        ((3, 100), (0, 100, 0, 3), (0, 100, 0, 3)),
    ],
)
def test_the_box_of_a_rectangle_is_clipped_by_the_right_sides(
    size: tuple[int, int], box: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    assert object_box(painted(size, box).mask, 0.1) == expected


@pytest.mark.parametrize("window", [(slice(0, 64), slice(10, 64)), (slice(0, 60), slice(12, 58)), (slice(0, 60), ...)])
@pytest.mark.parametrize("name", ["crop", "crop_bg_intensity_10", "crop_bg_blur", "crop_bg_blur_intensity_10"])
def test_a_rectangle_cut_around_the_object_gives_the_authors_crop(arrays: Arrays, window: tuple, name: str) -> None:
    whole = support_of(arrays, "blob")
    part = Support(whole.image[window], whole.mask[window])
    assert part.mask.shape[0] != part.mask.shape[1] and part.mask.sum() == whole.mask.sum()
    authors = next(key for key, visual in TECHNIQUES.items() if visual == VISUAL_PROMPTS[name])
    close(prompt_pixels(part, VISUAL_PROMPTS[name], IMAGENET, 64, unit=1.0), arrays[f"technique/{authors}/blob"])


@pytest.mark.parametrize("name", list(VISUAL_PROMPTS))
def test_a_transposed_support_gives_the_transposed_prompt(name: str) -> None:
    support = painted((48, 80), (60, 75, 5, 30))
    turned = Support(support.image.transpose(1, 0, 2), support.mask.T)
    found, expected = (prompt_pixels(one, VISUAL_PROMPTS[name], IMAGENET, 64) for one in (turned, support))
    close(found, expected.transpose(1, 2).numpy(), atol=1e-4)


@pytest.mark.parametrize("name", CROPS)
def test_a_crop_keeps_the_aspect_and_lies_in_the_middle_of_mean_grey(name: str) -> None:
    pixels = prompt_pixels(painted((100, 300), (100, 200, 40, 60)), VISUAL_PROMPTS[name], IMAGENET, 96)
    filled = pixels.any(dim=0)
    rows, columns = filled.any(dim=1).nonzero().flatten(), filled.any(dim=0).nonzero().flatten()
    assert len(columns) == 96 and abs(len(rows) - 96 // 5) <= 2
    assert abs(rows[0] + rows[-1] - 95) <= 2 and filled[rows[0] : rows[-1] + 1].all()


@pytest.mark.parametrize("size", [(96, 160), (160, 96)])
def test_a_whole_image_is_squashed_with_the_object_at_its_place(size: tuple[int, int]) -> None:
    box = (size[1] // 4, size[1] // 2, size[0] // 2, size[0])
    pixels = prompt_pixels(painted(size, box), VISUAL_PROMPTS["bg_intensity_0"], IMAGENET, 32)
    expected = np.zeros((32, 32), bool)
    expected[16:, 8:16] = True
    np.testing.assert_array_equal(pixels.any(dim=0), expected)


def test_darkening_goes_to_the_mean_grey_and_leaves_the_object() -> None:
    support = painted((64, 64), (20, 30, 20, 40))
    pixels = prompt_pixels(support, VISUAL_PROMPTS["bg_intensity_0"], IMAGENET, 64).permute(1, 2, 0).numpy()
    shown = np.round((pixels * IMAGENET.std + IMAGENET.mean) * 255)
    np.testing.assert_array_equal(shown[support.mask], support.image[support.mask])
    assert (shown[~support.mask] == (124, 116, 104)).all()


def doubled(support: Support) -> Support:
    return Support(*(array.repeat(2, axis=0).repeat(2, axis=1) for array in (support.image, support.mask)))


def test_a_blur_looks_the_same_at_twice_the_resolution() -> None:
    small, blur = painted((64, 64), (24, 40, 16, 48)), VISUAL_PROMPTS["bg_blur"]
    found, expected = (prompt_pixels(one, blur, IMAGENET, 64) for one in (doubled(small), small))
    assert (found - expected).abs().mean() < 0.15 * expected.abs().mean()


def test_an_outline_is_as_wide_at_twice_the_resolution() -> None:
    small = Support(np.zeros((64, 64, 3), np.uint8), painted((64, 64), (24, 40, 16, 48)).mask)
    outline = VISUAL_PROMPTS["object_outline"]
    found, expected = (prompt_pixels(one, outline, IMAGENET, 64)[0] > 0 for one in (doubled(small), small))
    assert found.sum().item() == pytest.approx(expected.sum().item(), rel=0.25)  # OpenCV widens thin lines more


@pytest.mark.parametrize("name", ["crop", "bg_intensity_10"])
def test_what_shrinks_is_averaged(name: str) -> None:
    stripes = np.zeros((96, 96, 3), np.uint8)
    stripes[:, ::3] = 255
    pixels = prompt_pixels(Support(stripes, np.ones((96, 96), bool)), VISUAL_PROMPTS[name], IMAGENET, 32)
    close(pixels, ((1 / 3 - IMAGENET.mean) / IMAGENET.std)[:, None, None] * np.ones((3, 32, 32)))


def test_parts_can_be_joined_otherwise_than_in_the_table() -> None:
    support = painted((64, 64), (20, 30, 20, 40))
    pixels = prompt_pixels(support, VisualPrompt(dyed=True, background=0.0), IMAGENET, 64)
    assert not pixels[:, ~support.mask].any()
    close(pixels[:, support.mask], prompt_pixels(support, TECHNIQUES["red_object"], IMAGENET, 64)[:, support.mask])


@pytest.mark.parametrize("name", list(VISUAL_PROMPTS))
def test_one_pixel_is_support_enough(name: str) -> None:
    pixels = prompt_pixels(painted((1, 1), (0, 1, 0, 1)), VISUAL_PROMPTS[name], IMAGENET, 32)
    assert pixels.shape == (3, 32, 32) and pixels.isfinite().all()


def test_the_support_is_not_written_to() -> None:
    support = painted((40, 60), (10, 20, 10, 30))
    image, mask = support.image.copy(), support.mask.copy()
    support.image.flags.writeable = support.mask.flags.writeable = False
    for visual in VISUAL_PROMPTS.values():
        prompt_pixels(support, visual, IMAGENET, 32)
    np.testing.assert_array_equal(support.image, image)
    np.testing.assert_array_equal(support.mask, mask)


@pytest.mark.parametrize("name", ["crop_bg_blurr", "", None, ["crop"]])
def test_an_unknown_row_is_refused_by_name(name: object) -> None:
    with pytest.raises(ValueError, match=r"visual_prompt .*: expected one of object_red, .*crop_bg_blur_intensity_10"):
        visual_prompts.find(name)

# SPDX-License-Identifier: Apache-2.0
"""The dense CRF with exact kernels: a plain reference with whole matrices, pydensecrf, and the fused kernel."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from clipseg_ros import crf
from clipseg_ros.crf import LEAST, DenseCrf, exact
from clipseg_ros.crf.kernels import TILE, Bilateral, Smooth, Tiles, product

GOLDEN = Path(__file__).parents[1] / "golden" / "car" / "masks"
FEW = DenseCrf(iterations=5, smooth_deviation=1.5, edge_deviation=8.0, edge_colour=12.0)
HAS_TRITON = importlib.util.find_spec("triton") is not None


def picture(height: int, width: int) -> np.ndarray:
    """(H, W, 3) uint8: three colours in blobs, some noise."""
    rng = np.random.default_rng(0)
    blobs = cv2.resize(rng.integers(0, 3, (4, 5), np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    colours = np.array([[200, 60, 40], [40, 90, 190], [90, 160, 60]])[blobs]
    return np.clip(colours + rng.normal(0.0, 8.0, colours.shape), 0, 255).astype(np.uint8)


def chances(problems: int, labels: int, size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(1).random((problems, labels, *size), np.float32)


def whole_kernel(features: np.ndarray) -> np.ndarray:
    """(n, n) float64: the kernel with the symmetric normalisation, of features (n, F) in deviations."""
    kernel = np.exp(-0.5 * ((features[:, None] - features[None]) ** 2).sum(axis=2))
    scale = 1.0 / np.sqrt(kernel.sum(axis=1))
    return scale[:, None] * kernel * scale


def reference(image: np.ndarray, probabilities: np.ndarray, settings: DenseCrf) -> np.ndarray:
    """(L, H, W): mean field as the paper writes it, on matrices of pixels by pixels in double precision."""
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]].reshape(2, -1).astype(float)
    places = np.stack([columns, rows], axis=1)
    colours = image.reshape(-1, 3) / settings.edge_colour
    edge = whole_kernel(np.concatenate([places / settings.edge_deviation, colours], axis=1))
    smooth = whole_kernel(places / settings.smooth_deviation)
    evidence = np.log(np.clip(probabilities.reshape(len(probabilities), -1).astype(float), LEAST, 1.0))
    found = evidence
    for step in range(settings.iterations + 1):
        if step:
            found = evidence + found @ (settings.edge_weight * edge + settings.smooth_weight * smooth)
        found = np.exp(found - found.max(axis=0))
        found /= found.sum(axis=0)
    return found.reshape(probabilities.shape)


def test_marginals_are_those_of_whole_matrices_to_1e_5() -> None:
    image, given = picture(24, 32), chances(2, 3, (24, 32))
    found = exact.computed(image, given, FEW)
    for problem, expected in zip(found, given, strict=True):
        np.testing.assert_allclose(problem, reference(image, expected, FEW), atol=1e-5)


def test_far_tiles_are_left_out_and_the_rest_is_the_kernel() -> None:
    generator = torch.Generator().manual_seed(0)
    features = 6.0 * torch.randn(1500, 5, generator=generator)
    values = torch.rand(1500, 3, generator=generator)
    tiles = Tiles.of(features)
    assert len(tiles.first) < 0.9 * len(tiles.features) * (len(tiles.features) + 1) / 2
    found = tiles.scattered(product(tiles, tiles.gathered(values)))
    kernel = torch.exp(-0.5 * torch.cdist(features.double(), features.double()) ** 2)
    np.testing.assert_allclose(found, kernel @ values.double(), atol=1e-5)


@pytest.mark.parametrize("count", [1, TILE, TILE + 1, 3000])
def test_every_point_has_one_place_whatever_their_number(count: int) -> None:
    tiles = Tiles.of(torch.rand(count, 5))
    assert sorted(tiles.order[tiles.order >= 0].tolist()) == list(range(count))
    assert len(tiles.order) <= max(1.3 * count, TILE + 1) + TILE
    values = torch.rand(count, 2)
    np.testing.assert_array_equal(tiles.scattered(tiles.gathered(values)), values)


def test_kernels_leave_a_constant_nearly_alone_where_all_pixels_are_alike() -> None:
    flat = torch.full((20, 30, 3), 7, dtype=torch.uint8)
    for kernel in (Bilateral(flat, 2.0, 3.0), Smooth((20, 30), 2.0, flat.device)):
        np.testing.assert_allclose(kernel(torch.ones(1, 20, 30))[0, 8:12, 12:18], 1.0, atol=0.05)


@pytest.mark.skipif(importlib.util.find_spec("pydensecrf") is None, reason="the dense CRF is not built: make crf")
def test_labels_are_mostly_pydensecrf_s() -> None:
    """On the photograph of case a; README of golden/car says where it comes from."""
    with np.load(GOLDEN / "case_a.npz") as arrays:
        image, given = arrays["image"], arrays["crf_prob_in"]
    size = (image.shape[0] // 2, image.shape[1] // 2)
    small = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
    maps = np.stack([cv2.resize(plane, size[::-1], interpolation=cv2.INTER_AREA) for plane in given])[None]
    settings = DenseCrf(scale=0.5).on_grid(image.shape[:2])[1]
    theirs = crf.mean_field(small, maps, settings)[0].argmax(axis=0)
    ours = exact.computed(small, maps, settings)[0].argmax(axis=0)
    shared = [label for label in range(len(given)) if (theirs == label).any() or (ours == label).any()]
    ious = [((theirs == n) & (ours == n)).sum() / ((theirs == n) | (ours == n)).sum() for n in shared]
    assert len(shared) > 1 and np.mean(ious) >= 0.93


def test_half_the_side_is_close_to_the_whole() -> None:
    image = cv2.resize(picture(24, 32), (64, 48), interpolation=cv2.INTER_NEAREST)
    near = np.stack([cv2.GaussianBlur((np.abs(image[..., n].astype(int) - 180) < 40).astype(np.float32), (9, 9), 3)
                     for n in range(3)])[None]
    whole, half = (exact.computed(image, near, DenseCrf(5, edge_colour=12.0, scale=scale)) for scale in (1.0, 0.5))
    assert half.shape == whole.shape and (half.argmax(axis=1) == whole.argmax(axis=1)).mean() > 0.9


def test_upsampling_is_that_of_arrays() -> None:
    image = picture(48, 64)
    small = cv2.resize(image, (32, 24), interpolation=cv2.INTER_AREA)
    maps = chances(1, 3, (24, 32))[0]
    tensors = (torch.from_numpy(one.copy()).permute(2, 0, 1).float() for one in (image, small))
    found = exact.guided_upsampling(*tensors, torch.from_numpy(maps))
    np.testing.assert_allclose(found, crf.guided_upsampling(image, small, maps), atol=0.02)  # whose grey is rounded


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (33, 2)])
@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_tiny_images_and_no_problems_do_not_crash(size: tuple[int, int], scale: float) -> None:
    found = exact.computed(np.zeros((*size, 3), np.uint8), np.full((1, 3, *size), 0.3, np.float32),
                           DenseCrf(scale=scale))
    np.testing.assert_allclose(found, 1.0 / 3.0, atol=1e-3)  # an unstable balance, which rounding tips
    assert exact.computed(np.zeros((*size, 3), np.uint8), np.zeros((0, 2, *size), np.float32),
                          DenseCrf(scale=scale)).shape == (0, 2, *size)


FUSED = """
import torch
from clipseg_ros.crf import fused
from clipseg_ros.crf.kernels import Tiles, product
generator = torch.Generator().manual_seed(0)
for count, columns in ((150, 3), (700, 17)):
    tiles = Tiles.of((4.0 * torch.randn(count, 5, generator=generator)).to(DEVICE))
    values = tiles.gathered(torch.rand(count, columns, generator=generator).to(DEVICE))
    torch.testing.assert_close(fused.product(tiles, values), product(tiles, values), atol=1e-4, rtol=1e-4)
"""


@pytest.mark.skipif(not HAS_TRITON, reason="Triton is not installed")
@pytest.mark.skipif(torch.cuda.is_available(), reason="runs on the GPU instead")
def test_the_fused_kernel_gives_what_the_torch_form_gives_interpreted() -> None:
    env = os.environ | {"TRITON_INTERPRET": "1"}
    code = FUSED.replace("DEVICE", "'cpu'")
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_the_door_leads_here() -> None:
    exec(FUSED.replace("DEVICE", "'cuda'") if HAS_TRITON else "")
    image, given = picture(48, 64), chances(1, 3, (48, 64))
    crf.check_installed("cuda")
    found = crf.joint_marginals(image, given[0, 1:], DenseCrf(device="cuda"))
    expected = exact.computed(image, crf._with_background(given[0, 1:], 1.0)[None], DenseCrf())[0]
    np.testing.assert_allclose(found, expected, atol=1e-3)

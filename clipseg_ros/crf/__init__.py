# SPDX-License-Identifier: Apache-2.0
"""Dense CRF: scores drawn to the edges of the image (Kraehenbuehl & Koltun, 2011), for CLIP as RNN and any engine.

On the CPU by pydensecrf2, which is compiled at installation (`make crf`) and takes one core. On a GPU by `exact`, which
needs nothing else; the two approximate one model, and the IoU of their labels on photographs is 0.97 to 0.99.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from functools import cached_property
from types import ModuleType

import cv2
import numpy as np

from clipseg_ros.segmentation import ScoreMaps, Segmentation, check_image

LEAST = 1e-5  # probability, as in CLIP as RNN: what is less is that, so that energies stay finite
GUIDE_RADIUS = 4  # pixels of the small grid
GUIDE_NOISE = 1e-4  # variance of grey in [0, 1] below which the image is taken for flat


class CrfMissing(RuntimeError):
    """The library of the dense CRF is not installed; the message holds the remedy."""


@dataclass(frozen=True)
class DenseCrf:
    """The numbers of CLIP as RNN's code: Potts potentials, deviations in pixels and in steps of 8-bit colour.

    smooth: neighbours agree, whatever their colours. edge: pixels of similar colour agree. scale in (0, 1]: the side
    of the grid that is computed over the image's, to which the deviations in pixels shrink; a guided filter brings
    the result back to full size. Half the side is about a third of the cost. device: cpu, cuda or cuda:N. Raises
    ValueError.
    """

    iterations: int = 10
    smooth_deviation: float = 1.0
    smooth_weight: float = 3.0
    edge_deviation: float = 67.0
    edge_colour: float = 3.0
    edge_weight: float = 4.0
    scale: float = 1.0
    device: str = "cpu"

    def __post_init__(self) -> None:
        if not 0.0 < self.scale <= 1.0:
            raise ValueError(f"crf scale {self.scale}: expected above 0 and at most 1")
        if self.iterations < 1:
            raise ValueError(f"crf iterations {self.iterations}: expected 1 or more")


    def on_grid(self, size: tuple[int, int]) -> tuple[tuple[int, int], DenseCrf]:
        """(h, w) of the grid that is computed for an image of `size` (H, W), and the numbers for it."""
        deviations = (self.smooth_deviation * self.scale, self.edge_deviation * self.scale)
        grid = tuple(max(1, round(length * self.scale)) for length in size)
        return grid, dataclasses.replace(self, smooth_deviation=deviations[0], edge_deviation=deviations[1], scale=1.0)


def check_installed(device: str = "cpu") -> None:
    """Raise CrfMissing where the dense CRF cannot be computed on a device."""
    if device == "cpu":
        _library()


def _library() -> ModuleType:
    try:
        from pydensecrf import densecrf
    except ImportError as error:
        raise CrfMissing(
            f"the dense CRF needs pydensecrf2 ({error}): run `make crf`, or `pip install pydensecrf2` with a C++ "
            "compiler and Python's headers (apt install g++ python3-dev); or switch the CRF off"
        ) from error
    return densecrf


def joint_marginals(
    image: np.ndarray, proposals: np.ndarray, settings: DenseCrf = DenseCrf(), exponent: float = 1.0
) -> np.ndarray:
    """(N + 1, H, W) float32 of sum 1: probabilities of the background and of N proposals that exclude each other.

    image: (H, W, 3) uint8 RGB. proposals: (N, H, W) float32 in [0, 1]. The background comes first; its proposal is
    (1 - maximum) to the power of `exponent`, bg_factor in CLIP as RNN's code. Labels are the arg-max. Raises
    CrfMissing, and ValueError where sizes differ.
    """
    return _marginals(image, _with_background(proposals, exponent)[None], settings)[0]


def separate_marginals(
    image: np.ndarray, proposals: np.ndarray, settings: DenseCrf = DenseCrf(), exponent: float = 1.0
) -> np.ndarray:
    """(N, H, W) float32 in [0, 1]: the probability of each proposal against its own background alone, so that masks
    may overlap (CLIP as RNN's referring mode). Arguments as of joint_marginals. Raises CrfMissing.
    """
    pairs = [_with_background(proposal[None], exponent) for proposal in proposals]
    return _marginals(image, np.array(pairs, np.float32).reshape(-1, 2, *image.shape[:2]), settings)[:, 1]


def sharpened_scores(
    image: np.ndarray, scores: np.ndarray, thresholds: np.ndarray, settings: DenseCrf = DenseCrf()
) -> np.ndarray:
    """(N, H, W) float32 in [0, 1]: scores (N, H, W) of any engine drawn to the edges of image (H, W, 3) uint8 RGB.

    thresholds (N,) in (0, 1]: the score at which a pixel is as likely inside as outside, before and after. Each
    prompt is judged alone; one that reaches its threshold nowhere has no edge and stays as it is. Raises CrfMissing.
    """
    result = np.array(scores, np.float32)
    reaching = np.flatnonzero(result.max(axis=(1, 2), initial=0.0) >= thresholds)
    even = np.clip(thresholds, LEAST, 1.0 - LEAST).astype(np.float32)[reaching, None, None]
    inside = _reweighted(result[reaching], 1.0 - even)
    result[reaching] = _reweighted(separate_marginals(image, inside, settings), even)
    return result


def _reweighted(probability: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The probability with its odds multiplied by weight / (1 - weight)."""
    inside = probability * weight
    return inside / (inside + (1.0 - probability) * (1.0 - weight))


def _with_background(proposals: np.ndarray, exponent: float) -> np.ndarray:
    best = proposals.max(axis=0, keepdims=True, initial=0.0)
    return np.concatenate([(1.0 - best) ** exponent, proposals]).astype(np.float32)


def _marginals(image: np.ndarray, probabilities: np.ndarray, settings: DenseCrf) -> np.ndarray:
    """Marginals (B, L, H, W) on the grid that settings.scale asks for, at the image's size."""
    check_image(image)
    if probabilities.shape[2:] != image.shape[:2]:
        raise ValueError(f"scores of shape {probabilities.shape[2:]}: expected the image's, {image.shape[:2]}")
    if settings.device != "cpu":
        from clipseg_ros.crf import exact  # torch, which the CPU's way does without

        return exact.computed(image, probabilities, settings)
    grid, shrunk = settings.on_grid(image.shape[:2])
    if grid == image.shape[:2]:
        return mean_field(image, probabilities, settings)
    small = cv2.resize(image, grid[::-1], interpolation=cv2.INTER_AREA)
    given = [_resized(maps, grid, cv2.INTER_AREA) for maps in probabilities]
    given = np.array(given, np.float32).reshape(-1, probabilities.shape[1], *grid)
    found = [guided_upsampling(image, small, maps) for maps in mean_field(small, given, shrunk)]
    return np.array(found, np.float32).reshape(probabilities.shape)


def mean_field(image: np.ndarray, probabilities: np.ndarray, settings: DenseCrf) -> np.ndarray:
    """(B, L, H, W) float32: marginals of B problems of L labels each over one image (H, W, 3) uint8 RGB.

    By pydensecrf. probabilities (B, L, H, W) in [0, 1] need no sum of 1. The image's lattice is made once. Raises
    CrfMissing.
    """
    count, labels, height, width = probabilities.shape
    crf = _library().DenseCRF2D(width, height, labels)
    crf.addPairwiseGaussian(sxy=settings.smooth_deviation, compat=settings.smooth_weight)
    crf.addPairwiseBilateral(
        sxy=settings.edge_deviation, srgb=settings.edge_colour, compat=settings.edge_weight,
        rgbim=np.ascontiguousarray(image),
    )
    energies = -np.log(np.clip(probabilities, LEAST, 1.0)).astype(np.float32)
    result = np.empty(probabilities.shape, np.float32)
    for index in range(count):
        crf.setUnaryEnergy(np.ascontiguousarray(energies[index].reshape(labels, -1)))
        result[index] = np.asarray(crf.inference(settings.iterations)).reshape(labels, height, width)
    return result


def guided_upsampling(image: np.ndarray, small: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """(L, H, W) float32 in [0, 1]: maps (L, h, w) of the image `small` at the size of image (H, W, 3) uint8 RGB.

    Around every pixel a map is taken for a linear function of the image's grey (fast guided filter, He & Sun 2015).
    """
    fine, coarse = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255.0 for picture in (image, small))
    size = (2 * GUIDE_RADIUS + 1, 2 * GUIDE_RADIUS + 1)
    mean = cv2.blur(coarse, size)
    variance = cv2.blur(coarse * coarse, size) - mean * mean
    result = np.empty((len(maps), *fine.shape), np.float32)
    for index, values in enumerate(maps):
        average = cv2.blur(values, size)
        slope = (cv2.blur(coarse * values, size) - mean * average) / (variance + GUIDE_NOISE)
        line = np.stack([cv2.blur(slope, size), cv2.blur(average - slope * mean, size)])
        slope, offset = _resized(line, fine.shape, cv2.INTER_LINEAR)
        np.clip(slope * fine + offset, 0.0, 1.0, out=result[index])
    return result


def _resized(maps: np.ndarray, size: tuple[int, int], interpolation: int) -> np.ndarray:
    return np.array([cv2.resize(values, size[::-1], interpolation=interpolation) for values in maps], np.float32)


@dataclass(frozen=True, eq=False)
class SharpenedMaps:
    """ScoreMaps `maps` over image (H, W, 3) uint8 RGB, drawn to its edges when something of them is first asked for.

    thresholds: (N,) as of sharpened_scores. A prompt is present when `maps` say so and some pixel still reaches its
    threshold.
    """

    maps: ScoreMaps = field(repr=False)
    image: np.ndarray = field(repr=False)
    thresholds: np.ndarray
    settings: DenseCrf = DenseCrf()

    @cached_property
    def _sharpened(self) -> np.ndarray:
        return sharpened_scores(self.image, self.maps.scores(), self.thresholds, self.settings)

    def scores(self) -> np.ndarray:
        """(N, H, W) float32 in [0, 1]."""
        return self._sharpened.copy()

    def score(self) -> np.ndarray:
        """(H, W) float32 in [0, 1]: the maximum over the prompts; 0 without prompts."""
        return self._sharpened.max(axis=0, initial=0.0)

    def masks(self, thresholds: np.ndarray) -> np.ndarray:
        """(N, H, W) bool."""
        return self._sharpened >= thresholds[:, None, None]

    def labels(self, thresholds: np.ndarray) -> np.ndarray:
        """(H, W) uint8: 1 + index of the best prompt reaching its threshold, else 0; ties to the earlier."""
        reaching = np.where(self.masks(thresholds), self._sharpened, -1.0)
        reaching = np.concatenate([np.full((1, *reaching.shape[1:]), -0.5, np.float32), reaching])
        return reaching.argmax(axis=0).astype(np.uint8)

    def present(self, thresholds: np.ndarray) -> np.ndarray:
        """(N,) bool."""
        return self.maps.present(thresholds) & self.masks(thresholds).any(axis=(1, 2))


def sharpen(segmentation: Segmentation, image: np.ndarray, settings: DenseCrf = DenseCrf()) -> Segmentation:
    """The segmentation of image (H, W, 3) uint8 RGB by any engine with its scores drawn to the edges, on demand.

    Raises CrfMissing at once.
    """
    check_installed(settings.device)
    given = (prompt.threshold for prompt in segmentation.prompts)
    thresholds = np.array([segmentation.threshold if own is None else own for own in given], np.float32)
    maps = SharpenedMaps(segmentation.maps, image, thresholds, settings)
    return dataclasses.replace(segmentation, maps=maps)

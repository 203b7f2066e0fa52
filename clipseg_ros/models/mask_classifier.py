# SPDX-License-Identifier: Apache-2.0
"""A CLIP as the judge of masks: prompted images into its input, features into scores over texts (CLIP as RNN, 3.2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from clipseg_ros.models.weights import InputFormat

FITS = ("squash", "centre_crop")


def classifier_pixels(images: Sequence[np.ndarray], form: InputFormat, fit: str) -> torch.Tensor:
    """(N, 3, side, side) float32, normalised: images (H, W, 3) uint8 RGB of any sizes as CLIP's input.

    fit: `squash` resizes both sides, so that the whole image is judged. `centre_crop` resizes the shorter side and
    cuts the longer one, as CLIP's own preprocessing and the authors of CLIP as RNN do: of a 4:3 frame an eighth of
    the width is lost at each end, with whatever mask lies there. Both are Pillow's bicubic. Raises ValueError.
    """
    if fit not in FITS:
        raise ValueError(f"classifier_fit {fit!r}: expected one of {', '.join(FITS)}")
    pixels = [form.normalise(np.asarray(_fitted(Image.fromarray(image), form.side, fit))) for image in images]
    return torch.cat(pixels) if pixels else torch.zeros(0, 3, form.side, form.side)


def _fitted(image: Image.Image, side: int, fit: str) -> Image.Image:
    if fit == "squash":
        return image.resize((side, side), Image.Resampling.BICUBIC)
    shorter = min(image.size)
    width, height = (side * length // shorter for length in image.size)
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = round((width - side) / 2.0), round((height - side) / 2.0)
    return image.crop((left, top, left + side, top + side))


def text_probabilities(images: torch.Tensor, texts: torch.Tensor, logit_scale: float) -> torch.Tensor:
    """(K, N, M) float32: for each of K templates, softmax over M texts of logit_scale times the cosine.

    images: (N, E) unit features. texts: (K, M, E) unit features, one row a text. Columns beyond the queries, such as
    names of background, are distractors: they take probability from a mask that shows no query.
    """
    return (logit_scale * torch.einsum("ne,kme->knm", images.float(), texts.float())).softmax(dim=-1)


def mask_scores(
    images: torch.Tensor, texts: torch.Tensor, logit_scale: float, sharpness: float | None = None
) -> torch.Tensor:
    """(N, M) float32 in [0, 1], rows of sum 1: how well image i (N, E) shows text j (K, M, E), both unit features.

    With sharpness None the mean over the K templates of their softmaxes: a probability. With a number a second
    softmax over the texts of that mean times sharpness; the code of CLIP as RNN sums over the templates, which is
    sharpness K, and its published thresholds belong to it wherever templates are used (without: None). Masks of
    queries are rows and the queries are the first columns, so the score of query i is [i, i].
    """
    probabilities = text_probabilities(images, texts, logit_scale).mean(dim=0)
    return probabilities if sharpness is None else (sharpness * probabilities).softmax(dim=-1)

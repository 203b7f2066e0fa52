# SPDX-License-Identifier: Apache-2.0
"""Where a frame's time goes: the steps that engine clipseg takes, one by one, from the same public parts, in fp32.

What the engine needs beyond their sum is its own overhead; the benchmark prints both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from clipseg_ros.engines.device_maps import logit_maps
from clipseg_ros.masks import input_size, resize_image
from clipseg_ros.models import weights
from clipseg_ros.models.clipseg import CLIPSeg
from clipseg_ros.tools.bench.timing import Clock

STAGES = ("pre-processing", "copies", "encoder", "decoder", "post-processing")


class Steps:
    """CLIPSeg of a weights folder on a device, taken apart.

    threshold: of scores, for the masks. wait: returns when the device has nothing left to do.
    """

    def __init__(self, folder: Path, device: str, threshold: float, wait: Callable[[], None]) -> None:
        self.model = CLIPSeg(weights.load_clipseg(folder, torch.float32)).to(device)
        self._form, self._notes = weights.read_input_format(folder), weights.read_notes(folder)
        longest = self.model.network.config.text_config.max_position_embeddings
        self._tokenize = weights.read_text_format(folder, longest)
        self._device, self._threshold, self._wait = device, threshold, wait

    @torch.inference_mode()
    def vectors(self, texts: Sequence[str]) -> torch.Tensor:
        """(N, E) on the device: the prompts, encoded."""
        ids, lengths = self._tokenize(list(texts))
        return self.model.embed_text(ids.to(self._device), lengths.to(self._device))

    @torch.inference_mode()
    def times(self, image: np.ndarray, vectors: torch.Tensor) -> dict[str, float]:
        """Milliseconds of each of STAGES for image (H, W, 3) uint8 RGB. Copies: to the device; masks come back as the last
        part of post-processing."""
        clock = Clock(self._wait)
        small = self._resized(image)
        clock.lap("pre-processing")
        there = torch.from_numpy(small).to(self._device)
        clock.lap("copies")
        pixels = self._form.normalise_there(there)
        clock.lap("pre-processing")
        readouts = self.model.encode_image(pixels)
        clock.lap("encoder")
        planes = self.model.decode(readouts, vectors)
        clock.lap("decoder")
        logit_maps(planes[0], image.shape[:2]).masks(np.full(len(vectors), self._threshold, np.float32))
        clock.lap("post-processing")
        return clock.laps

    def pixels(self, image: np.ndarray) -> torch.Tensor:
        """(1, 3, h, w) float32 on the device: what the network is given of an image."""
        return self._form.normalise(self._resized(image), self._device)

    def _resized(self, image: np.ndarray) -> np.ndarray:
        size = input_size(image.shape[:2], self._form.side, self.model.patch_size, self._notes.keep_aspect)
        return resize_image(image, size)

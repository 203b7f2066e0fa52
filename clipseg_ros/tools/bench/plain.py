# SPDX-License-Identifier: Apache-2.0
"""The plain way: CLIPSeg as transformers' documentation shows it, and the masks at the camera's size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from transformers import CLIPSegForImageSegmentation, CLIPSegProcessor


class PlainWay:
    """transformers' processor and network; the image goes through both once for every prompt. float32."""

    def __init__(self, folder: Path, device: str, threshold: float) -> None:
        self._device, self._threshold = device, threshold
        self._processor = CLIPSegProcessor.from_pretrained(folder, local_files_only=True)
        network = CLIPSegForImageSegmentation.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
        self._network = network.eval().to(device)

    @torch.inference_mode()
    def __call__(self, image: np.ndarray, texts: Sequence[str]) -> np.ndarray:
        """(N, H, W) bool: where image (H, W, 3) uint8 RGB scores at least the threshold."""
        inputs = self._processor(
            text=list(texts), images=[image] * len(texts), padding=True, return_tensors="pt"
        ).to(self._device)
        logits = self._network(**inputs).logits
        logits = logits.reshape(len(texts), 1, *logits.shape[-2:])
        scores = F.interpolate(logits, size=image.shape[:2], mode="bilinear", align_corners=False).sigmoid()
        return (scores[:, 0] >= self._threshold).cpu().numpy()

# SPDX-License-Identifier: Apache-2.0
"""Logits that stay on a GPU until somebody asks, and are drawn there at the camera's size.

Of five prompts at 640x480 a label image is 0.3 MB, while its logits at CLIPSeg's grid are 2.5 MB and have to be resized
on the host. A CPU draws them sooner one by one (masks.LogitMaps), since its caches hold one map, not all.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
import torch
from torch.nn import functional as F

from clipseg_ros.masks import LogitMaps

PIXELS_AT_ONCE = 1 << 26  # of resized maps: 256 MB


def logit_maps(planes: torch.Tensor, size: tuple[int, int]) -> LogitMaps:
    """Of logits (N, h, w) over an image of `size` (H, W): on the host where they are there, else where they are."""
    if planes.device.type == "cpu":
        return LogitMaps(planes.float().numpy(), size)
    return DeviceLogitMaps(planes, size)


class DeviceLogitMaps(LogitMaps):
    """LogitMaps of planes (N, h, w) on any device; what is not drawn there, LogitMaps does once they are copied."""

    def __init__(self, planes: torch.Tensor, size: tuple[int, int]) -> None:
        object.__setattr__(self, "planes", planes)
        object.__setattr__(self, "size", size)

    @cached_property
    def logits(self) -> np.ndarray:
        """(N, h, w) float32 on the host."""
        return self.planes.float().cpu().numpy()

    def score(self) -> np.ndarray:
        """(H, W) float32 in [0, 1]: the maximum over the prompts; 0 without prompts."""
        best = torch.full(self.size, -torch.inf, device=self.planes.device)
        for _, maps in self._parts():
            best = torch.maximum(best, maps.amax(dim=0))
        return best.sigmoid().cpu().numpy()

    def masks(self, thresholds: np.ndarray) -> np.ndarray:
        """(N, H, W) bool."""
        least = self._least_there(thresholds)
        masks = np.zeros((len(self.planes), *self.size), bool)
        for part, maps in self._parts():
            masks[part] = (maps >= least[part]).cpu().numpy()
        return masks

    def labels(self, thresholds: np.ndarray) -> np.ndarray:
        """(H, W) uint8: 1 + index of the best prompt reaching its threshold, else 0; ties to the earlier."""
        least = self._least_there(thresholds)
        best = torch.full(self.size, -torch.inf, device=self.planes.device)
        labels = torch.zeros(self.size, dtype=torch.uint8, device=self.planes.device)
        for part, maps in self._parts():
            peak, index = torch.where(maps >= least[part], maps, -torch.inf).max(dim=0)
            labels = torch.where(peak > best, (index + (part.start + 1)).to(torch.uint8), labels)
            best = torch.maximum(best, peak)
        return labels.cpu().numpy()

    def present(self, thresholds: np.ndarray) -> np.ndarray:
        """(N,) bool: some pixel reaches the threshold."""
        peaks = [maps.amax(dim=(1, 2)) for _, maps in self._parts()]
        least = self._least_there(thresholds)[:, 0, 0]
        return (torch.cat(peaks) >= least).cpu().numpy() if peaks else np.zeros(0, bool)

    def _least_there(self, thresholds: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(self._least(thresholds)).to(self.planes.device)[:, None, None]

    def _parts(self) -> Iterator[tuple[slice, torch.Tensor]]:
        """Some of the prompts at a time, with their logits (n, H, W) float32."""
        at_once = max(1, PIXELS_AT_ONCE // (self.size[0] * self.size[1]))
        for start in range(0, len(self.planes), at_once):
            part = slice(start, start + at_once)
            planes = self.planes[None, part].float()
            yield part, F.interpolate(planes, self.size, mode="bilinear", align_corners=False)[0]

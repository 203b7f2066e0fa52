# SPDX-License-Identifier: Apache-2.0
"""The one door to every model: `create` an engine, then call `segment(image, prompts)`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Protocol

import numpy as np

from clipseg_ros.segmentation import Prompt, Segmentation

DEFAULT_WEIGHTS = "CIDAS/clipseg-rd64-refined"  # of the command line and of the node
ENGINES = {
    "clipseg": "clipseg_ros.engines.clipseg:ClipSegEngine",
    "clip-deconv": "clipseg_ros.engines.baselines:ClipDeconvEngine",
    "vitseg": "clipseg_ros.engines.baselines:ViTSegEngine",
    "car": "clipseg_ros.engines.car:CarEngine",
    "zegclip": "clipseg_ros.engines.zegclip:ZegClipEngine",
    "ovseg": "clipseg_ros.engines.ovseg:OvsegEngine",
}


class Memory(Protocol):
    """What a caller holds of the last frames of one camera, for engines that read regions; see video.RegionMemory."""

    def read(self, masks: np.ndarray, every: int, look: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """(M, E) float32 of masks (M, h, w) bool of the next frame; look: (n, E) of the rows (n,) that are not known,
        or known for `every` frames."""


class Engine(Protocol):
    """A model made usable: pictures and prompts in, segmentations out; the same call twice answers the same."""

    device: str
    threshold: float
    """The score at or above which a pixel belongs to a prompt, unless the prompt or the caller says otherwise."""

    def segment(self, image: np.ndarray, prompts: Sequence[Prompt]) -> Segmentation:
        """Search image (H, W, 3) uint8 RGB for the prompts. Raises ValueError, PromptError."""

    def segment_batch(
        self, images: Sequence[np.ndarray], prompts: Sequence[Prompt], memories: Sequence[Memory] = ()
    ) -> list[Segmentation]:
        """The same prompts in several images of any sizes, in one pass of the network.

        memories: of the cameras whose next frames the images are, which spares some engines a part of the work; without
        them every image is on its own.
        """

    def check(self, prompts: Sequence[Prompt]) -> None:
        """Raise PromptError for a prompt that this engine cannot encode; remembers those it can."""

    def unknown_words(self, text: str) -> tuple[str, ...]:
        """The words of text outside the model's vocabulary; () where the vocabulary is open."""

    def close(self) -> None:
        """Give the device's memory back; the engine is of no use afterwards."""


def create(name: str, weights: str, device: str = "auto", precision: str = "auto", **options: object) -> Engine:
    """Load an engine.

    name: a key of ENGINES. weights: see models.hub. device: auto, cpu, cuda or cuda:N. precision: auto (fp16 on
    CUDA, else fp32), fp32, fp16 or bf16. options: keyword arguments of the engine's class, checked by name; a class
    that takes any checks their names itself.
    Raises ValueError (unknown name, option or value), WeightsError, DeviceError.
    """
    if name not in ENGINES:
        raise ValueError(f"engine {name!r}: expected one of {', '.join(ENGINES)}")
    module, kind = ENGINES[name].split(":")
    engine = getattr(import_module(module), kind)
    parameters = inspect.signature(engine).parameters.values()
    known = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    unknown = sorted(set(options) - set(known))
    if unknown and not any(p.kind is p.VAR_KEYWORD for p in parameters):
        raise ValueError(f"option {unknown[0]!r} of engine {name}: expected one of {', '.join(known)}")
    return engine(weights, device, precision, **options)

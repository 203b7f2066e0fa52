# SPDX-License-Identifier: Apache-2.0
"""Part `roofline`: the least time that CLIPSeg's network could take on this device, and how near the engine is.

The ceilings are measured, not read from a data sheet: a large product of matrices and a large copy, the best of several
tries. The floor is the larger of operations over the first and bytes over the second, encoder and decoder each for
itself; bytes are what must be moved at least: weights once, what one hands to the other, pixels in, logits out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from clipseg_ros import engines
from clipseg_ros.models.clipseg import CLIPSeg
from clipseg_ros.segmentation import Prompt
from clipseg_ros.tools.bench import goals, networks, setting
from clipseg_ros.tools.bench.rows import Row, timed
from clipseg_ros.tools.bench.setting import PRODUCT, Setting
from clipseg_ros.tools.bench.stages import Steps
from clipseg_ros.tools.bench.timing import milliseconds, parts_of, side_by_side

PART = "roofline"
TRIES = 8


@dataclass(frozen=True)
class Work:
    """Operations (a multiplication and an addition are two) and bytes that must be moved."""

    operations: int
    bytes: int

    def floor_ms(self, operations_per_s: float, bytes_per_s: float) -> float:
        """The least time under the ceilings."""
        return 1e3 * max(self.operations / operations_per_s, self.bytes / bytes_per_s)


def measure(given: Setting) -> Iterator[Row]:
    """All rows of the part. Raises WeightsError."""
    network = "tiny" if given.quick else goals.FULL_SIZE
    folder = networks.write_clipseg(network, given.folder / network)
    steps = Steps(folder, given.device, 0.5, given.wait)
    engine = engines.create("clipseg", str(folder), given.device, "fp32")
    size = given.sizes[0]
    image = setting.frame(size)
    speed, width = operations_per_s(given), bytes_per_s(given)
    yield Row(PART, "ceiling", "product of matrices, fp32", speed / 1e9, "GFLOP/s")
    yield Row(PART, "ceiling", "copy", width / 1e9, "GB/s", note="read and written")
    for count in given.counts:
        texts, case = setting.prompts(count), setting.label(network, size, count)
        vectors = steps.vectors(texts)
        works = works_of(steps.model, steps.pixels(image).to(given.device), vectors)
        laps = parts_of(lambda: steps.times(image, vectors), given.brief_plan)
        whole = side_by_side(
            {PRODUCT: given.product(), "frame": lambda: engine.segment(image, [Prompt(t) for t in texts]).masks()},
            given.brief_plan,
        )
        floors = {name: work.floor_ms(speed, width) for name, work in works.items()}
        for name, work in works.items():
            note = f"{work.operations / 1e9:.2f} GFLOP, {work.bytes / 1e6:.1f} MB, floor {floors[name]:.3g} ms"
            yield timed(PART, case, name, laps[name], whole[PRODUCT], note=note)
            yield _near(case, name, floors[name], laps[name].median)
        yield timed(PART, case, "whole frame", whole["frame"], whole[PRODUCT])
        yield _near(case, "whole frame", sum(floors.values()), whole["frame"].median)


def _near(case: str, way: str, floor_ms: float, median_ms: float) -> Row:
    return Row(PART, case, f"  {way}: floor over time", 100.0 * floor_ms / median_ms, "%")


def operations_per_s(given: Setting) -> float:
    """Of a product of two square float32 matrices."""
    side = 128 if given.quick else 8192 if given.device.startswith("cuda") else 2048
    left, right = (torch.randn(side, side, device=given.device) for _ in range(2))
    return 2.0 * side**3 / _best_s(given, lambda: left @ right)


def bytes_per_s(given: Setting) -> float:
    """Read and written, of a copy that no cache holds."""
    source = torch.ones(2**16 if given.quick else 2**26, device=given.device)
    target = torch.empty_like(source)
    return 2.0 * source.numel() * source.element_size() / _best_s(given, lambda: target.copy_(source))


def _best_s(given: Setting, run: Callable[[], object]) -> float:
    def waited() -> None:
        run()
        given.wait()

    return 1e-3 * min(milliseconds(waited) for _ in range(TRIES))


@torch.no_grad()
def works_of(model: CLIPSeg, pixels: torch.Tensor, vectors: torch.Tensor) -> dict[str, Work]:
    """Of `encoder` and `decoder` for normalised pixels (1, 3, h, w) and N prompt vectors (N, E)."""
    read = model.encode_image(pixels)
    logits = model.decode(read, vectors)
    vision, decoder = model.network.clip.vision_model, model.network.decoder
    used = (vision.embeddings, vision.pre_layrnorm, *vision.encoder.layers[: model.extract_layers[-1] + 1])
    handed = bytes_of(*read.tokens)
    encoder_bytes = bytes_of(pixels, *(each for part in used for each in part.parameters())) + handed
    decoder_bytes = bytes_of(logits, vectors, *decoder.parameters()) + handed
    return {
        "encoder": Work(operations_of(lambda: model.encode_image(pixels)), encoder_bytes),
        "decoder": Work(operations_of(lambda: model.decode(read, vectors)), decoder_bytes),
    }


def operations_of(run: Callable[[], object]) -> int:
    """In products of matrices and convolutions; attention is counted as the two products that it is."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def bytes_of(*tensors: torch.Tensor) -> int:
    """What the tensors hold."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

# SPDX-License-Identifier: Apache-2.0
"""Part `clipseg`: engine clipseg beside transformers on the same weights and frames, where its time goes, its memory.

Both ways end with one mask a prompt at the camera's size. The engine has encoded the prompts' texts before, as it does
in use; the plain way encodes them every time, as it does in use.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from clipseg_ros import engines
from clipseg_ros.engines import Engine
from clipseg_ros.engines.devices import DeviceError, check_compiler
from clipseg_ros.models import hub, weights
from clipseg_ros.segmentation import Prompt
from clipseg_ros.tools.bench import goals, memory, networks, setting, stages
from clipseg_ros.tools.bench.plain import PlainWay
from clipseg_ros.tools.bench.rows import Row, timed
from clipseg_ros.tools.bench.setting import PRODUCT, Setting
from clipseg_ros.tools.bench.timing import parts_of, side_by_side

PART, PLAIN, EXACT, COMPILED = "clipseg", "transformers", "fp32", "fp32, compiled"
DEMO = "demo"  # the one network with trained weights, whose masks mean something
SCENES, PROMPTS = 24, 20  # for the agreement of masks


@dataclass(frozen=True)
class Variant:
    """A way to run the engine: its precision and its options."""

    precision: str
    options: Mapping[str, object] = field(default_factory=dict)


def variants(device: str, side: int, patch: int, compiled: bool) -> dict[str, Variant]:
    """By name, what the device offers: the exact one, compiled where asked for, then those that trade accuracy for
    speed."""
    found = {EXACT: Variant("fp32")}
    if compiled:
        found[COMPILED] = Variant("fp32", {"compiled": True})
    found["bf16"] = Variant("bf16")
    if device.startswith("cuda"):
        found["fp16"] = Variant("fp16")
    smaller = max(1, round(side * 2 / 3 / patch)) * patch
    return {**found, f"fp32, side {smaller}": Variant("fp32", {"side": smaller})}


def measure(given: Setting) -> Iterator[Row]:
    """All rows of the part. Raises WeightsError, OSError."""
    made = "tiny" if given.quick else goals.FULL_SIZE
    folders = {made: networks.write_clipseg(made, given.folder / made), DEMO: hub.find("demo")}
    for network, folder in folders.items():
        bench = _Bench(given, network, folder)
        if network == DEMO:
            yield from bench.agreements()
        for size in given.sizes:
            yield from bench.speeds(size)
        if network == made:
            yield from bench.memories()
        bench.close()


class _Bench:
    """The ways to segment with the weights of a folder, all loaded."""

    def __init__(self, given: Setting, network: str, folder: Path) -> None:
        self._given, self._network, self._folder = given, network, folder
        patch = weights.read_json(folder / "config.json")["vision_config"]["patch_size"]
        compiled = network == goals.FULL_SIZE and can_compile()
        self._variants = variants(given.device, weights.read_input_format(folder).side, patch, compiled)
        # Networks are compared; presence is judged on their output, and not by the plain way.
        self._engines: dict[str, Engine] = {
            name: engines.create(
                "clipseg", str(folder), given.device, variant.precision, presence=False, **variant.options
            )
            for name, variant in self._variants.items()
        }
        self._threshold = self._engines[EXACT].threshold
        self._plain = PlainWay(folder, given.device, self._threshold)
        self._steps = stages.Steps(folder, given.device, self._threshold, given.wait)
        self._ious: dict[str, float] = {}

    def close(self) -> None:
        """Give the memory back."""
        for engine in self._engines.values():
            engine.close()

    def speeds(self, size: tuple[int, int]) -> Iterator[Row]:
        """Every way at every number of prompts on frames of `size` (H, W)."""
        exact_ms: dict[int, float] = {}
        for count in self._given.counts:
            rows = self._compared(size, count)
            exact_ms.update((count, row.value) for row in rows if row.way == EXACT)
            yield from rows
            yield from self._staged(size, count)
        yield self._extra_prompt(size, exact_ms)

    def _compared(self, size: tuple[int, int], count: int) -> list[Row]:
        image, texts = setting.frame(size), setting.prompts(count)
        ways = {PRODUCT: self._given.product(), PLAIN: partial(self._plain, image, texts)}
        for name, engine in self._engines.items():
            engine.check([Prompt(text) for text in texts])  # encodes them, once ever
            ways[name] = partial(self._masks, name, image, texts)
        if COMPILED in ways:
            ways[COMPILED]()  # what is compiled for so many prompts is no part of a frame
        plan = self._given.plan if size == self._given.sizes[0] else self._given.brief_plan
        found = side_by_side(ways, plan)
        case, device = setting.label(self._network, size, count), self._given.device
        rows = [timed(PART, case, PLAIN, found[PLAIN], found[PRODUCT], iou=self._ious.get(PLAIN))]
        for name in self._engines:
            goal = goals.of_clipseg(device, self._network, size, count, name)
            ratio = found[PLAIN].median / found[name].median
            rows.append(timed(PART, case, name, found[name], found[PRODUCT], ratio, goal, self._ious.get(name)))
        return rows

    def _masks(self, variant: str, image: np.ndarray, texts: list[str]) -> np.ndarray:
        return self._engines[variant].segment(image, [Prompt(text) for text in texts]).masks()

    def _extra_prompt(self, size: tuple[int, int], exact_ms: Mapping[int, float]) -> Row:
        """exact_ms: by the number of prompts, of which 1 is one."""
        one, most = exact_ms[1], max(exact_ms)
        percent = 100.0 * (exact_ms[most] - one) / (most - 1) / one
        goal = goals.of_extra_prompt(self._given.device, self._network, size, EXACT)
        case = f"{self._network}, {size[1]}x{size[0]}"
        return Row(PART, case, f"{EXACT}: each extra prompt", percent, "%", goal=goal, note="of the first's time")

    def _staged(self, size: tuple[int, int], count: int) -> Iterator[Row]:
        image, vectors = setting.frame(size), self._steps.vectors(setting.prompts(count))
        product = side_by_side({PRODUCT: self._given.product()}, self._given.brief_plan)[PRODUCT]
        found = parts_of(partial(self._steps.times, image, vectors), self._given.brief_plan)
        for stage in stages.STAGES:
            yield timed(PART, setting.label(self._network, size, count), f"  {stage}", found[stage], product)

    def agreements(self) -> Iterator[Row]:
        """How well the masks of each way agree with those of the exact one, over rendered scenes; remembered for the
        rows of `speeds`."""
        size, texts = self._given.sizes[0], setting.prompts(PROMPTS)
        scenes = [setting.frame(size, number) for number in range(2 if self._given.quick else SCENES)]
        exact = [self._masks(EXACT, image, texts) for image in scenes]
        case = f"{self._network}, {size[1]}x{size[0]}, N = {len(texts)}, {len(scenes)} scenes"
        for name in [PLAIN, *(name for name in self._engines if name != EXACT)]:
            run = self._plain if name == PLAIN else partial(self._masks, name)
            self._ious[name] = agreement(exact, [run(image, texts) for image in scenes])
            goal = goals.of_agreement(self._given.device, name)
            yield Row(PART, case, name, self._ious[name], "IoU", goal=goal, note="of its masks with those of fp32")

    def memories(self) -> Iterator[Row]:
        """What each precision and the plain way hold at most, with the most prompts on the smaller frame."""
        size, count = self._given.sizes[0], max(self._given.counts)
        precisions = dict.fromkeys(variant.precision for variant in self._variants.values())
        ways = [PLAIN, *([EXACT] if self._given.quick else precisions)]
        for way, peaks in memory.peaks_mb(ways, self._folder, self._given.device, size, count).items():
            for where, megabytes in peaks.items():
                note = "peak resident" if where == "resident" else "peak of tensors on the GPU"
                yield Row(PART, setting.label(self._network, size, count), way, megabytes, "MB", note=note)


def can_compile() -> bool:
    """Whether torch finds what it needs."""
    try:
        check_compiler()
    except DeviceError:
        return False
    return True


def agreement(masks: list[np.ndarray], others: list[np.ndarray]) -> float:
    """IoU of the pixels of all masks, added up; nan where neither marks any."""
    both = sum(int((one & other).sum()) for one, other in zip(masks, others))
    either = sum(int((one | other).sum()) for one, other in zip(masks, others))
    return both / either if either else float("nan")

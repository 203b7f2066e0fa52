# SPDX-License-Identifier: Apache-2.0
"""Where the time of engine car goes: its own steps in its own order, with a clock between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import torch

from clipseg_ros.engines import car_finish
from clipseg_ros.engines.car import CarEngine
from clipseg_ros.engines.car_steps import Judged, Proposals, recur
from clipseg_ros.engines.planes import KeptMaps
from clipseg_ros.segmentation import Prompt
from clipseg_ros.tools.bench import setting
from clipseg_ros.tools.bench.rows import Row, timed
from clipseg_ros.tools.bench.setting import PRODUCT, Setting
from clipseg_ros.tools.bench.timing import Clock, parts_of, side_by_side

PART = "car"
STAGES = ("pre-processing", "proposing CLIP", "proposals", "judging CLIP", "CRF", "labels")
TEXTS = 5  # of the demo model
QVGA = (240, 320)


class StagedCar(CarEngine):
    """Engine car, with a clock between its steps. wait: see timing.Clock; the rest: see CarEngine."""

    def __init__(self, wait: Callable[[], None], weights: str, device: str, **options: object) -> None:
        super().__init__(weights, device, **options)
        self._wait = wait

    @property
    def sharpens(self) -> bool:
        """Whether a CRF follows."""
        return self._settings.crf

    @torch.inference_mode()
    def times(self, image: np.ndarray, prompts: Sequence[Prompt]) -> dict[str, float]:
        """Milliseconds of each of STAGES for image (H, W, 3) uint8 RGB. CRF: from proposals to scores."""
        clock, settings = Clock(self._wait), self._settings
        queries = self._queries.read(prompts)
        pixels = self._pixels(image)
        clock.lap("pre-processing")
        look = self._clip.look(pixels, attention=settings.cam == "clip-es")
        clock.lap("proposing CLIP")
        outcomes = []
        for group in queries.groups:
            proposals = _Lapped(Proposals(settings, self._reader, look, group), clock)
            outcomes.append(recur(settings, group, proposals, _Lapped(Judged(self._judge, image, group), clock)))
        given = [outcome.proposals.cpu().numpy() for outcome in outcomes]
        planes = car_finish.finished(image, given, settings, self.device)
        clock.lap("CRF")
        maps = KeptMaps(planes, tuple(range(len(planes))), image.shape[:2])
        maps.labels(np.full(len(planes), self.threshold, np.float32))
        clock.lap("labels")
        return clock.laps


class _Lapped:
    """Proposals or Judged, as recur takes them."""

    def __init__(self, steps: Proposals | Judged, clock: Clock) -> None:
        self._steps, self._clock = steps, clock

    def of(self, chosen: torch.Tensor, step: int) -> torch.Tensor:
        """As Proposals.of."""
        planes = self._steps.of(chosen, step)
        self._clock.lap("proposals")
        return planes

    def confidences(self, proposals: torch.Tensor, chosen: torch.Tensor) -> np.ndarray:
        """As Judged.confidences."""
        scores = self._steps.confidences(proposals, chosen)
        self._clock.lap("judging CLIP")
        return scores


def stages(given: Setting, engine: StagedCar, case: str, size: tuple[int, int], count: int) -> Iterator[Row]:
    """A row for each of STAGES that the engine has, for so many queries on a frame (H, W)."""
    image, prompts = setting.frame(size), [Prompt(text) for text in setting.prompts(count)]
    product = side_by_side({PRODUCT: given.product()}, given.brief_plan)[PRODUCT]
    engine.check(prompts)
    found = parts_of(partial(engine.times, image, prompts), given.brief_plan)
    for stage in STAGES:
        if stage != "CRF" or engine.sharpens:
            yield timed(PART, case, f"  engine: {stage}", found[stage], product)


def demo_stages(given: Setting) -> Iterator[Row]:
    """The demo model on small frames, with its own preset, without CRF: all of it, then its stages."""
    size = given.sizes[0] if given.quick else QVGA
    engine = StagedCar(given.wait, "demo", given.device, crf=False)
    image, prompts = setting.frame(size), [Prompt(text) for text in setting.prompts(TEXTS)]
    case = setting.label("demo", size, TEXTS)
    ways = {PRODUCT: given.product(), "engine": lambda: engine.segment(image, prompts).labels()}
    found = side_by_side(ways, given.plan)
    kept = int(engine.segment(image, prompts).present.sum())
    yield timed(PART, case, "engine, preset demo", found["engine"], found[PRODUCT], note=f"{kept} kept")
    yield from stages(given, engine, case, size, TEXTS)
    engine.close()

# SPDX-License-Identifier: Apache-2.0
"""Part `car`: engine car beside CLIP as RNN in the order of the authors' code, on the same random CLIPs and frames.

Both search with preset `voc`, the authors' numbers, and end with scores; the engine also makes labels of them at the
camera's size. What they keep and mark is compared. The time of the reference without CRF is that of the same runs less
their CRF. Preset `robot`, the engine's own default, stands beside, and the stages of the engine's frame below. The demo
model, small and with its own preset, on small frames is the case of a robot without a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from clipseg_ros import crf, engines
from clipseg_ros.engines import Engine, car_finish, car_presets
from clipseg_ros.engines.devices import find_device, find_dtype
from clipseg_ros.engines.planes import KeptMaps
from clipseg_ros.segmentation import Prompt, Segmentation
from clipseg_ros.tools.bench import goals, networks, setting
from clipseg_ros.tools.bench.car_stages import StagedCar, demo_stages, stages
from clipseg_ros.tools.bench.clipseg import agreement
from clipseg_ros.tools.bench.reference_flow import Outcome, ReferenceFlow
from clipseg_ros.tools.bench.rows import Row, timed
from clipseg_ros.tools.bench.setting import PRODUCT, Setting
from clipseg_ros.tools.bench.timing import Plan, Spread, parts_of, side_by_side

PART, REFERENCE = "car", "the reference's flow"
PRESETS = PRESET, OWN = "voc", "robot"
PROPOSER = "ViT-B/16"
PLAIN, CRF, HALF = "", ", CRF", ", CRF at half size"
OPTIONS: dict[str, dict[str, object]] = {
    PLAIN: {"crf": False}, CRF: {"crf": True}, HALF: {"crf": True, "crf_scale": 0.5},
}


def measure(given: Setting) -> Iterator[Row]:
    """All rows of the part. Raises WeightsError."""
    names = ("tiny", "tiny") if given.quick else (PROPOSER, given.classifier)
    proposer = networks.write_clip(names[0], given.folder / "proposer")
    judge = proposer if names[0] == names[1] else networks.write_clip(names[1], given.folder / "classifier")
    bench = _Bench(given, " + ".join(names), proposer, judge)
    for count in given.counts:
        yield from bench.compared(given.sizes[0], count)
        yield from bench.staged(given.sizes[0], count)
    yield from demo_stages(given)


class _Bench:
    """The reference and the engine on the same weights, without and, where it is installed, with CRF."""

    def __init__(self, given: Setting, network: str, proposer: Path, judge: Path) -> None:
        self._given, self._network, self._folders = given, network, (proposer, judge)
        self._crf = crf_installed()
        settings = car_presets.settings({"preset": PRESET, "crf": self._crf})
        self._threshold = car_finish.even_score(settings)
        dtype = find_dtype("auto", find_device(given.device))
        self._flow = ReferenceFlow(proposer, judge, given.device, dtype, settings, given.wait)
        found = [(preset, way) for preset in PRESETS for way in ((PLAIN, CRF) if self._crf else (PLAIN,))]
        self._engines: dict[tuple[str, str], Engine] = {
            (preset, way): engines.create(
                "car", str(proposer), given.device, classifier_weights=str(judge), preset=preset, **OPTIONS[way]
            )
            for preset, way in [*found, *([(PRESET, HALF)] if self._crf else [])]
        }
        self._last: dict[tuple[str, str], Segmentation] = {}

    def compared(self, size: tuple[int, int], count: int) -> Iterator[Row]:
        """Everything for so many queries on a frame (H, W)."""
        image, texts = setting.frame(size), setting.prompts(count)
        case, plan = setting.label(self._network, size, count), self._given.plan
        last: list[Outcome] = []
        theirs = parts_of(partial(self._run_reference, image, texts, last), self._slow_plan)
        for engine in self._engines.values():
            engine.check([Prompt(text) for text in texts])  # encodes them, once ever
        ways = {str(key): partial(self._labels, key, image, texts) for key in self._engines}
        ours = side_by_side({PRODUCT: self._given.product(), **ways}, plan)
        note = f"{' + '.join(map(str, last[-1].queries))} queries entered its steps"
        for way in (PLAIN, CRF, HALF) if self._crf else (PLAIN,):
            if way != HALF:
                yield timed(PART, case, f"{REFERENCE}{way}", theirs[_total(way)], ours[PRODUCT], note=note)
            for preset, _ in (key for key in self._engines if key[1] == way):
                yield self._ours(case, count, (preset, way), ours, theirs[_total(way)])
        if not self._crf:
            yield Row(PART, case, f"{REFERENCE}{CRF}", None, note="pydensecrf2 is not installed")
        yield from (timed(PART, case, f"  reference: {part}", theirs[part], ours[PRODUCT])
                    for part in ("proposals", "classifier", "CRF") if self._crf or part != "CRF")
        yield self._agreement(case, image, texts, last[-1])

    def staged(self, size: tuple[int, int], count: int) -> Iterator[Row]:
        """Where the time of the engine with preset `voc` goes."""
        proposer, judge = map(str, self._folders)
        engine = StagedCar(
            self._given.wait, proposer, self._given.device, classifier_weights=judge, preset=PRESET, crf=self._crf
        )
        yield from stages(self._given, engine, setting.label(self._network, size, count), size, count)
        engine.close()

    @property
    def _slow_plan(self) -> Plan:
        """The reference takes minutes on a CPU."""
        return self._given.plan if self._given.quick else Plan(3, 5, 10.0, limit=30.0)

    def _run_reference(self, image: np.ndarray, texts: list[str], last: list[Outcome]) -> dict[str, float]:
        """Milliseconds by part and of both totals; the outcome goes to `last`."""
        outcome = self._flow(image, texts)
        last[:] = [outcome]
        laps = outcome.laps
        return {**laps, _total(CRF): sum(laps.values()), _total(PLAIN): sum(laps.values()) - laps["CRF"]}

    def _labels(self, key: tuple[str, str], image: np.ndarray, texts: list[str]) -> np.ndarray:
        """What was found is remembered."""
        found = self._last[key] = self._engines[key].segment(image, [Prompt(text) for text in texts])
        return found.labels()

    def _ours(
        self, case: str, count: int, key: tuple[str, str], ours: dict[str, Spread], theirs: Spread
    ) -> Row:
        (preset, way), found, goal = key, ours[str(key)], None
        if way == HALF:
            goal = goals.of_car_frame(self._given.device, self._given.quick, count)
        elif preset == PRESET:
            goal = goals.of_car(self._given.device, self._given.quick, way == CRF)
        note = f"{int(self._last[key].present.sum())} kept"
        ratio = theirs.median / found.median
        return timed(PART, case, f"engine, preset {preset}{way}", found, ours[PRODUCT], ratio, goal, note=note)

    def _agreement(self, case: str, image: np.ndarray, texts: list[str], outcome: Outcome) -> Row:
        """IoU of the engine's masks with the reference's; a query that one kept and the other dropped counts fully."""
        found = self._last[PRESET, CRF if self._crf else PLAIN]
        rows = tuple(outcome.kept.index(n) if n in outcome.kept else None for n in range(len(texts)))
        maps = KeptMaps(outcome.planes, rows, image.shape[:2])
        theirs = maps.masks(np.full(len(texts), self._threshold, np.float32))
        kept = ", ".join(texts[index] for index in outcome.kept)
        iou = agreement([found.masks()], [theirs])
        return Row(PART, case, "agreement of the two", iou, "IoU", note=f"the reference kept {kept}")


def crf_installed() -> bool:
    """Whether the dense CRF can be computed."""
    try:
        crf.check_installed()
    except crf.CrfMissing:
        return False
    return True


def _total(way: str) -> str:
    return "total with CRF" if way else "total"

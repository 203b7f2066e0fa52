# SPDX-License-Identifier: Apache-2.0
"""Part `growth`: what a frame costs with more prompts, pixels, cameras and steps, and with time.

A row is a point of a curve; `draw` makes a picture of them. That texts are encoded once ever is a matter of counting,
which test/engines/test_clipseg.py does; what a thousand frames leave in memory is measured here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from clipseg_ros import engines
from clipseg_ros.datasets.class_names import COCO_STUFF171
from clipseg_ros.engines import Engine
from clipseg_ros.segmentation import Prompt
from clipseg_ros.tools.bench import goals, memory, networks, setting
from clipseg_ros.tools.bench.rows import Row, timed
from clipseg_ros.tools.bench.setting import PRODUCT, Setting
from clipseg_ros.tools.bench.timing import side_by_side

PART = "growth"
PROMPTS, FEW = (1, 2, 5, 10, 20, 50, 100), 5
FRAMES = ((240, 320), goals.VGA, goals.HD, (1080, 1920))
CAMERAS, STEPS = (1, 2, 4, 8), (1, 2, 3, 4, 6)
SIDES = (176, 256, 352, 448)  # of the network's input
MEMORY_FRAMES = (100, 1000)


def measure(given: Setting) -> Iterator[Row]:
    """All rows of the part. Raises WeightsError, OSError."""
    name = "tiny" if given.quick else goals.FULL_SIZE
    folder = str(networks.write_clipseg(name, given.folder / name))
    engine, size = engines.create("clipseg", folder, given.device), given.sizes[0]
    at = f"{size[1]}x{size[0]}"
    image, few = setting.frame(size), setting.prompts(FEW)
    yield from _curve(given, f"{name}, {at}", "prompts", {
        count: _labels(engine, size, COCO_STUFF171[:count]) for count in _some(given, PROMPTS)
    })
    yield from _curve(given, f"{name}, N = {FEW}, frame", "megapixels", {
        frame[0] * frame[1] / 1e6: _labels(engine, frame, few) for frame in _some(given, FRAMES)
    })
    yield from _curve(given, f"{name}, {at}, N = {FEW}", "cameras", {
        count: partial(_labels_of_all, engine, [image] * count, few) for count in _some(given, CAMERAS)
    })
    sided = {side: engines.create("clipseg", folder, given.device, side=side) for side in _some(given, SIDES)}
    yield from _curve(given, f"{name}, {at}, N = {FEW}, input", "pixels a side", {
        side: _labels(one, size, few) for side, one in sided.items()
    })
    for one in (engine, *sided.values()):
        one.close()
    yield from _steps(given, size, few)
    yield from _frames(given, size)


def _steps(given: Setting, size: tuple[int, int], texts: Sequence[str]) -> Iterator[Row]:
    """Engine car when no query is dropped and so many steps are taken."""
    name = "tiny" if given.quick else "ViT-B/16"
    clip = str(networks.write_clip(name, given.folder / "growing"))
    found = {
        steps: engines.create(
            "car", clip, given.device, preset="voc", confidence_threshold=0.0, crf=False, min_steps=steps,
            max_steps=steps,
        ) for steps in _some(given, STEPS)
    }
    case = f"car, {name}, {size[1]}x{size[0]}, N = {len(texts)}"
    yield from _curve(given, case, "steps", {steps: _labels(one, size, texts) for steps, one in found.items()})
    for engine in found.values():
        engine.close()


def _frames(given: Setting, size: tuple[int, int]) -> Iterator[Row]:
    """Resident memory of a process in which the demo model segments one frame after the other."""
    counts = (2, 4) if given.quick else MEMORY_FRAMES
    first, last = memory.resident_after_mb("demo", given.device, size, FEW, counts)
    case = setting.label("demo", size, FEW)
    for count, megabytes in zip(counts, (first, last)):
        yield Row(PART, case, f"resident after {count} frames", megabytes, "MB")
    goal = None if given.quick else goals.Goal("value", at_most=goals.MEMORY_GROWTH_PERCENT)
    yield Row(PART, case, f"  growth from {counts[0]} to {counts[1]} frames", 100.0 * (last - first) / first, "%",
        goal=goal)


def _some(given: Setting, points: Sequence) -> Sequence:
    return points[:2] if given.quick else points


def _labels(engine: Engine, size: tuple[int, int], texts: Sequence[str]) -> Callable[[], object]:
    image, prompts = setting.frame(size), [Prompt(text) for text in texts]
    return lambda: engine.segment(image, prompts).labels()


def _labels_of_all(engine: Engine, images: Sequence, texts: Sequence[str]) -> list:
    return [found.labels() for found in engine.segment_batch(images, [Prompt(text) for text in texts])]


def _curve(given: Setting, case: str, unit: str, ways: Mapping[float, Callable[[], object]]) -> Iterator[Row]:
    """A row a point; its way is the number and what is counted. Points take turns."""
    found = side_by_side({PRODUCT: given.product(), **{str(x): run for x, run in ways.items()}}, given.brief_plan)
    for x in ways:
        goal = goals.of_cameras(given.device, given.quick, x) if unit == "cameras" else None
        yield timed(PART, case, f"{x:.4g} {unit}", found[str(x)], found[PRODUCT], goal=goal)


def draw(rows: Sequence[Row], path: Path) -> None:
    """Write a picture (PNG) of the curves among the rows: medians and quartiles."""
    curves: dict[tuple[str, str], list[tuple[float, Row]]] = {}
    for row in rows:
        if row.part == PART and row.unit == "ms":
            number, unit = row.way.split(" ", 1)
            curves.setdefault((row.case, unit), []).append((float(number), row))
    figure = Figure(figsize=(12.0, 3.0 * -(-len(curves) // 3)), layout="constrained")
    FigureCanvasAgg(figure)  # needs no screen, whatever matplotlib is set to
    axes = figure.subplots(-(-len(curves) // 3), 3, squeeze=False).ravel()
    for place, ((case, unit), points) in zip(axes, curves.items()):
        spread = [[row.value - row.low for _, row in points], [row.high - row.value for _, row in points]]
        place.errorbar([x for x, _ in points], [row.value for _, row in points], spread, marker="o", capsize=3.0)
        place.set(title=case, xlabel=unit, ylabel="ms a frame" if unit != "cameras" else "ms for all")
        place.set(xlim=(0.0, None), ylim=(0.0, 1.1 * max(row.high for _, row in points)))
        place.grid(alpha=0.3)
    for place in axes[len(curves):]:
        place.set_visible(False)
    figure.savefig(path, dpi=100)

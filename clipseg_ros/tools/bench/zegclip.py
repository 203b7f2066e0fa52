# SPDX-License-Identifier: Apache-2.0
"""Part `zegclip`: engine zegclip beside engine clipseg on the same frames, from a few prompts to every class at once.

Both end with labels at the camera's size, at 512 pixels a side as ZegCLIP was published, and at CLIPSeg's 352. Texts
are encoded before, as in use. All numbers of prompts take turns, so that what more of them cost can be read off; with
random weights every class has some score everywhere, and none is spared when labels are drawn.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from clipseg_ros import engines
from clipseg_ros.datasets.class_names import COCO_STUFF171
from clipseg_ros.engines import Engine
from clipseg_ros.segmentation import Prompt
from clipseg_ros.tools.bench import goals, networks, setting
from clipseg_ros.tools.bench.rows import Row, timed
from clipseg_ros.tools.bench.setting import PRODUCT, Setting
from clipseg_ros.tools.bench.timing import Plan, side_by_side

PART, BASELINE = "zegclip", "engine clipseg"
COUNTS = (5, 20, len(COCO_STUFF171))
PLAN = Plan(7, 20, 2.0, limit=20.0)  # differences of a few percent are looked for


def measure(given: Setting) -> Iterator[Row]:
    """All rows of the part. Raises WeightsError."""
    name = "tiny" if given.quick else goals.FULL_SIZE
    clipseg = str(networks.write_clipseg(name, given.folder / name))
    zegclip = str(networks.write_zegclip(name, given.folder / "zegclip"))
    sides = [networks.CLIPSEGS[name]["side"], networks.ZEGCLIPS[name][1].side]
    found = {BASELINE: engines.create("clipseg", clipseg, given.device)}
    found |= {f"engine zegclip, side {side}": engines.create("zegclip", zegclip, given.device, side=side)
              for side in sides}
    counts = given.counts if given.quick else COUNTS
    image = setting.frame(given.sizes[0])
    for engine in found.values():
        engine.check([Prompt(text) for text in COCO_STUFF171[: max(counts)]])  # encodes them, once ever
    ways = {(way, count): partial(_labels, engine, image, count) for way, engine in found.items() for count in counts}
    spreads = side_by_side({PRODUCT: given.product(), **ways}, given.plan if given.quick else PLAN)
    for count in counts:
        case = setting.label(name, given.sizes[0], count)
        for way in found:
            ratio = None if way == BASELINE else spreads[BASELINE, count].median / spreads[way, count].median
            yield timed(PART, case, way, spreads[way, count], spreads[PRODUCT], ratio)
    for way in found:
        few, many = (spreads[way, count].median for count in (min(counts), max(counts)))
        case = f"{name}, {given.sizes[0][1]}x{given.sizes[0][0]}"
        more = f"{way}: {max(counts)} classes over {min(counts)}"
        goal = goals.of_many_classes(name, way)
        yield Row(PART, case, more, 100.0 * (many / few - 1.0), "%", goal=goal, note="of the few's time")
    for engine in found.values():
        engine.close()


def _labels(engine: Engine, image: np.ndarray, count: int) -> np.ndarray:
    return engine.segment(image, [Prompt(text) for text in COCO_STUFF171[:count]]).labels()

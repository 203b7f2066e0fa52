# SPDX-License-Identifier: Apache-2.0
"""Part `ovseg`: engine ovseg at both speeds and in a video, beside engine zegclip: two stages and one.

From frame to labels of a whole vocabulary (`select=all`), texts encoded before, as in use. A CPU takes the smaller of
the published pairs of networks. Masks of random weights are all alike, so what drops proposals by their looks is
switched off: the fast speed reads 20 cut-outs, the most it ever reads, the authors' all 100. In a video whose regions
stay, CLIP looks at none of them until `reclassify_every` frames have passed.
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
from clipseg_ros.tools.bench.timing import side_by_side
from clipseg_ros.video import RegionMemory

PART = "ovseg"
NETWORKS = {"cpu": "R101c + ViT-B/16", "gpu": "Swin-B + ViT-L/14"}
REFERENCE, FAST, KNOWN = "engine ovseg, reference", "engine ovseg, fast", "engine ovseg, fast, regions known"
COUNTS = (5, len(COCO_STUFF171))
EVERY_LOOK = {"min_area": 0.0, "nms_iou": 1.0, "select": "all"}
NEVER_AGAIN = 10_000  # frames


def measure(given: Setting) -> Iterator[Row]:
    """All rows of the part. Raises WeightsError."""
    name = "tiny" if given.quick else NETWORKS["cpu" if given.device == "cpu" else "gpu"]
    weights = str(networks.write_ovseg(name, given.folder / "ovseg"))
    zegclip = str(networks.write_zegclip("tiny" if given.quick else goals.FULL_SIZE, given.folder / "one-stage"))
    found = {
        REFERENCE: engines.create("ovseg", weights, given.device, speed="reference", select="all"),
        FAST: engines.create("ovseg", weights, given.device, **EVERY_LOOK),
        KNOWN: engines.create("ovseg", weights, given.device, **EVERY_LOOK, reclassify_every=NEVER_AGAIN),
        "engine zegclip": engines.create("zegclip", zegclip, given.device),
    }
    image = setting.frame(given.sizes[0])
    for count in given.counts if given.quick else COUNTS:
        prompts = [Prompt(text) for text in COCO_STUFF171[:count]]
        for engine in found.values():
            engine.check(prompts)  # encodes them, once ever
        memories = [RegionMemory()]
        found[KNOWN].segment_batch([image], prompts, memories)
        ways = {way: partial(_labels, engine, image, prompts, memories if way == KNOWN else ())
                for way, engine in found.items()}
        spreads = side_by_side({PRODUCT: given.product(), **ways}, given.plan)
        for way in found:
            ratio = None if way == REFERENCE else spreads[REFERENCE].median / spreads[way].median
            case = setting.label(name, given.sizes[0], count)
            yield timed(PART, case, way, spreads[way], spreads[PRODUCT], ratio)
    for engine in found.values():
        engine.close()


def _labels(engine: Engine, image: np.ndarray, prompts: list[Prompt], memories: tuple | list) -> np.ndarray:
    return engine.segment_batch([image], prompts, memories)[0].labels()

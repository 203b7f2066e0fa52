# SPDX-License-Identifier: Apache-2.0
"""Part `zegclip`: engine zegclip beside engine clipseg on the same frames, from a few prompts to every class at once.

Both end with labels at the camera's size, at 512 pixels a side as ZegCLIP was published, and at CLIPSeg's 352. Texts
are encoded before, as in use.
"""

from __future__ import annotations

from collections.abc import Iterator

from clipseg_ros import engines
from clipseg_ros.datasets.class_names import COCO_STUFF171
from clipseg_ros.segmentation import Prompt
from clipseg_ros.tools.bench import goals, networks, setting
from clipseg_ros.tools.bench.rows import Row, timed
from clipseg_ros.tools.bench.setting import PRODUCT, Setting
from clipseg_ros.tools.bench.timing import side_by_side

PART, BASELINE = "zegclip", "engine clipseg"
COUNTS = (5, 20, len(COCO_STUFF171))


def measure(given: Setting) -> Iterator[Row]:
    """All rows of the part. Raises WeightsError."""
    name = "tiny" if given.quick else goals.FULL_SIZE
    clipseg = str(networks.write_clipseg(name, given.folder / name))
    zegclip = str(networks.write_zegclip(name, given.folder / "zegclip"))
    sides = [networks.CLIPSEGS[name]["side"], networks.ZEGCLIPS[name][1].side]
    found = {BASELINE: engines.create("clipseg", clipseg, given.device)}
    found |= {f"engine zegclip, side {side}": engines.create("zegclip", zegclip, given.device, side=side)
              for side in sides}
    image = setting.frame(given.sizes[0])
    for count in given.counts if given.quick else COUNTS:
        prompts = [Prompt(text) for text in COCO_STUFF171[:count]]
        for engine in found.values():
            engine.check(prompts)  # encodes them, once ever
        ways = {way: lambda engine=engine: engine.segment(image, prompts).labels() for way, engine in found.items()}
        spreads = side_by_side({PRODUCT: given.product(), **ways}, given.plan)
        case = setting.label(name, given.sizes[0], count)
        for way in found:
            ratio = None if way == BASELINE else spreads[BASELINE].median / spreads[way].median
            yield timed(PART, case, way, spreads[way], spreads[PRODUCT], ratio)
    for engine in found.values():
        engine.close()

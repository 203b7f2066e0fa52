# SPDX-License-Identifier: Apache-2.0
"""Every parameter of the node: default, meaning, range; they stand here and nowhere else."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from clipseg_ros.engines import DEFAULT_WEIGHTS, ENGINES
from clipseg_ros.queries import affordances
from clipseg_ros.ros.parameter_table import ParameterError, param


@dataclass(frozen=True)
class Parameters:
    """The node's settings; those not `fixed` change while it runs, from the next whole frame on."""

    engine: str = param("clipseg", "the model's kind", choices=ENGINES, fixed=True)
    weights: str = param(
        DEFAULT_WEIGHTS, "demo, a folder in transformers' format, or a Hugging Face model", fixed=True
    )
    device: str = param("auto", "auto (CUDA where there is one), cpu, cuda or cuda:N", fixed=True)
    precision: str = param("auto", "auto: fp16 on CUDA", choices=("auto", "fp32", "fp16", "bf16"), fixed=True)
    engine_options: str = param(
        "", "the engine's own options, name=value separated by ; such as keep_aspect=true; extract_layers=[3,7,9]",
        fixed=True,
    )
    queries: tuple[str, ...] = param(
        (), "what to look for, in the language of seg_query; the same set as seg_query, whichever came last"
    )
    max_queries: int = param(32, "more prompts than this are refused", span=(1, 254), fixed=True)
    affordance_mode: str = param(
        "prompt", "what seg_affordance searches for: a sentence such as 'something to sit on', the names of its "
        "objects, or both, fused by maximum", choices=affordances.MODES,
    )
    affordances_file: str = param(
        "", "YAML with affordances of your own, in the form of data/affordances.yaml", fixed=True
    )
    max_supports: int = param(4, "examples of seg_support that are kept; the oldest goes first", span=(1, 32))
    support_text: str = param("", "words that are mixed with each example of seg_support; empty: the example alone")
    support_text_weight: float = param(
        0.5, "share of support_text in that mixture; 0: the example alone, 1: the words alone", span=(0.0, 1.0)
    )
    threshold: float = param(
        0.0, "score at or above which a pixel belongs to a prompt without its own threshold; 0: the engine's",
        span=(0.0, 1.0),
    )
    smoothing: float = param(
        0.9, "weight of earlier frames where the motion is sure; 0: every frame on its own, 1: what was first seen "
        "stays", span=(0.0, 1.0),
    )
    max_rate: float = param(0.0, "frames segmented per second at most; 0: no limit", span=(0.0, 1000.0))
    overlay_opacity: float = param(0.5, "share of the label's colour in the overlay", span=(0.0, 1.0))
    image_qos: str = param(
        "auto", "auto: reliable when every publisher offers it, else best effort",
        choices=("auto", "sensor_data", "reliable"), fixed=True,
    )
    image_transport: str = param(
        "raw", "compressed: subscribe to `image`/compressed (JPEG or PNG)", choices=("raw", "compressed"), fixed=True
    )
    cameras: tuple[str, ...] = param(
        (), "names of cameras that share the model; of `front` the node hears front/image and publishes ~/front/mask; "
        "none: one camera, `image` and ~/mask", fixed=True,
    )
    sync_slop: float = param(
        0.02, "seconds by which the stamps of depth and camera_info may differ from the image's, and those of "
        "seg_support/mask from seg_support/image", span=(0.0001, 1.0), fixed=True,
    )
    scores_scale: float = param(1.0, "height and width of ~/scores as a share of the image's", span=(0.05, 1.0))
    min_area: int = param(
        50, "pixels: smaller connected components make no detection and no target", span=(1, 100_000_000)
    )
    point_spacing: float = param(
        0.005, "metres: ~/points keeps one point of a label in each cube of this edge", span=(0.001, 1.0)
    )
    autostart: bool = param(
        True, "configure and activate at the start; false: wait for lifecycle requests", fixed=True
    )
    frame_timeout: float = param(5.0, "seconds without an image after which the node says why", span=(0.1, 3600.0))

    idle_timeout: float = param(
        10.0, "seconds without a listener or a query after which the camera's subscription is given up; it is taken "
        "again at once when both are there", span=(0.0, 3600.0),
    )

    def __post_init__(self) -> None:
        self.options()
        for name in self.cameras:
            if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) or self.cameras.count(name) > 1:
                raise ParameterError(f"cameras: {name!r}: expected names of letters, digits and _, each once")

    def options(self) -> dict[str, object]:
        """engine_options by name; a value that is no JSON is text. Raises ParameterError."""
        options: dict[str, object] = {}
        for part in filter(None, (part.strip() for part in self.engine_options.split(";"))):
            name, equals, value = (word.strip() for word in part.partition("="))
            if not (name.isidentifier() and equals):
                raise ParameterError(f"engine_options: {part!r} is not name=value; separate options by ;")
            try:
                options[name] = json.loads(value)
            except json.JSONDecodeError:
                options[name] = value
        return options

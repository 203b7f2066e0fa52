# SPDX-License-Identifier: Apache-2.0
"""Every parameter of the node: default, meaning, range; they stand here and nowhere else."""

from __future__ import annotations

import json
from dataclasses import dataclass

from clipseg_ros.engines import DEFAULT_WEIGHTS, ENGINES
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
    threshold: float = param(
        0.0, "score at or above which a pixel belongs to a prompt without its own threshold; 0: the engine's",
        span=(0.0, 1.0),
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
    autostart: bool = param(
        True, "configure and activate at the start; false: wait for lifecycle requests", fixed=True
    )
    frame_timeout: float = param(5.0, "seconds without an image after which the node says why", span=(0.1, 3600.0))

    def __post_init__(self) -> None:
        self.options()

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

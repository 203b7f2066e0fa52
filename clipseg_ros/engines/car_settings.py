# SPDX-License-Identifier: Apache-2.0
"""Every option of CLIP as RNN: default, meaning, range; they stand here and nowhere else.

The defaults are the recommended ones; car_presets knows what papers and data sets use, and which options a numerics or
a preset sets. D, B: differences between the paper and the authors' code, and bugs of that code, as docs/car.md numbers
them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import Field, dataclass, field, fields
from typing import TypeVar

from clipseg_ros.engines.car_words import GROUPS, ORIGAMI, TEMPLATES_15
from clipseg_ros.models.mask_prompts import PROMPTS

T = TypeVar("T")


def option(
    default: T, meaning: str, span: tuple[float, float] | None = None, choices: Iterable[str] | None = None
) -> T:
    """A field of CarSettings. span: inclusive. choices: of a text, or of each text of a tuple."""
    words = None if choices is None else tuple(choices)
    return field(default=default, metadata=dict(meaning=meaning, span=span, choices=words))


@dataclass(frozen=True)
class CarSettings:
    """How CLIP as RNN works. Raises ValueError for a value of another type or out of its range."""

    mode: str = option(
        "semantic", "semantic: queries compete for pixels; referring: each alone against the background, may overlap",
        choices=("semantic", "referring"),
    )
    stuff: tuple[str, ...] = option((), "queries that are stuff: searched after the things, painted below them")
    mutual_background: bool = option(
        True, "things take the stuff's names for background, as the paper says; false: the background words (D10)"
    )

    cam: str = option(
        "clip-es", "clip-es: softmax with background, affinity, boxes; grad-cam: the plain gradient of the score; "
        "patches: no gradient but each patch's own likeness, for CLIPs that were taught by patches, as the demo's",
        choices=("clip-es", "grad-cam", "patches"),
    )
    patch_threshold: float = option(
        0.0, "cam patches: cosine that some patch must have with a query; without, it has no proposal", (-1.0, 1.0)
    )
    mask_threshold: float = option(0.4, "eta: above which a proposal is inside the visual prompt's mask", (0.0, 1.0))
    box_threshold: float = option(0.4, "lambda: share of the CAM's maximum that a box encloses", (0.0, 1.0))
    background_exponent: float = option(1.0, "alpha: background = (1 - highest proposal) ** alpha", (0.01, 100.0))
    background: tuple[str, ...] = option(("clip_es",), "lists of background words, of car_words.GROUPS", choices=GROUPS)
    background_words: tuple[str, ...] = option((), "further background words")
    query_template: str = option(ORIGAMI, "sentence around queries and background words for proposals")
    raw_first_step: bool = option(False, "the first step's proposals are of the bare query (D3)")
    foreground_only_below: float = option(
        0.0, "a query less probable than this gets its CAM without background; 0: only where it would be empty (B10)",
        (0.0, 1.0),
    )
    clamp_boxes: bool = option(False, "boxes never hold the last row and column of patches (B2)")
    round_positions: bool = option(False, "positions rounded to half precision (B12)")
    max_tokens: int = option(
        4096, "patches of the proposal's input at most; larger images shrink; 0: no limit", (0, 1_000_000)
    )

    visual_prompts: tuple[str, ...] = option(
        ("circle", "blur"), "how a mask is shown to the classifier; any of them, applied in their fixed order",
        choices=PROMPTS,
    )
    stuff_visual_prompts: tuple[str, ...] = option(("blur", "gray"), "the same, for stuff", choices=PROMPTS)
    crop_context: float = option(0.2, "prompt crop: share of the mask's box that is kept around it", (0.0, 10.0))
    scale_lines: bool = option(True, "lines grow with the image, for the classifier to see; false: 1 pixel (D15)")
    swap_gray: bool = option(False, "gray weighs red as blue and blue as red (B18)")

    templates: tuple[str, ...] = option(TEMPLATES_15, "the classifier's sentences around a query, each with one {}")
    score: str = option(
        "softmax", "softmax: mean over the templates; double-softmax: softmax of their sum, no probability (D2)",
        choices=("softmax", "double-softmax"),
    )
    confidence_threshold: float = option(0.3, "theta: a query is kept above it", (0.0, 1.0))
    distractors: bool = option(
        True, "background words are texts of the classifier too, so that a single query can be rejected"
    )
    distractor_words: tuple[str, ...] = option(
        (), "further texts of the classifier alone, such as other objects; a query's own words are left out"
    )
    classifier_fit: str = option(
        "squash", "squash: the whole picture; centre_crop: its middle square (B1)", choices=("squash", "centre_crop")
    )
    skip_last_block: bool = option(False, "the classifier's image tower stops before its last block (D1)")
    when_empty: str = option(
        "none", "where no query is above theta: none is kept, or the best one (D5)", choices=("none", "best")
    )
    min_steps: int = option(1, "steps before an unchanged set of queries ends the recurrence (D4)", (1, 100))
    max_steps: int = option(
        20, "steps at most; 1: one filtering; 0: no classifier, every query keeps its proposal", (0, 1000)
    )

    crf: bool = option(False, "dense CRF after the last step")
    crf_scale: float = option(1.0, "side of the CRF's picture as a share of the image's", (0.05, 1.0))
    crf_iterations: int = option(10, "of mean field", (1, 1000))
    crf_smooth_deviation: float = option(1.0, "pixels, of the smoothness kernel", (0.01, 1000.0))
    crf_smooth_weight: float = option(3.0, "weight of the smoothness kernel", (0.0, 1000.0))
    crf_edge_deviation: float = option(67.0, "pixels, of the appearance kernel", (0.01, 1000.0))
    crf_edge_colour: float = option(3.0, "levels of colour, of the appearance kernel", (0.01, 255.0))
    crf_edge_weight: float = option(4.0, "weight of the appearance kernel", (0.0, 1000.0))
    crf_wraps: bool = option(False, "the CRF sees BGR less its mean, modulo 256 (B3)")

    sam_weights: str = option("", "folder or hub name of a SAM that refines the masks; empty: none")
    sam_iom: float = option(0.7, "IoM above which a mask of SAM belongs to a query's", (0.0, 1.0))
    sam_min_pred: float = option(0.05, "share of a query's mask that a mask of SAM covers to count", (0.0, 1.0))
    sam_iou: float = option(
        0.7, "IoU above which the union of SAM's masks replaces the query's; 0: where they overlap", (0.0, 1.0)
    )
    sam_guard: float = option(
        0.5, "share of a mask of SAM that lies inside the query's; 0: the whole image may match (B16)", (0.0, 1.0)
    )
    sam_points_per_side: int = option(64, "points asked of SAM along a side of the image", (1, 256))
    sam_pred_iou_thresh: float = option(0.88, "SAM's own estimate of IoU from which on its masks count", (0.0, 1.0))
    sam_stability_score_thresh: float = option(0.95, "stability from which on SAM's masks count", (0.0, 1.0))
    sam_nms_thresh: float = option(0.7, "IoU of boxes above which the worse of two masks of SAM goes", (0.0, 1.0))

    def __post_init__(self) -> None:
        for entry in fields(self):
            _check(entry, getattr(self, entry.name))
        sentences = (("templates", text) for text in self.templates)
        for name, text in (("query_template", self.query_template), *sentences):
            if text.count("{}") != 1:
                raise ValueError(f"{name} {text!r}: expected a sentence with one {{}}, such as 'a photo of a {{}}.'")
        if not self.templates:
            raise ValueError("templates (): expected at least one sentence; '{}' is the bare query")


def _check(entry: Field, value: object) -> None:
    """Raise ValueError unless the value has the type of the default and lies in the range."""
    kind, span, choices = type(entry.default), entry.metadata["span"], entry.metadata["choices"]
    if type(value) is not kind or (kind is tuple and not all(isinstance(word, str) for word in value)):
        expected = {float: "a number", int: "a whole number", bool: "true or false", str: "a text", tuple: "texts"}
        raise ValueError(f"{entry.name} {value!r}: expected {expected[kind]}")
    if span and not span[0] <= value <= span[1]:
        raise ValueError(f"{entry.name} {value}: expected {span[0]} to {span[1]}")
    for word in value if kind is tuple else (value,):
        if choices and word not in choices:
            raise ValueError(f"{entry.name} {word!r}: expected {'of' if kind is tuple else 'one of'} "
                             f"{', '.join(choices)}")

# SPDX-License-Identifier: Apache-2.0
"""Every option of OVSeg: default, meaning, range; what the two ways of selecting and the two speeds set.

The defaults are those of select=best and speed=fast. `reference` switches every shortcut off and does what the authors'
code does; docs/ovseg.md says where that differs from the paper.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, dataclass, fields, replace

from clipseg_ros.engines.car_settings import option

TEMPLATES = {
    "vild": (
        "a photo of a {}.", "This is a photo of a {}", "There is a {} in the scene", "There is the {} in the scene",
        "a photo of a {} in the scene", "a photo of a small {}.", "a photo of a medium {}.", "a photo of a large {}.",
        "This is a photo of a small {}.", "This is a photo of a medium {}.", "This is a photo of a large {}.",
        "There is a small {} in the scene.", "There is a medium {} in the scene.",
        "There is a large {} in the scene.",
    ),
    "photo": ("a photo of {}",),
    "plain": ("{}",),
}
"""Sentences around a query by name: vild, the 14 of the authors' code (ViLD's); photo, that of their demo with SAM."""
SELECTS: dict[str, dict[str, object]] = {
    "best": {"clip_weight": 0.0, "mask_threshold": 0.35},
    "all": {"clip_weight": 0.7, "mask_threshold": 0.4},
}
"""What a way of selecting sets: the authors' demo; their Swin-B on ADE20K (clip_weight 0.6 on Pascal Context, 0.45 on
VOC; 0.7 with a mask_threshold of 0.5 for the smaller model)."""
SPEEDS: dict[str, dict[str, object]] = {
    "fast": {},
    "reference": {
        "side": 640, "min_area": 0.0, "no_object": 1.0, "nms_iou": 1.0, "top_k": 0, "fusion_stride": 1,
        "reclassify_every": 1,
    },
}
"""What a speed sets; the options' defaults are the rest. The authors' smaller model has a side of 512."""
STRIDES = (1, 4)


@dataclass(frozen=True)
class OvsegSettings:
    """How OVSeg works. Raises ValueError for a value of another type or out of its range."""

    select: str = option(
        "best", "best: the proposals that suit a query best, for few queries; all: every proposal counts as much as "
        "it suits, for whole vocabularies", choices=("best", "all"),
    )
    proposer: str = option(
        "maskformer", "maskformer: the weights' own masks; sam: those of Segment Anything",
        choices=("maskformer", "sam"),
    )
    sam_weights: str = option("", "folder or hub name of the SAM of proposer=sam")
    sam_points_per_side: int = option(32, "points asked of SAM along a side of the picture", (1, 256))
    sam_pred_iou_thresh: float = option(0.88, "SAM's own estimate of IoU from which on its masks count", (0.0, 1.0))
    sam_stability_score_thresh: float = option(0.95, "stability from which on SAM's masks count", (0.0, 1.0))
    sam_nms_thresh: float = option(0.7, "IoU of boxes above which the worse of two masks of SAM goes", (0.0, 1.0))
    clip_weight: float = option(
        0.0, "w: scores are p^(1-w) q^w, p the proposals' opinion and q that of CLIP; 0 and 1: q alone", (0.0, 1.0)
    )
    mask_threshold: float = option(0.35, "probability above which a pixel is inside a cut-out", (0.0, 1.0))
    keep_ratio: float = option(
        1.0, "select best: proposals above this share of a query's best score count too; 1: the best alone", (0.0, 1.0)
    )
    helper: str = option("others", "what a single query is compared with, so that it can be absent")
    templates: tuple[str, ...] = option(TEMPLATES["vild"], "sentences around a query, each with one {}")
    side: int = option(
        480, "shorter side of the picture in pixels; the longer one has 4 times as many at most", (32, 4096)
    )
    min_area: float = option(0.0005, "share of the picture below which a proposal is dropped", (0.0, 1.0))
    no_object: float = option(
        0.9, "probability of no object above which a proposal is dropped, where the weights name their training's "
        "classes", (0.0, 1.0),
    )
    nms_iou: float = option(0.8, "of two proposals of a larger IoU the worse is dropped; 1: none", (0.0, 1.0))
    top_k: int = option(20, "proposals that CLIP looks at, the best; 0: all", (0, 10_000))
    fusion_stride: int = option(4, "select all: pixels between the places where masks are summed, 1 or 4", STRIDES)
    reclassify_every: int = option(
        5, "frames of a camera after which CLIP looks again at a region that has stayed; 1: at all in every frame",
        (1, 10_000),
    )

    def __post_init__(self) -> None:
        for entry in fields(self):
            _check(entry, getattr(self, entry.name))
        for sentence in self.templates or ("",):
            if sentence.count("{}") != 1:
                names = ", ".join(TEMPLATES)
                raise ValueError(f"template {sentence!r}: expected {names}, or sentences with one {{}} each")
        if self.fusion_stride not in STRIDES:
            raise ValueError(f"fusion_stride {self.fusion_stride}: expected 1 or 4")
        if not self.helper.strip():
            raise ValueError("helper '': expected a word, such as others")
        if (self.proposer == "sam") != bool(self.sam_weights):
            raise ValueError(f"sam_weights {self.sam_weights!r}: give them with proposer=sam, and with no other")
        if self.proposer == "sam" and self.clip_weight not in (0.0, 1.0):
            raise ValueError(f"clip_weight {self.clip_weight}: proposer=sam has no opinion about classes; expected 0")

    @property
    def prunes(self) -> bool:
        """Whether some proposal may be dropped before CLIP looks at it."""
        return self.min_area > 0.0 or self.no_object < 1.0 or self.nms_iou < 1.0 or self.top_k > 0


def option_names() -> tuple[str, ...]:
    """What `settings` takes: speed, and every field of OvsegSettings."""
    return ("speed", *(entry.name for entry in fields(OvsegSettings)))


def settings(options: Mapping[str, object]) -> OvsegSettings:
    """What `select` and `speed` set, and single options beside them.

    A list is taken for a tuple, one text for a list of one, a whole number where a fraction is expected; `templates`
    may be a name in TEMPLATES. Raises ValueError for an unknown name or value.
    """
    given = dict(options)
    unknown = sorted(set(given) - set(option_names()))
    if unknown:
        raise ValueError(f"option {unknown[0]!r} of engine ovseg: expected one of {', '.join(option_names())}")
    speed, select = given.pop("speed", "fast"), given.get("select", "best")
    if not isinstance(speed, str) or speed not in SPEEDS:
        raise ValueError(f"speed {speed!r}: expected one of {', '.join(SPEEDS)}")
    selected = SELECTS.get(select, {}) if isinstance(select, str) else {}
    if given.get("proposer") == "sam":
        selected = {**selected, "clip_weight": 0.0}
    known = {entry.name: entry.default for entry in fields(OvsegSettings)}
    changes = {**SPEEDS[speed], **selected, **given}
    return replace(OvsegSettings(), **{name: _read(name, value, known[name]) for name, value in changes.items()})


def _read(name: str, value: object, default: object) -> object:
    """The value in the type of the default where that is meant; what is not, OvsegSettings refuses."""
    if name == "templates" and isinstance(value, str) and value in TEMPLATES:
        return TEMPLATES[value]
    if isinstance(default, tuple):
        return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value
    return float(value) if isinstance(default, float) and type(value) is int else value


def _check(entry: Field, value: object) -> None:
    """Raise ValueError unless the value has the type of the default and lies in the range."""
    kind, span, choices = type(entry.default), entry.metadata["span"], entry.metadata["choices"]
    if type(value) is not kind or (kind is tuple and not all(isinstance(word, str) for word in value)):
        expected = {float: "a number", int: "a whole number", str: "a text", tuple: "texts"}
        raise ValueError(f"{entry.name} {value!r}: expected {expected[kind]}")
    if span and not span[0] <= value <= span[1]:
        raise ValueError(f"{entry.name} {value}: expected {span[0]} to {span[1]}")
    if choices and value not in choices:
        raise ValueError(f"{entry.name} {value!r}: expected one of {', '.join(choices)}")

# SPDX-License-Identifier: Apache-2.0
"""Settings of CLIP as RNN by name: two numerics, and a preset for each data set, for the demo and for robots.

A preset names its numerics. `reference` does what the authors' code does, since the published thresholds belong to it;
`recommended` is the default of the options. Where the paper and the code disagree, a preset follows the code:

    option                 paper                   code, and the preset here
    background             112 words, 3 groups     the 23 words of CLIP-ES, everywhere (D9)
    confidence_threshold   Context .2              Context .25 (D11)
    visual_prompts         refcoco circle + blur   refcoco circle (D12)
    mutual_background      Context: yes            no: things take the background words (D10)
    referring              sentences alone         sentences of one object compete, and their masks are joined (D16)
    sam_iom                .7                      .6, .7, .5, .6 (D13)
    sam_iou                .7                      .9, a default that no configuration names (D13)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace

from clipseg_ros.engines.car_settings import CarSettings
from clipseg_ros.engines.car_words import (
    ADE_150_STUFF, ADE_847_STUFF, CONTEXT_459_STUFF, CONTEXT_STUFF, TABLETOP, TEMPLATES,
)

Options = Mapping[str, object]

NUMERICS: dict[str, Options] = {
    "recommended": {},
    "reference": {
        "mutual_background": False, "raw_first_step": True, "clamp_boxes": True, "scale_lines": False,
        "score": "double-softmax", "distractors": False, "classifier_fit": "centre_crop", "skip_last_block": True,
        "when_empty": "best", "min_steps": 2, "max_steps": 1000, "crf": True,
        "sam_iou": 0.9, "sam_min_pred": 0.0, "sam_guard": 0.0,
    },
}
"""What a numerics sets; the options' defaults are the rest."""

SEMANTIC: Options = {"numerics": "reference"}
REFERRING: Options = {
    "numerics": "reference", "mode": "referring", "templates": ("{}",), "score": "softmax", "sam_iom": 0.5,
}
ADE: Options = {
    **SEMANTIC, "mask_threshold": 0.6, "confidence_threshold": 0.25, "box_threshold": 0.7,
    "visual_prompts": ("gray", "blur"), "stuff_visual_prompts": ("gray", "blur"), "sam_iom": 0.6,
}

PRESETS: dict[str, Options] = {
    "robot": {"numerics": "recommended"},
    "demo": {
        "numerics": "recommended", "cam": "patches", "patch_threshold": 0.42, "mask_threshold": 0.65, "background": (),
        "distractor_words": TABLETOP, "query_template": "{}", "templates": ("{}",), "visual_prompts": ("crop",),
        "crop_context": 0.1, "confidence_threshold": 0.0036, "max_tokens": 768,
    },
    "voc": {
        **SEMANTIC, "mask_threshold": 0.4, "confidence_threshold": 0.6, "box_threshold": 0.4,
        "visual_prompts": ("circle", "blur"), "sam_iom": 0.6, "sam_min_pred": 0.05,
    },
    "coco": {
        **SEMANTIC, "mask_threshold": 0.5, "confidence_threshold": 0.3, "box_threshold": 0.5,
        "visual_prompts": ("blur", "gray"), "sam_iom": 0.7,
    },
    "context": {
        **SEMANTIC, "mask_threshold": 0.6, "confidence_threshold": 0.25, "box_threshold": 0.4,
        "visual_prompts": ("blur", "circle"), "stuff": CONTEXT_STUFF, "sam_iom": 0.5,
    },
    "ade_150": {**ADE, "stuff": ADE_150_STUFF},
    "ade_847": {**ADE, "stuff": ADE_847_STUFF},
    "context_459": {**ADE, "stuff": CONTEXT_459_STUFF, "mask_threshold": 0.4},
    "refcoco": {
        **REFERRING, "mask_threshold": 0.5, "confidence_threshold": 0.3, "box_threshold": 0.5,
        "visual_prompts": ("circle",),
    },
    "refcoco+": {
        **REFERRING, "mask_threshold": 0.2, "confidence_threshold": 0.1, "box_threshold": 0.5,
        "visual_prompts": ("circle", "blur"),
    },
    "refcocog": {
        **REFERRING, "mask_threshold": 0.5, "confidence_threshold": 0.1, "box_threshold": 0.6,
        "visual_prompts": ("circle", "blur"),
    },
    "gres": {
        **REFERRING, "mask_threshold": 0.5, "confidence_threshold": 0.0, "box_threshold": 0.3,
        "visual_prompts": ("circle",),
    },
}
"""Options by the preset's name, its numerics among them. Proposals are of CLIP ViT-B/16 in all; the classifier is
ViT-L/14 (224 px) in the semantic ones and gres, ViT-B/16 in refcoco, refcoco+ and refcocog."""
DEFAULT_PRESET = "robot"


def option_names() -> tuple[str, ...]:
    """What `settings` takes: preset, numerics, and every field of CarSettings."""
    return ("preset", "numerics", *(entry.name for entry in fields(CarSettings)))


def settings(options: Options) -> CarSettings:
    """The options of a preset (key `preset`), with another numerics (key `numerics`) or single options beside.

    The thresholds of a preset belong to its numerics: with another one they are to be chosen anew. A list is taken for
    a tuple, one text for a list of one, a whole number where a fraction is expected; `templates` may be the name of a
    list in car_words.TEMPLATES. Raises ValueError for an unknown name or value.
    """
    given = dict(options)
    chosen = _named("preset", given.pop("preset", DEFAULT_PRESET), PRESETS)
    preset = dict(chosen)
    numerics = _named("numerics", given.pop("numerics", preset.pop("numerics")), NUMERICS)
    known = {entry.name: entry.default for entry in fields(CarSettings)}
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ValueError(f"option {unknown[0]!r} of engine car: expected one of {', '.join(option_names())}")
    changes = {**numerics, **preset, **given}
    return replace(CarSettings(), **{name: _read(name, value, known[name]) for name, value in changes.items()})


def _named(kind: str, name: object, among: Mapping[str, Options]) -> Options:
    if not isinstance(name, str) or name not in among:
        raise ValueError(f"{kind} {name!r}: expected one of {', '.join(among)}")
    return among[name]


def _read(name: str, value: object, default: object) -> object:
    """The value in the type of the default where that is meant; what is not, CarSettings refuses."""
    if name == "templates" and isinstance(value, str) and value in TEMPLATES:
        return TEMPLATES[value]
    if isinstance(default, tuple):
        return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value
    return float(value) if isinstance(default, float) and type(value) is int else value

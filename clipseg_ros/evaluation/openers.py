# SPDX-License-Identifier: Apache-2.0
"""Data sets as benchmarks open them: root -> the parts to average over, by name, or one without a name.

Each imports its data set when it is called, so that the list of benchmarks comes at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from clipseg_ros.datasets import LabelMaps, Samples

FOLDS = 4
SETS_OF_EXPRESSIONS = 4


def open_phrasecut(root: Path) -> Mapping[str, Samples]:
    """PhraseCut's test split."""
    from clipseg_ros.datasets.phrasecut import PhraseCut

    return {"": PhraseCut(root, "test")}


def open_supported_phrasecut(root: Path) -> Mapping[str, Samples]:
    """PhraseCut's test split, with supports."""
    from clipseg_ros.datasets.phrasecut import PhraseCut
    from clipseg_ros.evaluation.phrase_supports import SupportedPhrases

    return {"": SupportedPhrases(PhraseCut(root, "test"))}


def open_pascal5i(root: Path) -> Mapping[str, Samples]:
    """The four folds, one episode a query image of PFENet's list."""
    from clipseg_ros.datasets.pascal5i import pascal5i

    return {f"fold {fold}": pascal5i(root, root / "val_fixed.txt", fold) for fold in range(FOLDS)}


def open_coco20i(root: Path) -> Mapping[str, Samples]:
    """The four folds, 1,000 episodes each."""
    from clipseg_ros.datasets.coco20i import coco20i

    return {f"fold {fold}": coco20i(root, root / "splits" / "coco", fold) for fold in range(FOLDS)}


def open_voc21(root: Path) -> Mapping[str, LabelMaps]:
    """VOC 2012 val with its background as a class."""
    from clipseg_ros.datasets.voc import voc21

    return {"": voc21(root, "val")}


def open_voc20(root: Path) -> Mapping[str, LabelMaps]:
    """VOC 2012 val, background pixels not counted."""
    from clipseg_ros.datasets.voc import voc20

    return {"": voc20(root, "val")}


def open_traits(group: str, root: Path) -> Mapping[str, Samples]:
    """The traits of a group, each asked of the pictures of LVIS val that show it."""
    from clipseg_ros.datasets.lvis import Lvis
    from clipseg_ros.datasets.lvis_traits import TRAITS, LvisTraits

    lvis = Lvis(root)
    return {trait: LvisTraits(lvis, trait) for trait in TRAITS[group]}


def open_lvis_pairs(root: Path) -> Mapping[str, Samples]:
    """1,600 objects in pictures of LVIS val with at least three kinds of objects."""
    from clipseg_ros.datasets.lvis import Lvis, LvisPairs

    return {"": LvisPairs(Lvis(root))}


def open_context60(root: Path) -> Mapping[str, LabelMaps]:
    """Pascal Context val with its background as a class."""
    from clipseg_ros.datasets.context import context60

    return {"": context60(root, "val")}


def open_context59(root: Path) -> Mapping[str, LabelMaps]:
    """Pascal Context val, background pixels not counted."""
    from clipseg_ros.datasets.context import context59

    return {"": context59(root, "val")}


def open_coco_object(root: Path) -> Mapping[str, LabelMaps]:
    """COCO Object val: the background and 80 things."""
    from clipseg_ros.datasets.coco import coco_object

    return {"": coco_object(root, "val")}


def open_ade150(root: Path) -> Mapping[str, LabelMaps]:
    """ADE20K val with 150 classes."""
    from clipseg_ros.datasets.ade20k import ade150

    return {"": ade150(root, "validation")}


def open_refcoco(name: str, split_by: str, split: str, root: Path) -> Mapping[str, Samples]:
    """A split of RefCOCO, RefCOCO+ or RefCOCOg, an object a sample, with all its sentences."""
    from clipseg_ros.datasets.refcoco import RefCoco

    return {"": RefCoco(root, name, split_by, split, unit="ref")}


def open_ref_davis(root: Path) -> Mapping[str, Samples]:
    """Ref-DAVIS 2017 val: a frame a sample, by the four sets of expressions."""
    from clipseg_ros.datasets.ref_davis import RefDavis

    return {f"set {number + 1}": RefDavis(root, "val", number) for number in range(SETS_OF_EXPRESSIONS)}

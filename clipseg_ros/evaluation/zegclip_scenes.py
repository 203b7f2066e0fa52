# SPDX-License-Identifier: Apache-2.0
"""Rendered scenes as a data set of kinds, some of which no mask of training ever shows."""

from __future__ import annotations

import numpy as np

from clipseg_ros.datasets import IGNORE, Labelled, tabletop
from clipseg_ros.evaluation.tabletop import HEIGHT, TESTS, WIDTH

CLASSES = tuple(tabletop.KINDS)
UNSEEN = (*tabletop.UNSEEN_KINDS.values(), "bus", "boat")
"""A kind to sit on, to drink from, to ride on, to be driven and to swim: as many as Pascal VOC's split holds out."""
COUNT = 200


def kind_table() -> np.ndarray:
    """(256,) int32: class id of a scene -> place in CLASSES, IGNORE for table, room and clutter."""
    table = np.full(256, IGNORE, np.int32)
    for number, name in tabletop.class_names().items():
        table[number] = CLASSES.index(name["kind"])
    return table


class KindScenes:
    """LabelMaps of the first COUNT test scenes at 320x240: the kind of every object, all else ignored."""

    classes = CLASSES

    def __init__(self) -> None:
        self._seeds, self._table = TESTS[:COUNT], kind_table()

    def __len__(self) -> int:
        """Number of scenes."""
        return len(self._seeds)

    def __getitem__(self, index: int) -> Labelled:
        """Scene `index`, from 0."""
        view = tabletop.render(tabletop.compose(self._seeds[index]), HEIGHT, WIDTH)
        return Labelled(view.image, self._table[view.labels], str(self._seeds[index]))

# SPDX-License-Identifier: Apache-2.0
"""Rendered tabletop scenes: toy objects of known kind and colour on a table, with RGB, depth and class ids.

    shapes        solids as triangle meshes
    tableware, furniture, vehicles, animals
                  what each kind looks like, drawn from random shape parameters
    held_out      what training never sees: pairs, kinds under an affordance, phrasings
    kinds         KINDS, COLOURS and the class id of every pair
    textures      patterns and sensor grain
    camera        a pinhole camera on a slow orbit
    surroundings  table, room, clutter, paint, light
    scenes        compose: one seed, one scene
    rendering     render: a scene and a phase -> image, depth, labels, intrinsics
    vocabulary    query text -> class ids

Only render needs the ray caster (`pip install clipseg_ros[scenes]`).
"""

from clipseg_ros.datasets.tabletop.held_out import UNSEEN_KINDS, UNSEEN_PAIRS
from clipseg_ros.datasets.tabletop.kinds import COLOURS, KINDS, class_id, class_names
from clipseg_ros.datasets.tabletop.rendering import View, render
from clipseg_ros.datasets.tabletop.scenes import Scene, compose
from clipseg_ros.datasets.tabletop.vocabulary import Phrase, absent, classes_of, phrases, unseen_phrasings

__all__ = [
    "COLOURS",
    "KINDS",
    "Phrase",
    "Scene",
    "UNSEEN_KINDS",
    "UNSEEN_PAIRS",
    "View",
    "absent",
    "class_id",
    "class_names",
    "classes_of",
    "compose",
    "phrases",
    "render",
    "unseen_phrasings",
]

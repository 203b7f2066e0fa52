# SPDX-License-Identifier: Apache-2.0
"""The words of CLIP as RNN: background lists, sentence templates, what is stuff, edited class names.

Sources: the three groups of background words are printed in the paper (Sun et al., CLIP as RNN, CVPR 2024); all else is
that of the authors' code (google-research/clip_as_rnn), where the 23 words are CLIP-ES's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

CLIP_ES = (
    "ground", "land", "grass", "tree", "building", "wall", "sky", "lake", "water", "river", "sea", "railway",
    "railroad", "helmet", "cloud", "house", "mountain", "ocean", "road", "rock", "street", "valley", "bridge",
)
TERRESTRIAL = (
    "ground", "land", "grass", "tree", "mountain", "rock", "valley", "earth", "terrain", "forest", "bush", "hill",
    "field", "pasture", "meadow", "plateau", "cliff", "canyon", "ridge", "peak", "plain", "prairie", "tundra",
    "savanna", "steppe", "crag", "knoll", "dune", "glen", "dale", "copse", "thicket",
)
AQUATIC_ATMOSPHERIC = (
    "sea", "ocean", "lake", "water", "river", "sky", "cloud", "pond", "stream", "lagoon", "bay", "gulf", "fjord",
    "estuary", "creek", "brook", "reservoir", "pool", "spring", "marsh", "swamp", "wetland", "glacier", "iceberg",
    "atmosphere", "stratosphere", "mist", "fog", "rain", "drizzle", "hail", "sleet", "snow", "thunderstorm", "breeze",
    "wind", "gust", "hurricane", "tornado", "monsoon", "cumulus", "cirrus", "stratus", "nimbus",
)
MAN_MADE = (
    "building", "house", "wall", "road", "street", "railway", "railroad", "bridge", "edifice", "structure",
    "apartment", "condominium", "skyscraper", "highway", "boulevard", "lane", "alley", "byway", "avenue",
    "expressway", "freeway", "path", "overpass", "underpass", "viaduct", "tunnel", "footbridge", "crosswalk",
    "culvert", "dam", "archway", "causeway", "plaza", "square", "station", "terminal",
)
GROUPS = {
    "clip_es": CLIP_ES,
    "terrestrial": TERRESTRIAL,
    "aquatic_atmospheric": AQUATIC_ATMOSPHERIC,
    "man_made": MAN_MADE,
}
"""Background words by the name of their list; the last three are the paper's."""

TABLETOP = (
    "mug", "bottle", "glass", "bowl", "chair", "stool", "sofa", "horse", "motorcycle", "airplane", "duck", "car", "bus",
    "boat", "ball", "book", "lamp",
)
"""What the demo model knows by sight: the kinds of the rendered scenes."""

ORIGAMI = "a clean origami {}."
"""The sentence around background words, and around queries where a proposal is made of them."""
TEMPLATES_15 = (
    ORIGAMI, "a photo of a {}.", "This is a photo of a {}", "There is a {} in the scene",
    "There is the {} in the scene", "a photo of a {} in the scene", "a photo of a small {}.",
    "a photo of a medium {}.", "a photo of a large {}.", "This is a photo of a small {}.",
    "This is a photo of a medium {}.", "This is a photo of a large {}.", "There is a small {} in the scene.",
    "There is a medium {} in the scene.", "There is a large {} in the scene.",
)
"""The sentences of the mask classifier; full stops exactly as the authors' code has them."""
TEMPLATES = {"car_15": TEMPLATES_15, "origami": (ORIGAMI,), "plain": ("{}",)}
"""Sentences of the mask classifier by the name of their list."""

CONTEXT_STUFF = (
    "bedclothes", "ceiling", "cloth", "curtain", "floor", "grass", "ground", "light", "mountain", "platform", "road",
    "sidewalk", "sky", "snow", "wall", "water", "window", "wood", "door", "fence", "rock",
)
CONTEXT_459_STUFF = (
    "atrium", "ceiling", "concrete", "coral", "court", "dock", "floor", "foam", "grass", "ground", "ice", "leaves",
    "mountain", "parterre", "patio", "road", "rock", "rug", "sand", "sky", "snow", "stone", "sun", "wall", "water",
    "wood",
)
# Of ADE's classes the first synonym, as datasets.ade20k names them; the authors' lists hold all synonyms.
ADE_150_STUFF = (
    "wall", "sky", "floor", "tree", "ceiling", "road", "grass", "earth", "mountain", "plant", "water", "sea", "field",
    "sand", "skyscraper", "path", "river", "bridge", "flower", "hill", "land", "dirt track", "apparel", "lake",
    "waterfall",
)
ADE_847_STUFF = (
    "wall", "sky", "tree", "road", "floor", "sidewalk", "earth", "grass", "mountain", "plant", "sea", "water", "rock",
    "snow", "sand", "island", "field", "forest", "land", "lake", "ice", "cliff", "dirt track", "hill", "valley",
    "stream", "shore", "pond", "iceberg",
)

VOC_TEXTS = (
    ("bird", "bird avian"), ("chair", "chair seat"), ("person", "person with clothes,people,human"),
    ("tvmonitor", "tvmonitor screen"),
)
"""(class of VOC, what is asked instead of its name), as CLIP-ES has them."""
COCO_TEXTS = (
    ("backpack", "backpack,bag"), ("tie", "necktie"), ("snowboard", "sknowboard"), ("spoon", "dessertspoon"),
    ("hair drier", "hairdrier,blowdrier"),
)
"""(class of COCO, what is asked instead of its name); "sknowboard" stands so in the authors' code."""


def background(groups: Iterable[str], queries: Sequence[str], words: Iterable[str] = ()) -> tuple[str, ...]:
    """The words of the groups, then further words, each once, without those that equal a query.

    Compared without regard to case and surrounding blanks; a query of several names, `backpack,bag`, equals each of
    them. Raises ValueError for an unknown group.
    """
    listed: list[str] = []
    for group in groups:
        if group not in GROUPS:
            raise ValueError(f"background {group!r}: expected of {', '.join(GROUPS)}; other words: background_words")
        listed += GROUPS[group]
    asked = {name.strip().casefold() for query in queries for name in (query, *query.split(","))}
    return tuple(word for word in dict.fromkeys((*listed, *words)) if word.strip().casefold() not in asked)

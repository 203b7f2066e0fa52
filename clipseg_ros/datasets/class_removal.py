# SPDX-License-Identifier: Apache-2.0
"""Which phrases name something that a model must not have seen: Pascal classes, or affordances.

Zero- and one-shot tests of CLIPSeg train on PhraseCut without the phrases that name a test class. The synsets, the
nine words for person and the words for affordances are those of github.com/timojl/clipseg, datasets/phrasecut.py and
datasets/pascal_zeroshot.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from clipseg_ros.datasets import DatasetError
from clipseg_ros.datasets.wordnet import WordNet

Naming = Callable[[str], bool]

PASCAL = (  # in the order of Pascal VOC's classes
    "aeroplane.n.01", "bicycle.n.01", "bird.n.01", "vessel.n.02", "bottle.n.01",
    "bus.n.01", "car.n.01", "cat.n.01", "chair.n.01", "cattle.n.01",
    "table.n.02", "dog.n.01", "horse.n.01", "motorcycle.n.01", "person.n.01",
    "pot_plant.n.01", "sheep.n.01", "sofa.n.01", "train.n.01", "television.n.03",
)
ZERO_SHOT_PAIRS = (
    ("cattle.n.01", "motorcycle.n.01"), ("aeroplane.n.01", "sofa.n.01"), ("cat.n.01", "television.n.03"),
    ("train.n.01", "bottle.n.01"), ("chair.n.01", "pot_plant.n.01"),
)
# Everybody who has a profession lies under person in WordNet, hence a list in its stead.
PERSON = frozenset({"person", "human", "man", "woman", "toddler", "baby", "body", "child", "infant"})
AFFORDANCES = frozenset({
    "drink", "drinks", "drinking", "sit", "sits", "sitting", "ride", "rides", "riding", "fly", "flies", "flying",
    "drive", "drives", "driving", "driven", "swim", "swims", "swimming", "wheels", "wheel", "legs", "leg", "ear",
    "ears",
})
PUNCTUATION = ".,;:!?\"()[]"


def pascal_fold(fold: int, wordnet: WordNet, substring: bool = False) -> Naming:
    """Whether a phrase names one of the five test classes of a Pascal-5i fold, 0 to 3. Raises DatasetError."""
    if not 0 <= fold <= 3:
        raise DatasetError(f"fold {fold} of Pascal-5i: expected 0 to 3")
    return naming(PASCAL[5 * fold : 5 * fold + 5], wordnet, substring)


def zero_shot(pairs: int, wordnet: WordNet, substring: bool = False) -> Naming:
    """Whether a phrase names an unseen class of zero-shot Pascal VOC, where that many pairs (1 to 5) are unseen.

    Raises DatasetError.
    """
    if not 1 <= pairs <= len(ZERO_SHOT_PAIRS):
        raise DatasetError(f"{pairs} unseen pairs: expected 1 to {len(ZERO_SHOT_PAIRS)}")
    return naming([seed for pair in ZERO_SHOT_PAIRS[:pairs] for seed in pair], wordnet, substring)


def affordance(phrase: str) -> bool:
    """Whether a phrase has a word of AFFORDANCES."""
    return not AFFORDANCES.isdisjoint(_words(phrase))


def naming(seeds: Sequence[str], wordnet: WordNet, substring: bool = False) -> Naming:
    """Whether a phrase holds a name of the seed synsets or of anything below them, as a word or in its base form.

    Names of several words are found in the same way, word by word. With `substring`, as in CLIPSeg's code, they are
    found anywhere in the phrase as it stands: a "tea table" in "tea tablets" too.
    """
    names = wordnet.names_under(seed for seed in seeds if seed != "person.n.01")
    if "person.n.01" in seeds:
        names |= PERSON
    longest = max((name.count(" ") + 1 for name in names), default=1)
    several = tuple(name for name in names if " " in name)

    def names_one(phrase: str) -> bool:
        words = _words(phrase)
        bases = [wordnet.base_form(word) for word in words]
        reach = 1 if substring else longest
        if any(run in names for run in (*_runs(words, reach), *_runs(bases, reach))):
            return True
        return substring and any(name in phrase.lower() for name in several)

    return names_one


def _words(phrase: str) -> list[str]:
    return [word for word in (part.strip(PUNCTUATION) for part in phrase.lower().split()) if word]


def _runs(words: Sequence[str], longest: int) -> Iterable[str]:
    """All runs of one to `longest` neighbouring words."""
    for start in range(len(words)):
        for end in range(start + 1, min(start + longest, len(words)) + 1):
            yield " ".join(words[start:end])

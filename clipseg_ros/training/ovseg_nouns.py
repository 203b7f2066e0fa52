# SPDX-License-Identifier: Apache-2.0
"""Nouns of captions by NLTK's part-of-speech tagger, as OVSeg's authors find them; library and data are the user's.

    pip install nltk
    nltk_data/taggers/averaged_perceptron_tagger_eng/    from NLTK's data index (nltk.org/data), unpacked
"""

from __future__ import annotations

import re
from pathlib import Path

from clipseg_ros.datasets import DatasetError

TAGGER = "averaged_perceptron_tagger_eng"
FILES = tuple(f"{TAGGER}.{part}.json" for part in ("weights", "tagdict", "classes"))
NOUN = "NN"  # NN, NNS, NNP, NNPS of the Penn Treebank


class Nouns:
    """The nouns of a caption. data: the folder nltk_data. Raises DatasetError where the library or its data is missing.
    """

    def __init__(self, data: Path) -> None:
        try:
            import nltk
        except ImportError as error:
            raise DatasetError(f"nouns of captions need NLTK, which is not here ({error}): pip install nltk") from None
        folder = data / "taggers" / TAGGER
        for name in FILES:
            if not (folder / name).is_file():
                raise DatasetError(f"{folder / name}: not there; expected NLTK's data package {TAGGER}, unpacked")
        # NLTK reads files below the folders of its search path alone.
        if str(data) not in nltk.data.path:
            nltk.data.path.insert(0, str(data))
        self._tagger = nltk.tag.perceptron.PerceptronTagger(loc=folder.resolve())
        self._words = nltk.tokenize.NLTKWordTokenizer()

    def __call__(self, caption: str) -> tuple[str, ...]:
        """In lower case, each once, in the order of the caption."""
        sentences = re.split(r"(?<=[.!?])\s+", caption.strip())  # NLTK's own way to part them needs data of its own
        tagged = (pair for one in sentences for pair in self._tagger.tag(self._words.tokenize(one)))
        nouns = (word.lower() for word, tag in tagged if tag.startswith(NOUN))
        return tuple(dict.fromkeys(noun for noun in nouns if any(letter.isalpha() for letter in noun)))

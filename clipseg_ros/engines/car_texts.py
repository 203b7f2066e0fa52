# SPDX-License-Identifier: Apache-2.0
"""The texts of CLIP as RNN: queries in groups that compete, with their background, as vectors of both CLIPs."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

import torch

from clipseg_ros.engines import car_words
from clipseg_ros.engines.car_settings import CarSettings
from clipseg_ros.engines.vectors import VectorCache
from clipseg_ros.models.clip import CLIP
from clipseg_ros.models.mask_prompts import MaskPrompt
from clipseg_ros.models.weights import TextFormat
from clipseg_ros.segmentation import Prompt, PromptError

CACHED_TEXTS = 8192
CACHED_SETS = 16
TEXTS_AT_ONCE = 256


class TextVectors:
    """Unit vectors of texts by one CLIP; a text is encoded once, until 8192 others were asked for since."""

    def __init__(self, clip: CLIP, tokenize: TextFormat) -> None:
        self._clip, self._tokenize = clip, tokenize
        self._vectors: VectorCache[str] = VectorCache(CACHED_TEXTS, TEXTS_AT_ONCE)

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> torch.Tensor:
        """(N, E) float32 on the CLIP's device. Raises PromptError for a text too long."""
        found = self._vectors(texts, self._encode)
        if not texts:
            return torch.zeros(0, self._clip.vector_size, device=self._clip.device)
        return torch.stack([found[text] for text in texts])

    def _encode(self, texts: list[str]) -> torch.Tensor:
        ids, lengths = (rows.to(self._clip.device) for rows in self._tokenize(texts))
        return self._clip.embed_text(ids, lengths)

    def clear(self) -> None:
        """Forget everything."""
        self._vectors.clear()


@dataclass(frozen=True, eq=False)
class Group:
    """C queries that compete, and M texts of background.

    members: (C,) their numbers among the distinct queries. raw, templated: (C, E) vectors of the proposals' CLIP, bare
    and in a sentence. background: (M, E). judged: (K, C + D, F) vectors of the classifier's CLIP, a row a template, the
    queries first, then D distractors. shown: how masks are shown to it.
    """

    members: tuple[int, ...]
    raw: torch.Tensor
    templated: torch.Tensor
    background: torch.Tensor
    judged: torch.Tensor
    shown: MaskPrompt


@dataclass(frozen=True, eq=False)
class QuerySet:
    """Prompts as queries: places (N,), each prompt's number among the distinct texts; groups, things before stuff."""

    places: tuple[int, ...]
    groups: tuple[Group, ...]


class QueryReader:
    """Makes QuerySets, and remembers those it made last."""

    def __init__(self, settings: CarSettings, proposer: TextVectors, judge: TextVectors) -> None:
        self._settings, self._proposer, self._judge = settings, proposer, judge
        self._sets: OrderedDict[tuple[tuple[str, str], ...], QuerySet] = OrderedDict()
        self._reading = Lock()
        self._stuff = {name.strip().casefold() for name in settings.stuff}
        words = car_words.background(settings.background, (), settings.background_words)
        self._group((), (), words, False)  # a word that the CLIPs cannot encode is found here, not at the first frame

    def read(self, prompts: Sequence[Prompt]) -> QuerySet:
        """Raises PromptError for a support, and for a text too long for its templates."""
        for prompt in prompts:
            if prompt.support is not None:
                raise PromptError(f"prompt {prompt.name!r} has a support: engine car takes texts alone")
        key = tuple((prompt.text, prompt.label) for prompt in prompts)
        with self._reading:
            made = self._sets.pop(key, None) or self._read(prompts)
            self._sets[key] = made
            if len(self._sets) > CACHED_SETS:
                self._sets.popitem(last=False)
        return made

    def clear(self) -> None:
        """Forget everything."""
        self._sets.clear()
        self._proposer.clear()
        self._judge.clear()

    def _read(self, prompts: Sequence[Prompt]) -> QuerySet:
        distinct = {prompt.text: prompt for prompt in reversed(prompts)}
        texts = list(dict.fromkeys(prompt.text for prompt in prompts))
        is_stuff = [self._is_stuff(distinct[text]) for text in texts]
        things, stuff = ([i for i, other in enumerate(is_stuff) if other is kind] for kind in (False, True))
        names = {False: [texts[i] for i in things], True: [texts[i] for i in stuff]}
        behind_things = names[True] if self._settings.mutual_background else []
        groups = []
        for kind, members, behind in ((False, things, behind_things), (True, stuff, names[False])):
            if members:
                groups.append(self._group(members, names[kind], behind or self._words(names[kind]), kind))
        return QuerySet(tuple(texts.index(prompt.text) for prompt in prompts), tuple(groups))

    def _is_stuff(self, prompt: Prompt) -> bool:
        return bool({prompt.text.strip().casefold(), prompt.label.strip().casefold()} & self._stuff)

    def _words(self, queries: Sequence[str]) -> tuple[str, ...]:
        return car_words.background(self._settings.background, queries, self._settings.background_words)

    def _group(self, members: Sequence[int], texts: Sequence[str], behind: Sequence[str], stuff: bool) -> Group:
        options = self._settings
        sentences = [options.query_template.replace("{}", text) for text in (*texts, *behind)]
        vectors = self._proposer(sentences)
        judged = (*texts, *(behind if options.distractors else ()))
        judged += car_words.background((), judged, options.distractor_words)
        return Group(
            tuple(members),
            self._proposer(texts) if options.raw_first_step else vectors[: len(texts)],
            vectors[: len(texts)],
            vectors[len(texts) :],
            torch.stack([self._judge([t.replace("{}", text) for text in judged]) for t in options.templates]),
            MaskPrompt(
                options.stuff_visual_prompts if stuff else options.visual_prompts,
                None if options.scale_lines else 1, options.swap_gray, options.crop_context,
            ),
        )

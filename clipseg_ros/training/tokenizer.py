# SPDX-License-Identifier: Apache-2.0
"""A tokenizer in CLIP's format that knows a closed list of words, each one token; other words fall to pieces."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from tokenizers import pre_tokenizers
from transformers import CLIPTokenizerFast

START, END, WORD_END = "<|startoftext|>", "<|endoftext|>", "</w>"


def words_of(texts: Iterable[str]) -> list[str]:
    """The distinct lower-case words of the texts, sorted."""
    return sorted({word for text in texts for word in re.findall(r"\w+", text.lower())})


def build(words: Iterable[str]) -> CLIPTokenizerFast:
    """A tokenizer to which each of `words`, of ASCII letters, is one token.

    The ids depend on the words alone; the end token has the highest, as in CLIP.
    """
    merges = learn_merges(words)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    ends, words_and_parts = (letter + WORD_END for letter in letters), (left + right for left, right in merges)
    tokens = [*letters, *ends, *words_and_parts, START, END]
    return CLIPTokenizerFast(
        vocab={token: index for index, token in enumerate(tokens)}, merges=merges,
        unk_token=END, bos_token=START, eos_token=END, pad_token=END,
    )


def learn_merges(words: Iterable[str]) -> list[tuple[str, str]]:
    """Byte-pair merges (Sennrich et al., 2016), the most frequent pair first and of equals the first by letters,
    until every word is one token."""
    pieces = [[*word[:-1], word[-1] + WORD_END] for word in sorted(set(words))]
    merges = []
    while any(len(word) > 1 for word in pieces):
        counts = Counter(pair for word in pieces for pair in zip(word, word[1:]))
        merges.append(min(counts, key=lambda pair: (-counts[pair], pair)))
        pieces = [_merge(word, merges[-1]) for word in pieces]
    return merges


def _merge(word: list[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    for piece in word:
        if merged and (merged[-1], piece) == pair:
            merged[-1] += piece
        else:
            merged.append(piece)
    return merged

# SPDX-License-Identifier: Apache-2.0
"""What prompts became, kept from frame to frame."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from threading import Lock
from typing import Generic, TypeVar

import torch

K = TypeVar("K", bound=Hashable)


class VectorCache(Generic[K]):
    """Vectors by what they stand for: each is made once, until `most` others were asked for since.

    at_once: how many are made together. One thread at a time makes them, since check may run beside segment, and a
    tokenizer serves one thread.
    """

    def __init__(self, most: int, at_once: int) -> None:
        self._most, self._at_once = most, at_once
        self._vectors: OrderedDict[K, torch.Tensor] = OrderedDict()
        self._making = Lock()

    def __call__(self, keys: Sequence[K], make: Callable[[list[K]], torch.Tensor]) -> dict[K, torch.Tensor]:
        """A vector (E,) for every key; make: rows (M, E) of the M keys that are not known yet."""
        with self._making:
            missing = [key for key in dict.fromkeys(keys) if key not in self._vectors]
            for first in range(0, len(missing), self._at_once):
                part = missing[first : first + self._at_once]
                self._vectors.update(zip(part, make(part)))
            for key in keys:
                self._vectors.move_to_end(key)
            found = {key: self._vectors[key] for key in keys}
            while len(self._vectors) > self._most:
                self._vectors.popitem(last=False)
        return found

    def clear(self) -> None:
        """Forget everything."""
        self._vectors.clear()

# SPDX-License-Identifier: Apache-2.0
"""Pickles that data sets come in. An ordinary load runs whatever code the file holds; here none of it is."""

from __future__ import annotations

import pickle
from pathlib import Path

from clipseg_ros.datasets import DatasetError, expect


class PlainUnpickler(pickle.Unpickler):
    """Loads what needs no class: None, numbers, strings, bytes, lists, tuples, dicts, sets."""

    def find_class(self, module: str, name: str) -> object:
        """Raises pickle.UnpicklingError, whatever is asked for."""
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, and no class or function is loaded from a pickle")


def read_pickle(path: Path, what: str) -> object:
    """The plain content of a pickle, strings of Python 2 taken for Latin-1. The caller checks its types.

    what: says what the file is, where it is missing. Raises DatasetError where it asks for a class or is damaged.
    """
    with expect(path, what).open("rb") as file:
        try:
            return PlainUnpickler(file, encoding="latin1").load()
        except Exception as error:  # what a damaged pickle raises depends on the byte
            raise DatasetError(f"{path}: no readable pickle ({error}); expected {what}") from error

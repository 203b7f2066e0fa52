# SPDX-License-Identifier: Apache-2.0
"""Rendered scenes on disk, made once by all cores: the pictures that training draws its crops from."""

from __future__ import annotations

from multiprocessing import get_context
from pathlib import Path

import numpy as np
from tqdm import tqdm

from clipseg_ros.datasets import tabletop
from clipseg_ros.training import distributed

HEIGHT, WIDTH = 240, 320
CHUNK = 64


def render_pool(folder: Path, first_seed: int, scenes: int, workers: int) -> np.ndarray:
    """(scenes, HEIGHT, WIDTH, 4) uint8: RGB and the class id of every pixel; no pair that is held out.

    Each scene is seen once, from a random place of the camera's path. A chunk that is already there is kept, so that
    a run cut short goes on where it was. Under torchrun, rank 0 renders.
    """
    folder.mkdir(parents=True, exist_ok=True)
    last = first_seed + scenes
    spans = [(start, min(start + CHUNK, last)) for start in range(first_seed, last, CHUNK)]
    jobs = [(folder / f"{start}_{stop}.npy", start, stop) for start, stop in spans]
    distributed.once(lambda: _render([job for job in jobs if not job[0].is_file()], workers))
    return np.concatenate([np.load(path) for path, *_ in jobs])


def _render(missing: list[tuple[Path, int, int]], workers: int) -> None:
    with get_context("spawn").Pool(workers) as pool:
        for _ in tqdm(pool.imap_unordered(_render_chunk, missing), total=len(missing), desc="rendering", unit="chunk"):
            pass


def _render_chunk(job: tuple[Path, int, int]) -> None:
    path, start, stop = job
    pictures = []
    for seed in range(start, stop):
        phase = np.random.default_rng([seed, 1]).uniform(0.0, 45.0)
        view = tabletop.render(tabletop.compose(seed, unseen_pairs=False), HEIGHT, WIDTH, phase)
        pictures.append(np.dstack([view.image, view.labels]))
    unfinished = path.with_suffix(".part.npy")
    np.save(unfinished, np.stack(pictures))
    unfinished.rename(path)

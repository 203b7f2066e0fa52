# SPDX-License-Identifier: Apache-2.0
"""One bag in, one bag of results out: the work of `segment BAG`, in any process."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from tqdm import tqdm

from clipseg_ros import engines
from clipseg_ros.encodings import BadImage
from clipseg_ros.masks import overlay
from clipseg_ros.segmentation import Prompt, Segmentation
from clipseg_ros.tools.bag_files import BagError, Source, Target, made_of, new_bag
from clipseg_ros.tools.bags import PLACE
from clipseg_ros.tools.found import Found, read_options


@dataclass(frozen=True)
class Task:
    """One bag and all it takes to segment it, in any process. made: what its result is made of, as JSON."""

    bag: Path
    target: Path
    prompts: tuple[Prompt, ...]
    image_topic: str
    topics: tuple[str, ...]
    copies: tuple[str, ...]
    threshold: float | None
    opacity: float
    engine: tuple[str, str, str, str, tuple[str, ...]]  # the arguments of `engine_of`
    made: str


@dataclass(frozen=True)
class Outcome:
    """What became of a bag: what was found, the images that could not be read, or why there is no result."""

    bag: Path
    found: Found
    unread: tuple[str, ...] = ()
    problem: str = ""


def is_finished(task: Task) -> bool:
    """Whether the task's result is there. Raises ValueError where something else is."""
    if not task.target.exists():
        return False
    found, wanted = made_of(task.target), json.loads(task.made)
    if found is None:
        raise ValueError(f"--out {task.target}: exists, and is no bag of results; name another, or delete it")
    for key in sorted(wanted.keys() | found.keys()):
        if wanted.get(key) != found.get(key):
            raise ValueError(
                f"--out {task.target}: exists, made with {key} {found.get(key)!r}, not {wanted.get(key)!r}; "
                "name another, or delete it"
            )
    return True


@lru_cache(maxsize=1)
def engine_of(engine: str, weights: str, device: str, precision: str, options: tuple[str, ...]) -> engines.Engine:
    """The engine of this process; options: KEY=VALUE words."""
    return engines.create(engine, weights, device, precision, **read_options(options))


def segment_bag(task: Task, shows_progress: bool = False) -> Outcome:
    """Write the result of one bag, by the engine of this process; what the bag cannot do is told in the outcome."""
    found, unread = Found(task.prompts), []
    try:
        with Source(task.bag, task.image_topic, task.copies) as source:
            bar = tqdm(total=source.count, desc=task.bag.name, unit="image", disable=not shows_progress)
            with bar, new_bag(task.target, source.is_mcap, json.loads(task.made)) as target:
                segment_messages(task, source, target, bar, found, unread)
                if not found.images:
                    raise BagError(f"{task.bag}: no image on {task.image_topic} that can be read{first_of(unread)}")
    except BagError as error:
        return Outcome(task.bag, Found(task.prompts), problem=str(error))
    return Outcome(task.bag, found, tuple(unread))


def segment_messages(task: Task, source: Source, target: Target, bar: tqdm, found: Found, unread: list[str]) -> None:
    """Segment every image of the source; what was found is added to `found`, what cannot be read to `unread`."""
    engine = engine_of(*task.engine)
    for connection, time_ns, raw in source.messages():
        if connection.topic in task.copies:
            target.copy(connection, time_ns, raw)
        if not source.is_image(connection):
            continue
        bar.update()
        try:
            image, header = source.read(raw)
        except BadImage as error:
            unread.append(f"{error} (logged at {time_ns} ns)")
            continue
        if not found.images:
            target.write_text(f"{PLACE}active_queries", legend(task.prompts), time_ns)
        result = engine.segment(image, task.prompts)
        found.add(result, task.threshold)
        for topic, encoding, array in arrays(task, image, result):
            target.write_image(PLACE + topic, array, encoding, header, time_ns)


def arrays(task: Task, image: np.ndarray, result: Segmentation) -> list[tuple[str, str, np.ndarray]]:
    """Topic, encoding and array of what is written of an image."""
    labels = result.labels(task.threshold)
    make = {
        "mask": ("mono8", lambda: np.where(labels > 0, np.uint8(255), np.uint8(0))),
        "labels": ("mono8", lambda: labels),
        "score": ("32FC1", lambda: result.score),
        "overlay": ("rgb8", lambda: overlay(image, labels, task.opacity)),
    }
    return [(topic, make[topic][0], make[topic][1]()) for topic in task.topics]


def legend(prompts: Sequence[Prompt]) -> str:
    """What the labels mean, in words of the node's ~/active_queries."""
    queries = [
        {"id": index, "text": prompt.text, "label": prompt.name, "threshold": prompt.threshold}
        for index, prompt in enumerate(prompts, start=1)
    ]
    return json.dumps({"queries": queries})


def first_of(unread: Sequence[str]) -> str:
    """Of several complaints the first."""
    return f"; the first of {len(unread)}: {unread[0]}" if unread else ""

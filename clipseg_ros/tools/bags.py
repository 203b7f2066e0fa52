# SPDX-License-Identifier: Apache-2.0
"""`segment BAG ... --image-topic TOPIC --query TEXT --out OUT`: bags in, bags of results out; no ROS.

A BAG is a ROS 2 bag: a folder with metadata.yaml, or one .db3 or .mcap file; TOPIC holds Image or CompressedImage.
OUT becomes a bag of the same storage, or with several BAGs a folder with a bag of the name of each. In it, with the
header and the log time of their image:
    /segment/mask            Image mono8: 255 where any prompt is, else 0
    /segment/labels          Image mono8: i for the i-th prompt, 0 background
    /segment/score           Image 32FC1: the highest score of all prompts
    /segment/overlay         Image rgb8: the labels laid over the image
    /segment/active_queries  String, latched, once: JSON, what each label means
and the messages of each --copy TOPIC as they are. A bag appears whole or not at all. Run again, finished ones are
left alone and the others made anew. metadata.yaml says under custom_data what made it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from clipseg_ros.segmentation import Prompt
from clipseg_ros.tools import spread
from clipseg_ros.tools.found import Found, read_options

if TYPE_CHECKING:  # they import rosbags, without which pictures can be segmented
    from clipseg_ros.tools.bag_task import Outcome, Task

TOPICS = ("mask", "labels", "score", "overlay")
PLACE = "/segment/"  # where the node publishes at the root


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The part of the command line that is about bags."""
    add = parser.add_argument_group("bags").add_argument
    add("--image-topic", metavar="TOPIC", help="of the images in the bags: Image or CompressedImage")
    add("--topics", default=",".join(TOPICS), help="what is written of each image (default: %(default)s)")
    add("--copy", action="append", default=[], metavar="TOPIC", help="copy this topic too; again for more")
    add("--workers", type=int, default=1, metavar="N", help="bags at a time, a process each (default: %(default)s)")
    add("--ray", metavar="ADDRESS", help="spread the bags over a Ray cluster: auto, local or an address")


def is_bag(path: Path) -> bool:
    """Whether it looks like a ROS 2 bag."""
    return path.suffix in (".db3", ".mcap") or (path / "metadata.yaml").is_file()


def run(prompts: Sequence[Prompt], args: argparse.Namespace) -> int:
    """Segment every bag once and print what was found; 1 where something could not be read.

    Raises ValueError, OSError.
    """
    check_words(args)
    from clipseg_ros.tools.bag_task import engine_of, is_finished, segment_bag

    tasks = plan(tuple(prompts), args)
    todo = [task for task in tasks if not is_finished(task)]
    if len(todo) < len(tasks):
        print(f"{len(tasks) - len(todo)} of {len(tasks)} bags were finished before")
    if todo:
        check(todo[0])
    is_alone = args.workers == 1 and args.ray is None
    if not is_alone:
        engine_of.cache_clear()  # each process has its own
    outcomes = spread.over(partial(segment_bag, shows_progress=is_alone), todo, args.workers, args.ray)
    found, has_failed = Found(prompts), False
    for outcome in tqdm(outcomes, total=len(todo), unit="bag", disable=is_alone):
        found.merge(outcome.found)
        has_failed |= bool(outcome.problem or outcome.unread)
        report(outcome)
    if found.images:
        print(f"{found.table()}\nwritten to {args.out}")
    return int(has_failed)


def plan(prompts: tuple[Prompt, ...], args: argparse.Namespace) -> list[Task]:
    """A task for each bag, whatever became of it before. Raises ValueError for a command that cannot be."""
    from clipseg_ros.tools.bag_task import Task

    bags = {path.resolve(): path for path in args.input}
    targets = {path: args.out if len(bags) == 1 else args.out / result_name(path) for path in bags}
    if len(set(targets.values())) < len(targets):
        names = [result_name(path) for path in bags]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"--out {args.out}: several bags would be written to {twice!r} in it; run them one by one")
    made = {
        "engine": args.engine, "weights": args.weights, "weights_sha256": digest_of(args.weights),
        "precision": args.precision, "options": read_options(args.option), "threshold": args.threshold,
        "opacity": args.opacity, "prompts": [[prompt.name, prompt.text, prompt.threshold] for prompt in prompts],
        "image_topic": args.image_topic, "topics": args.topics.split(","), "copied": args.copy,
    }
    engine = (args.engine, args.weights, args.device, args.precision, tuple(args.option))
    return [
        Task(
            bags[path], target, prompts, args.image_topic, tuple(args.topics.split(",")), tuple(args.copy),
            args.threshold, args.opacity, engine, json.dumps({**made, "bag": path.name}),
        )
        for path, target in targets.items()
    ]


def check_words(args: argparse.Namespace) -> None:
    """Raise ValueError for words of the command line that say nothing about bags, or nothing possible."""
    if args.image_topic is None:
        raise ValueError(f"{args.input[0]} is a bag: name the topic of its images with --image-topic")
    if args.out is None or args.labels_out is not None:
        raise ValueError("--out: name the bag to write; --labels-out is for pictures")
    if unknown := set(args.topics.split(",")) - set(TOPICS):
        raise ValueError(f"--topics {min(unknown)!r}: expected some of {','.join(TOPICS)}")
    if own := [topic for topic in args.copy if topic.startswith(PLACE)]:
        raise ValueError(f"--copy {own[0]}: results are written under {PLACE}")
    if args.workers < 1:
        raise ValueError(f"--workers {args.workers}: expected 1 or more")
    try:
        import rosbags  # noqa: F401
    except ImportError:
        raise ValueError("bags are read with rosbags, which is not installed: pip install rosbags") from None


def result_name(bag: Path) -> str:
    """The name of the result among several: a folder's name, a file's without its suffix."""
    return bag.stem if bag.is_file() else bag.name


def digest_of(weights: str) -> str:
    """SHA-256 of weights that lie here; "" for names on the hub."""
    from clipseg_ros.evaluation.predictions import weights_digest
    from clipseg_ros.models import hub

    return weights_digest(str(hub.demo_folder()) if weights == "demo" else weights)


def check(task: Task) -> None:
    """Raise what the engine says of the prompts before hours of work; warn of words that the model never saw."""
    from clipseg_ros.tools.bag_task import engine_of

    engine = engine_of(*task.engine)
    engine.check(task.prompts)
    for prompt in task.prompts:
        if unknown := engine.unknown_words(prompt.text):
            print(f"warning: {prompt.name!r}: the model does not know {', '.join(unknown)}", file=sys.stderr)


def report(outcome: Outcome) -> None:
    """Say what was wrong with a bag."""
    from clipseg_ros.tools.bag_task import first_of

    if outcome.problem:
        tqdm.write(f"clipseg_ros: error: {outcome.problem}", file=sys.stderr)
    elif outcome.unread:
        said = f"{outcome.bag}: {len(outcome.unread)} images could not be read{first_of(outcome.unread)}"
        tqdm.write(f"warning: {said}", file=sys.stderr)

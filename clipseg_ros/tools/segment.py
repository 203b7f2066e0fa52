# SPDX-License-Identifier: Apache-2.0
"""`segment INPUT --query TEXT --out DIR`: pictures or a video in, masks, scores and overlays out; no ROS.

Of a picture `a.jpg`, in DIR: a_overlay.png; a_labels.png (0 background, i for the i-th prompt); and for each prompt
a_mask_<i>_<prompt>.png (0 or 255) and a_score_<i>_<prompt>.png (16 bits: 65535 x score). Of a video `v.mp4`:
v_overlay.mp4 and, with --frames, the above of each frame, named v_000000_..., v_000001_... .

`segment FOLDER --query TEXT --labels-out DIR` makes training data for other models: of each picture `a.jpg` the label
file DIR/a.png (uint8, 0 background, i for the i-th prompt), and DIR/names.txt, the name of each value from 0 on, a line
each. Run again, it goes on where it stopped. manifest.json there says what made the labels.

`segment BAG --image-topic TOPIC --query TEXT --out BAG` reads ROS 2 bags: see tools.bags.
"""

from __future__ import annotations

import argparse
import logging
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from clipseg_ros import engines
from clipseg_ros.masks import overlay
from clipseg_ros.segmentation import Prompt, Segmentation
from clipseg_ros.tools import bags
from clipseg_ros.tools.found import Found, read_options, read_prompts
from clipseg_ros.tools.label_files import LabelFiles

SUFFIXES = ".bmp .jpeg .jpg .png .ppm .tif .tiff .webp"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    add = parser.add_argument
    add("input", type=Path, nargs="+", help="a picture, a folder of pictures, a video; or bags, with --image-topic")
    add("--query", required=True, help="prompts separated by `;`, or a JSON list, as on seg_query")
    add("--out", type=Path, help="folder for what is written; made if missing")
    add("--labels-out", type=Path, metavar="DIR", help="folder for label files, as training data; made if missing")
    add("--weights", default=engines.DEFAULT_WEIGHTS, help="demo, a folder, or a hub model (default: %(default)s)")
    add("--engine", default="clipseg", help=f"{', '.join(engines.ENGINES)} (default: %(default)s)")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    add("--precision", default="auto", help="auto, fp32, fp16 or bf16 (default: %(default)s)")
    add("--threshold", type=float, help="score in (0, 1] from which on a pixel is found (default: the engine's)")
    add("--opacity", type=float, default=0.5, help="of the colours in overlays, 0 to 1 (default: %(default)s)")
    add("--option", action="append", default=[], metavar="KEY=VALUE", help="of the engine; again for more")
    add("--frames", action="store_true", help="of a video, write labels, masks and scores too")
    bags.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Segment everything and print what was found; 1 where a picture could not be read. Raises ValueError, OSError."""
    logging.basicConfig(format="%(message)s")
    prompts = read_prompts(args.query)
    for name, value, least in (("threshold", args.threshold, 1e-6), ("opacity", args.opacity, 0.0)):
        if value is not None and not least <= value <= 1.0:
            raise ValueError(f"--{name} {value}: expected {'above 0' if least else '0'} to 1")
    if args.image_topic is not None or any(map(bags.is_bag, args.input)):
        return bags.run(prompts, args)
    if len(args.input) > 1:
        raise ValueError(f"{args.input[1]}: one picture, folder or video at a time; several only of bags")
    args.input = args.input[0]
    is_video = args.input.is_file() and not is_picture(args.input)
    check_folders(args, is_video)
    pictures = {} if is_video else list_pictures(args.input)
    engine = engines.create(args.engine, args.weights, args.device, args.precision, **read_options(args.option))
    engine.check(prompts)
    for prompt in prompts:
        if unknown := engine.unknown_words(prompt.text):
            print(f"warning: {prompt.name!r}: the model does not know {', '.join(unknown)}", file=sys.stderr)
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)
    labels = None if args.labels_out is None else label_files(prompts, args)
    if labels is not None and args.out is None:
        pictures = unlabelled(pictures, labels)
    found = Found(prompts)
    if is_video:
        segment_video(engine, args.input, found, args)
    unread = segment_pictures(engine, pictures, found, labels, args)
    print(found.table())
    print(f"written to {' and '.join(str(folder) for folder in (args.out, args.labels_out) if folder is not None)}")
    return 1 if unread else 0


def check_folders(args: argparse.Namespace, is_video: bool) -> None:
    """Raise ValueError where nothing would be written, or labels where they cannot be."""
    if args.out is None and args.labels_out is None:
        raise ValueError("neither --out nor --labels-out: name a folder for what is written")
    if args.labels_out is None:
        return
    if is_video:
        raise ValueError(f"--labels-out: {args.input} is no picture ({SUFFIXES}); give the frames of a video as such")
    if args.labels_out.resolve() == (args.input if args.input.is_dir() else args.input.parent).resolve():
        raise ValueError(f"--labels-out {args.labels_out}: the pictures lie there; name another folder")


def label_files(prompts: Sequence[Prompt], args: argparse.Namespace) -> LabelFiles:
    """The folder of --labels-out. Raises ValueError where it holds labels made otherwise."""
    from clipseg_ros.evaluation.predictions import weights_digest
    from clipseg_ros.models import hub

    folder = str(hub.demo_folder()) if args.weights == "demo" else args.weights
    made = {
        "engine": args.engine, "weights": args.weights, "weights_sha256": weights_digest(folder),
        "options": read_options(args.option), "threshold": args.threshold,
    }
    return LabelFiles(args.labels_out, prompts, made)


def unlabelled(pictures: dict[Path, str], labels: LabelFiles) -> dict[Path, str]:
    """The pictures without a label file; prints how many have one."""
    missing = labels.missing(pictures)
    if len(missing) < len(pictures):
        print(f"{len(pictures) - len(missing)} of {len(pictures)} pictures have their labels from before")
    return missing


def is_picture(path: Path) -> bool:
    """Whether the name is that of a picture."""
    return path.suffix.lower() in SUFFIXES.split()


def list_pictures(path: Path) -> dict[Path, str]:
    """Pictures of a folder in order of name, or the one picture, each with the stem of what is written of it.

    Pictures that differ only in suffix keep it in their stem. Raises OSError where there is none.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder")
    paths = sorted(file for file in path.iterdir() if is_picture(file)) if path.is_dir() else [path]
    if not paths:
        raise FileNotFoundError(f"{path}: no picture in it; expected {SUFFIXES}")
    stems = [file.stem for file in paths]
    return {file: file.stem if stems.count(file.stem) == 1 else file.name.replace(".", "_") for file in paths}


def segment_pictures(
    engine: engines.Engine, pictures: dict[Path, str], found: Found, labels: LabelFiles | None, args: argparse.Namespace
) -> list[Path]:
    """Segment pictures one by one; those that OpenCV could not read are warned of and returned."""
    unread = []
    for path, stem in tqdm(pictures.items(), unit="picture"):
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is None:
            tqdm.write(f"warning: {path}: no picture that OpenCV can read", file=sys.stderr)
            unread.append(path)
            continue
        image = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        result = engine.segment(image, found.prompts)
        found.add(result, args.threshold)
        if args.out is not None:
            write_maps(args.out / stem, result, args.threshold)
            painted = overlay(image, result.labels(args.threshold), args.opacity)
            write_png(args.out / f"{stem}_overlay.png", cv2.cvtColor(painted, cv2.COLOR_RGB2BGR))
        if labels is not None:
            labels.write(stem, result.labels(args.threshold))
    return unread


def segment_video(engine: engines.Engine, path: Path, found: Found, args: argparse.Namespace) -> None:
    """Segment the frames of a video one by one. Raises OSError where OpenCV reads none or cannot write."""
    capture = cv2.VideoCapture(str(path))
    rate, total = capture.get(cv2.CAP_PROP_FPS) or 30.0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    target, writer = args.out / f"{path.stem}_overlay.mp4", None
    for index, image in enumerate(tqdm(read_frames(capture), total=max(total, 0) or None, unit="frame")):
        result = engine.segment(image, found.prompts)
        found.add(result, args.threshold)
        if args.frames:
            write_maps(args.out / f"{path.stem}_{index:06d}", result, args.threshold)
        if writer is None:
            writer = cv2.VideoWriter(str(target), cv2.VideoWriter.fourcc(*"mp4v"), rate, image.shape[1::-1])
        if not writer.isOpened():
            raise OSError(f"{target}: cannot be written")
        painted = overlay(image, result.labels(args.threshold), args.opacity)
        writer.write(cv2.cvtColor(painted, cv2.COLOR_RGB2BGR))
    if writer is None:
        raise OSError(f"{path}: neither a picture ({SUFFIXES}) nor a video that OpenCV can read")
    writer.release()


def read_frames(capture: cv2.VideoCapture) -> Iterator[np.ndarray]:
    """Images (H, W, 3) uint8 RGB to the end of the video."""
    while (frame := capture.read()[1]) is not None:
        yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)


def write_maps(stem: Path, result: Segmentation, threshold: float | None) -> None:
    """Labels, and the mask and score of each prompt, at `stem` + what they are."""
    write_png(Path(f"{stem}_labels.png"), result.labels(threshold))
    maps = zip(result.prompts, result.masks(threshold), result.scores)
    for index, (prompt, mask, scores) in enumerate(maps, start=1):
        name = re.sub(r"\W+", "-", prompt.name.lower()).strip("-")[:40]
        write_png(Path(f"{stem}_mask_{index}_{name}.png"), mask.astype(np.uint8) * 255)
        write_png(Path(f"{stem}_score_{index}_{name}.png"), np.rint(scores * 65535.0).astype(np.uint16))


def write_png(path: Path, picture: np.ndarray) -> None:
    """Raises OSError."""
    path.write_bytes(cv2.imencode(".png", picture)[1])

# SPDX-License-Identifier: Apache-2.0
"""A recipe of the tabletop scenes from its first picture to the weights folder with its measured table."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import CLIPTokenizerFast

from clipseg_ros import engines
from clipseg_ros.datasets import tabletop
from clipseg_ros.engines.devices import find_device
from clipseg_ros.evaluation import presence
from clipseg_ros.evaluation import tabletop as benchmark
from clipseg_ros.evaluation.speed import measure
from clipseg_ros.models import hub, weights
from clipseg_ros.training import card, decoders, distributed, loop, network, plots, tokenizer
from clipseg_ros.training.batches import PREFIXES, PhraseBook
from clipseg_ros.training.captions import CaptionTask, KindTask
from clipseg_ros.training.decoders import Architecture
from clipseg_ros.training.joint import JointTask
from clipseg_ros.training.masks import MaskTask
from clipseg_ros.training.pool import render_pool
from clipseg_ros.training.readings import Readings, read
from clipseg_ros.training.recipes import Recipe
from clipseg_ros.training.schedule import Schedule
from clipseg_ros.training.texts import TextTask

THRESHOLD = 0.5  # of every model trained here
SAMPLE = 20  # pictures whose patches tell a fresh decoder what the towers say


def train(recipe: Recipe, out: Path, device: str = "auto") -> Path:
    """Run the recipe, going on where an earlier call stopped; returns the weights folder out/NAME/model.

    Recipes that share scenes and towers share them in `out`, too: out/pool, out/captions and out/kinds. Every stage
    writes its checkpoint, log.csv and curves.png; the folder of the weights gets, as its README, what the model reaches
    on the test scenes. Scores are moved so that the threshold that suits the validation scenes is THRESHOLD, and beside
    it stands the presence chosen there (see evaluation.presence). Where stage `joint` changes the towers, the folder
    keeps the CLIP that they were (see weights.clip_folder). Under torchrun, rank 0 renders, measures and writes. Raises
    ValueError for a folder of another recipe and for a CLIP that stage `captions` did not write, WeightsError for none.
    """
    own = distributed.own_device(find_device(device))
    with distributed.join(own):
        return _train(recipe, out, own)


def _train(recipe: Recipe, out: Path, device: torch.device) -> Path:
    run = out / recipe.name
    distributed.once(partial(loop.claim, run, recipe))
    pool = render_pool(out / "pool", recipe.first_seed, recipe.scenes, os.cpu_count() or 1)
    vocabulary = tokenizer.words_of([*PREFIXES, *(phrase.text for phrase in tabletop.phrases())])
    words = tokenizer.build(vocabulary)

    def write(model: nn.Module, folder: Path, threshold: float | None, presence: float | None = None) -> None:
        network.save(model, words, folder, vocabulary, threshold, recipe.input_side, recipe.view_side, presence)

    def tower(kind: type[KindTask], folder: Path) -> Path:
        task = kind(recipe, words, pool, device)
        _learn(task, recipe.captions, folder, device)
        distributed.once(partial(write, task.model.network, folder / "clip", None))
        return folder / "clip"

    clip = tower(CaptionTask, out / "captions") if recipe.clip is None else _taught(recipe.clip, vocabulary)
    backbone = tower(KindTask, out / "kinds") if recipe.engine == "vitseg" else clip
    student = decoders.build(_architecture(recipe, clip, backbone), recipe.masks.schedule.seed)
    student.model.to(device)
    book = PhraseBook(recipe.groups, masks=True)
    _learn_masks(recipe, student, words, pool, book, run, device)
    if recipe.joint is not None:
        joint = JointTask(recipe, student.model, words, pool, book, device)
        _learn(joint, recipe.joint.schedule, run / "joint", device)
        _learn(TextTask(recipe, student.model, words, book, device), recipe.texts, run / "texts", device)
    student.model.eval()
    model, folder = student.model.network, run / "model"

    def finish() -> None:
        write(model, folder, None)
        chosen = presence.best(presence.ask(engines.create(recipe.engine, str(folder), str(device)), recipe.validation))
        shift = network.move_scores(model, chosen.threshold, THRESHOLD)
        if recipe.joint is not None:  # its towers are no longer the CLIP that engine car needs
            shutil.copytree(clip, folder / weights.CLIP, dirs_exist_ok=True)
        write(model, folder, THRESHOLD, None if chosen.presence is None else chosen.presence + shift)
        engine = engines.create(recipe.engine, str(folder), str(device))
        scores, speed = benchmark.measure(engine, recipe.tests), measure(engine, "mug")
        stages = [clip.parent, backbone.parent, run, run / "joint", run / "texts"]
        logs = [log for stage in dict.fromkeys(stages) if (log := stage / "log.csv").is_file()]
        parameters = sum(weight.numel() for weight in model.parameters())
        card.write(folder, recipe, logs, len(vocabulary), parameters, THRESHOLD, scores, speed)

    distributed.once(finish)
    return folder


def _taught(clip: str, vocabulary: Collection[str]) -> Path:
    """The folder of a CLIP that knows just these words."""
    folder = hub.find(clip)
    if weights.read_notes(folder).vocabulary != set(vocabulary):
        raise ValueError(f"clip {clip}: expected the CLIP of a tabletop recipe, such as build/train/captions/clip")
    return folder


def _architecture(recipe: Recipe, clip: Path, backbone: Path) -> Architecture:
    layers = recipe.extract_layers[-1:] if recipe.engine == "clip-deconv" else recipe.extract_layers
    hidden = recipe.reduce_dim if recipe.engine == "clip-deconv" else recipe.decoder_feed_forward
    return Architecture(
        recipe.engine, layers, recipe.reduce_dim, hidden, refined=True, side=recipe.side, clip=str(clip),
        backbone=str(backbone), dropout=0.0,
    )


def _learn_masks(
    recipe: Recipe, student: decoders.Student, words: CLIPTokenizerFast, pool: np.ndarray, book: PhraseBook, out: Path,
    device: torch.device,
) -> None:
    model, schedule = student.model, recipe.masks.schedule
    readings = read(model, pool[: recipe.examples], recipe, device)
    encoded = words([phrase.text for phrase in book.phrases], padding=True, return_tensors="pt").to(device)
    with torch.inference_mode():
        texts = model.embed_text(encoded["input_ids"], encoded["attention_mask"].sum(1))
    if recipe.engine == "clipseg":
        network.align(model.network.decoder, model.network.clip, _patches(readings, device))
    # Of vitseg the projection of supports stays as it was drawn, as the authors left it: readings are taken once.
    _learn(MaskTask(recipe, model, model.network.decoder, readings, book, texts.clone()), schedule, out, device)


def _learn(task: loop.Task, schedule: Schedule, out: Path, device: torch.device) -> None:
    loop.run(task, schedule, out, device)
    distributed.once(partial(plots.curves, out))


def _patches(readings: Readings, device: torch.device) -> torch.Tensor:
    """(M, C) the deepest read-out where objects are, and as many patches besides."""
    tokens = torch.from_numpy(readings.tokens[: SAMPLE * 16, -1, 1:]).to(device).float()
    cell = readings.cell
    centres = readings.labels[: len(tokens), cell // 2 :: cell, cell // 2 :: cell]
    objects = torch.from_numpy(centres.reshape(len(tokens), -1) > 0).to(device)
    return torch.cat([tokens[objects], tokens[~objects][: int(objects.sum())]])

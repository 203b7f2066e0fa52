# SPDX-License-Identifier: Apache-2.0
"""The training loop: seeded by step, so that a run that was cut short continues as if it had not been."""

from __future__ import annotations

import csv
import math
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from tqdm import tqdm
from transformers import CLIPTokenizerFast

from clipseg_ros import engines
from clipseg_ros.datasets import tabletop
from clipseg_ros.engines.devices import find_device
from clipseg_ros.evaluation import tabletop as benchmark
from clipseg_ros.models.clipseg import CLIPSeg
from clipseg_ros.training import card, network, tokenizer
from clipseg_ros.training.batches import PREFIXES, Batch, PhraseBook, draw_batch
from clipseg_ros.training.losses import DenseClasses, Look, PhraseMatch, mask_loss
from clipseg_ros.training.pool import render_pool
from clipseg_ros.training.recipes import Recipe

CHECKPOINT_EVERY = 500  # steps
THRESHOLD = 0.5  # of every model trained here


class Trainer:
    """One run of a recipe: network, optimiser and the step reached; `state` and `restore` make it resumable."""

    def __init__(self, recipe: Recipe, words: CLIPTokenizerFast, device: torch.device) -> None:
        self.recipe, self.device, self.step = recipe, device, 0
        self._words = words
        self.model = CLIPSeg(network.initialise(network.configure(recipe, words), recipe.seed)).to(device).train()
        self.lessons = nn.ModuleDict({"classes": DenseClasses(recipe.width), "phrases": PhraseMatch()}).to(device)
        parameters = [*self.model.parameters(), *self.lessons.parameters()]
        self.optimiser = torch.optim.AdamW(
            parameters, recipe.learning_rate, weight_decay=recipe.weight_decay, betas=(0.9, 0.98)
        )

    def learn(self, batch: Batch) -> float:
        """One step of the optimiser; returns the loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.recipe, self.step)
        # On the CPU the fused attention's bf16 backward pass takes several times as long as the plain one's.
        attention = sdpa_kernel(SDPBackend.MATH) if self.device.type == "cpu" else nullcontext()
        with torch.autocast(self.device.type, torch.bfloat16), attention:
            loss = self._loss(batch)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        return float(loss.detach())

    def state(self) -> dict[str, object]:
        """Everything that the next step depends on."""
        return {"step": self.step, "model": self.model.state_dict(), "lessons": self.lessons.state_dict(),
                "optimiser": self.optimiser.state_dict(), "recipe": asdict(self.recipe)}

    def restore(self, state: dict[str, object]) -> None:
        """Go on from a state of the same recipe. Raises ValueError for another recipe's."""
        if state["recipe"] != asdict(self.recipe):
            raise ValueError("checkpoint of another recipe: train into an empty folder, or delete checkpoint.pt")
        self.step = state["step"]
        self.model.load_state_dict(state["model"])
        self.lessons.load_state_dict(state["lessons"])
        self.optimiser.load_state_dict(state["optimiser"])

    def _loss(self, batch: Batch) -> torch.Tensor:
        pixels = torch.from_numpy(batch.images).to(self.device).permute(0, 3, 1, 2).float() / 255.0
        mean, std = (torch.tensor(v, device=self.device)[:, None, None] for v in (network.MEAN, network.STD))
        labels, targets = (torch.from_numpy(array).to(self.device) for array in (batch.labels, batch.targets))
        near = torch.from_numpy(batch.near).to(self.device) if self.step < self.recipe.tower_steps else None
        readouts = self.model.encode_image((pixels - mean) / std, near)
        vectors = self._embed(batch.texts)
        tokens, look = readouts.tokens[-1][:, 1:], Look(labels, readouts.grid, near)
        clip = self.model.network.clip
        patches = clip.visual_projection(clip.vision_model.post_layernorm(tokens))
        lessons = self.lessons["classes"](tokens, labels, look)
        lessons = lessons + self.lessons["phrases"](patches, vectors, targets, look)
        if near is not None:
            return lessons
        logits = self.model.decode(readouts, vectors[:, : self.recipe.prompts])
        masks = mask_loss(logits.float(), targets[:, : self.recipe.prompts], self.recipe.dice)
        return masks + self.recipe.patches * lessons

    def _embed(self, texts: list[list[str]]) -> torch.Tensor:
        """(B, N, E) vectors of B x N texts; equal texts are encoded once."""
        distinct = list(dict.fromkeys(text for row in texts for text in row))
        encoded = self._words(distinct, padding=True, return_tensors="pt").to(self.device)
        vectors = self.model.embed_text(encoded["input_ids"], encoded["attention_mask"].sum(1))
        places = {text: index for index, text in enumerate(distinct)}
        return vectors[torch.tensor([[places[text] for text in row] for row in texts], device=self.device)]


def learning_rate(recipe: Recipe, step: int) -> float:
    """Linear warm-up, level while the towers are alone, then a cosine to final_rate at the last step."""
    if step < recipe.tower_steps:
        return recipe.learning_rate * min(1.0, (step + 1) / recipe.warm_up)
    fall = 0.5 * (1.0 + math.cos(math.pi * (step - recipe.tower_steps) / recipe.steps))
    return recipe.final_rate + (recipe.learning_rate - recipe.final_rate) * fall


def train(name: str, recipe: Recipe, out: Path, device: str = "auto") -> Path:
    """Run the recipe, going on from out/checkpoint.pt where there is one; returns the weights folder out/model.

    Writes out/log.csv (step, loss, seconds) and, as a README in the folder, what the model reaches on the test scenes.
    Scores are moved so that the threshold that suits the validation scenes is THRESHOLD. Raises ValueError for a
    checkpoint of another recipe.
    """
    out.mkdir(parents=True, exist_ok=True)
    pool = render_pool(out / "pool", recipe.first_seed, recipe.scenes, recipe.views, os.cpu_count() or 1)
    vocabulary = tokenizer.words_of([*PREFIXES, *(phrase.text for phrase in tabletop.phrases())])
    words = tokenizer.build(vocabulary, out / "tokenizer")
    trainer = Trainer(recipe, words, find_device(device))
    checkpoint = out / "checkpoint.pt"
    if checkpoint.is_file():
        trainer.restore(torch.load(checkpoint, weights_only=True))
    _run(trainer, pool, checkpoint, out / "log.csv")
    del pool
    folder = out / "model"
    network.save(trainer.model.network, words, folder, vocabulary, threshold=None)
    engine = engines.create("clipseg", str(folder), device)
    best = benchmark.best_threshold(benchmark.measure(engine, recipe.validation()))
    network.move_scores(trainer.model.network, best, THRESHOLD)
    network.save(trainer.model.network, words, folder, vocabulary, THRESHOLD)
    scores = benchmark.measure(engines.create("clipseg", str(folder), device), recipe.tests())
    parameters = sum(weight.numel() for weight in trainer.model.parameters())
    card.write(folder, name, recipe, out / "log.csv", len(vocabulary), parameters, THRESHOLD, scores)
    return folder


def _run(trainer: Trainer, pool: np.ndarray, checkpoint: Path, log: Path) -> None:
    recipe, book, started = trainer.recipe, PhraseBook(), time.monotonic()
    last = recipe.tower_steps + recipe.steps

    def draw(step: int) -> Batch:
        rng = np.random.default_rng([recipe.seed, step])
        return draw_batch(pool, book, recipe, rng)

    with ThreadPoolExecutor(1) as ahead, log.open("a", newline="") as table:
        rows = csv.writer(table)
        upcoming = ahead.submit(draw, trainer.step)
        for step in (bar := tqdm(range(trainer.step, last), "training", unit="step")):
            batch, upcoming = upcoming.result(), ahead.submit(draw, step + 1)
            loss = trainer.learn(batch)
            bar.set_postfix(loss=f"{loss:.3f}")
            rows.writerow([step, f"{loss:.5f}", f"{time.monotonic() - started:.1f}"])
            if trainer.step % CHECKPOINT_EVERY == 0 or trainer.step == last:
                table.flush()
                unfinished = checkpoint.with_suffix(".part")
                torch.save(trainer.state(), unfinished)
                unfinished.replace(checkpoint)

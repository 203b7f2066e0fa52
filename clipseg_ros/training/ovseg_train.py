# SPDX-License-Identifier: Apache-2.0
"""A recipe of OVSeg from what it starts with to the weights folder, or to the folder of pairs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch.nn import functional as F
from transformers import SwinModel

from clipseg_ros.datasets.coco import coco_stuff
from clipseg_ros.datasets.label_folder import LabelFolder
from clipseg_ros.engines.devices import find_device
from clipseg_ros.evaluation.ovseg_reader import RegionReader
from clipseg_ros.evaluation.ovseg_scenes import NAMES
from clipseg_ros.models import clip as clip_files
from clipseg_ros.models import hub, ovseg, weights
from clipseg_ros.models.maskformer import ProposalNetwork, ProposalShape
from clipseg_ros.models.ovseg import OVSegNetwork, OVSegShape
from clipseg_ros.models.ovseg_clip import MaskedCLIP
from clipseg_ros.training import distributed, loop, plots
from clipseg_ros.training.ovseg_losses import clamp_scale
from clipseg_ros.training.ovseg_nouns import Nouns
from clipseg_ros.training.ovseg_pair_folder import PairFolder
from clipseg_ros.training.ovseg_pairs import SOURCES, TEMPLATE, Miner, Picture, coco_captions
from clipseg_ros.training.ovseg_pictures import LabelExamples
from clipseg_ros.training.ovseg_recipes import CutOutRecipe, PairRecipe, ProposalRecipe, Recipe
from clipseg_ros.training.ovseg_tabletop import SIZE, SceneCutOuts, Scenes, clip_at, scene_pool
from clipseg_ros.training.ovseg_task import CutOutTask, Drawing, Examples, ProposalTask

SWIN = (  # transformers' Swin and the older names that its MaskFormer keeps
    ("attention.q_proj", "attention.self.query"), ("attention.k_proj", "attention.self.key"),
    ("attention.v_proj", "attention.self.value"), ("attention.o_proj", "attention.output.dense"),
    ("attention.relative_position_bias.", "attention.self."), ("mlp.fc1", "intermediate.dense"),
    ("mlp.fc2", "output.dense"),
)
CAPTIONS = "annotations/captions_train2017.json"


def train(recipe: Recipe, root: Path, out: Path, device: str = "auto") -> Path:
    """Train, going on where the run in `out` stopped; returns out/model, the weights folder, for engine ovseg; a recipe
    of pairs returns `out`, which is the root of those that learn them.

    root: COCO-Stuff's folder (datasets.coco), with annotations/captions_train2017.json and nltk_data/ where captions
    are asked (ovseg_nouns); or a folder of pairs. Writes out/log.csv, out/checkpoint.pt and out/curves.png. Under
    torchrun, rank 0 writes. Raises DatasetError, WeightsError, DeviceError, ValueError.
    """
    own = distributed.own_device(find_device(device))
    with distributed.join(own) as group:
        if group.rank == 0:
            loop.claim(out, recipe)
        if isinstance(recipe, PairRecipe):
            distributed.once(lambda: _mine(recipe, root, out, own))
            return out
        learn = _learn_proposals if isinstance(recipe, ProposalRecipe) else _learn_cut_outs
        network, folder = learn(recipe, root, out, own)
        if group.rank == 0:
            form = weights.read_input_format(folder)
            ovseg.save(network.cpu(), out / "model", folder, form.mean.tolist(), form.std.tolist())
            plots.curves(out)
    return out / "model"


def start(clip: str, shape: OVSegShape, side: int = 0) -> tuple[OVSegNetwork, Path]:
    """The network of `clip` and its folder: of an OVSeg all but what `shape` adds; of a CLIP the towers alone.

    Of shape.proposals and shape.prompt_depth an OVSeg keeps its own where it has some. side: of a CLIP's cut-outs in
    pixels, 0 for its own. Raises WeightsError.
    """
    folder = hub.find(clip)
    if weights.read_json(folder / "config.json").get("model_type") != ovseg.MODEL_TYPE:
        found = clip_at(folder, side) if side else clip_files.load(folder, torch.float32)
        return ovseg.on_clip(found, shape), folder
    old = ovseg.load(folder, torch.float32)
    own = old.config
    made = ovseg.on_clip(old.clip, OVSegShape(
        ProposalShape(**own.proposals) if own.proposals else shape.proposals, own.prompt_depth or shape.prompt_depth,
        tuple(own.class_names or shape.class_names),
    ))
    for part in ("proposer", "mask_prompts"):
        if getattr(old, part) is not None:
            getattr(made, part).load_state_dict(getattr(old, part).state_dict())
    return made, folder


def load_swin(network: ProposalNetwork, folder: Path) -> None:
    """Start the backbone from a Swin in transformers' format, whatever its head; norms of stages and tables of other
    windows stay fresh. Raises WeightsError where it is another network."""
    tensors, found = weights.load_network(SwinModel, "swin", folder, torch.float32).state_dict(), {}
    for name, tensor in tensors.items():
        for theirs, ours in SWIN:
            name = name.replace(theirs, ours)
        found[name] = tensor
    own = network.backbone.model.state_dict()
    fitting = {name: found[name] for name in own if name in found and found[name].shape == own[name].shape}
    lacking = sorted(name for name in own.keys() - fitting.keys() if "relative_position" not in name)
    if lacking:
        raise hub.WeightsError(f"{folder}: no Swin of this size: {lacking[0]} is missing or of another shape")
    network.backbone.model.load_state_dict({**own, **fitting})


@torch.no_grad()
def class_texts(
    model: MaskedCLIP, texts: weights.TextFormat, names: Sequence[str], templates: Sequence[str]
) -> torch.Tensor:
    """(K, E) unit vectors of class names, each the mean over the templates, made unit length again."""
    rows = []
    for name in names:
        ids, lengths = texts([sentence.replace("{}", name.strip()) for sentence in templates])
        rows.append(F.normalize(model.embed_text(ids, lengths).mean(dim=0), dim=0))
    return torch.stack(rows)


def _learn_proposals(
    recipe: ProposalRecipe, root: Path, out: Path, device: torch.device
) -> tuple[OVSegNetwork, Path]:
    examples, classes = _examples(recipe, root)
    torch.manual_seed(recipe.schedule.seed)
    network, folder = start(recipe.clip, OVSegShape(recipe.shape, 0, classes), recipe.clip_side)
    if recipe.backbone:
        load_swin(network.proposer, hub.find(recipe.backbone))
    model = MaskedCLIP(network.clip, None).requires_grad_(False)
    texts = class_texts(model, weights.read_text_format(folder, model.longest_text), classes, recipe.templates)
    for name, weight in network.proposer.named_parameters():
        weight.requires_grad_(not (recipe.frozen and re.search(recipe.frozen, name)))
    drawing = Drawing(examples, recipe.batch, recipe.schedule.seed)
    loop.run(ProposalTask(network.proposer, texts, drawing, device), recipe.schedule, out, device)
    return network, folder


def _examples(recipe: ProposalRecipe, root: Path) -> tuple[Examples, tuple[str, ...]]:
    if recipe.form == "scenes":
        return Scenes(scene_pool(root), SIZE), NAMES
    data = coco_stuff(root, "train", recipe.form)
    return LabelExamples(data, recipe.cropping), data.classes


def _learn_cut_outs(recipe: CutOutRecipe, root: Path, out: Path, device: torch.device) -> tuple[OVSegNetwork, Path]:
    torch.manual_seed(recipe.schedule.seed)
    network, folder = start(recipe.clip, OVSegShape(None, recipe.prompt_depth))
    model = MaskedCLIP(network.clip, network.mask_prompts)
    form = weights.read_input_format(folder)
    pairs = SceneCutOuts(scene_pool(root), form, model.side) if recipe.scenes else PairFolder(root, form, model.side)
    steps = recipe.schedule.steps or max(1, recipe.epochs * len(pairs) // recipe.batch)
    drawing = Drawing(pairs, recipe.batch, recipe.schedule.seed)
    texts = weights.read_text_format(folder, model.longest_text)
    task = CutOutTask(model, texts, recipe.learn, drawing, device, template=recipe.template)
    loop.run(task, replace(recipe.schedule, steps=steps), out, device)
    clamp_scale(network.clip.logit_scale)
    return network, folder


def _mine(recipe: PairRecipe, root: Path, out: Path, device: torch.device) -> None:
    source, folder = SOURCES[recipe.source], hub.find(recipe.clip)
    data = coco_stuff(root, "train", recipe.form)
    network = ovseg.load(folder, torch.float32).requires_grad_(False).to(device)
    if source.proposals and network.proposer is None:
        raise hub.WeightsError(f"{folder}: a CLIP without proposals; name the folder of ovseg-swinb or ovseg-r101c")
    texts = weights.read_text_format(folder, network.config.text_config.max_position_embeddings)
    form = weights.read_input_format(folder)
    reader = RegionReader(network, form, texts, (TEMPLATE,), recipe.side, recipe.threshold)
    nouns = Nouns(root / "nltk_data") if source.captions else str.split
    captions = coco_captions(root / CAPTIONS) if source.captions else {}
    Miner(source, data.classes, nouns, reader.cosines, reader.propose).mine(_pictures(data, captions), out)


def _pictures(data: LabelFolder, captions: dict[str, tuple[str, ...]]) -> Iterator[Picture]:
    for index in range(len(data)):
        sample = data[index]
        yield Picture(sample.name, sample.image, sample.labels, captions.get(sample.name, ()))

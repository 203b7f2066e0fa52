# SPDX-License-Identifier: Apache-2.0
"""The OVSeg authors' checkpoints in the names of this package, joined with the CLIP that they were trained on.

A checkpoint of github.com/facebookresearch/ov-seg (CC BY-NC 4.0, as its weights are) is detectron2's: the backbone, the
head of MaskFormer, and a whole CLIP in OpenAI's names. The CLIP of the authors' demo with SAM comes alone.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Sequence

import torch
from transformers import CLIPModel
from transformers.models.clipseg.modeling_clipseg import CLIPSegModel

from clipseg_ros.models.hub import WeightsError
from clipseg_ros.models.maskformer import ProposalShape
from clipseg_ros.models.ovseg import OVSegNetwork, OVSegShape, on_clip
from clipseg_ros.models.zegclip_checkpoint import Source

log = logging.getLogger(__name__)
Tensors = dict[str, torch.Tensor]

PUBLISHED_HEADS = 8  # of the decoder, in all of the authors' files; tensors do not tell
CLIP, HEAD, DECODER = "clip_adapter.clip_model.", "sem_seg_head.", "sem_seg_head.predictor.transformer.decoder."
VISUAL, PROMPTS = f"{CLIP}visual.", f"{CLIP}visual.mask_embedding"
NO_OBJECT = "clip_adapter.non_object_embedding"
PREDICTOR, PIXELS = f"{HEAD}predictor.", f"{HEAD}pixel_decoder."
DROPPED = re.compile(
    r".*relative_position_index|(clip_adapter\.)?pixel_(mean|std)|criterion\..*"
    r"|clip_adapter\.clip_model\.(text_projection|logit_scale)"
)
NEEDED = (
    f"{PIXELS}layer_4.weight", f"{PREDICTOR}query_embed.weight", f"{PREDICTOR}class_embed.layers.1.weight",
    f"{DECODER}layers.0.linear1.weight", NO_OBJECT,
)
RENAMED = {  # by the beginning of our names: parts of them and the authors', in the order in which they are replaced
    "clip.": (
        ("clip.vision_model.", VISUAL), ("clip.text_model.", CLIP), ("clip.logit_scale", f"{CLIP}logit_scale"),
        ("embeddings.class_embedding", "class_embedding"), ("embeddings.patch_embedding.", "conv1."),
        ("embeddings.position_embedding.weight", "positional_embedding"),
        ("embeddings.token_embedding", "token_embedding"), ("pre_layrnorm", "ln_pre"), ("post_layernorm", "ln_post"),
        ("encoder.layers.", "transformer.resblocks."), ("self_attn", "attn"), ("final_layer_norm", "ln_final"),
        ("layer_norm", "ln_"), ("mlp.fc1", "mlp.c_fc"), ("mlp.fc2", "mlp.c_proj"),
    ),
    "proposer.backbone.model.": (
        ("proposer.backbone.model.embeddings.patch_embeddings.projection", "backbone.patch_embed.proj"),
        ("proposer.backbone.model.embeddings.norm", "backbone.patch_embed.norm"),
        ("proposer.backbone.model.encoder.", "backbone."), ("layernorm_before", "norm1"), ("layernorm_after", "norm2"),
        ("attention.output.dense", "attn.proj"), ("intermediate.dense", "mlp.fc1"), ("output.dense", "mlp.fc2"),
        ("attention.self.", "attn."),
    ),
    "proposer.backbone.hidden_states_norms.": (("proposer.backbone.hidden_states_norms.", "backbone.norm"),),
    "proposer.backbone.st": (
        *((f"proposer.backbone.stem.{index}.", f"backbone.stem.conv{index + 1}.") for index in range(3)),
        *((f"proposer.backbone.stages.{stage}.", f"backbone.res{stage + 2}.") for stage in range(4)),
    ),
    "proposer.pixel_decoder.": (
        ("proposer.pixel_decoder.mask_projection", f"{PIXELS}mask_features"),
        ("proposer.pixel_decoder.fpn.stem.", f"{PIXELS}layer_4."),
        *(
            (f"proposer.pixel_decoder.fpn.layers.{index}.{ours}.", f"{PIXELS}{theirs}_{3 - index}.")
            for index in range(3)
            for ours, theirs in (("proj", "adapter"), ("block", "layer"))
        ),
    ),
    "proposer.decoder.": (
        ("proposer.decoder.queries", f"{PREDICTOR}query_embed"),
        ("proposer.decoder.input_projection", f"{PREDICTOR}input_proj"),
        ("proposer.decoder.transformer.layernorm", f"{DECODER}norm"), ("proposer.decoder.transformer.", DECODER),
        ("self_attn_layer_norm", "norm1"), ("encoder_attn_layer_norm", "norm2"), ("final_layer_norm", "norm3"),
        ("encoder_attn", "multihead_attn"), ("o_proj", "out_proj"), ("mlp.fc1", "linear1"), ("mlp.fc2", "linear2"),
    ),
    "proposer.": (
        *(
            (f"proposer.{part}_embed.{2 * index}.", f"{PREDICTOR}{part}_embed.layers.{index}.")
            for part in ("class", "mask")
            for index in range(3)
        ),
        ("proposer.no_object", NO_OBJECT),
    ),
    "mask_prompts.": (("mask_prompts.tokens", PROMPTS),),
}
TURNED = {"clip.visual_projection.weight": f"{VISUAL}proj", "clip.text_projection.weight": f"{CLIP}text_projection"}
STACKED = re.compile(r"(.*attn)\.([qkv])_proj\.(weight|bias)")
SWIN_STACKED = re.compile(r"(.*\.attn)\.(query|key|value)\.(weight|bias)")
RESNET = ("backbone.stem.", "backbone.res")
SWIN_TABLE = "backbone.layers.{}.blocks.0.attn.relative_position_bias_table"
CONSTANT = "relative_position_index"


def is_checkpoint(tensors: Tensors) -> bool:
    """Whether the names are those of an OVSeg, or of a CLIP of OpenAI that comes alone."""
    return any(name.startswith((HEAD, "clip_adapter.", "visual.transformer.")) for name in tensors)


def source_of(name: str) -> Source:
    """Of a tensor of OVSegNetwork, whose backbone may have norms (resnet_c) or tables of positions (swin)."""
    if name in TURNED:
        return Source(TURNED[name], turned=True)
    for ours, theirs in next(parts for beginning, parts in RENAMED.items() if name.startswith(beginning)):
        name = name.replace(ours, theirs)
    if name.startswith((*RESNET, PIXELS)):
        name = re.sub(r"\.1\.(\w+)$", r".norm.\1", re.sub(r"\.0\.weight$", ".weight", name))
    if match := SWIN_STACKED.fullmatch(name):
        return Source(f"{match[1]}.qkv.{match[3]}", ("query", "key", "value").index(match[2]))
    if match := STACKED.fullmatch(name):
        return Source(f"{match[1]}.in_proj_{match[3]}", "qkv".index(match[2]))
    return Source(name)


def join(
    authors: Tensors, clip: CLIPModel | CLIPSegModel, class_names: Sequence[str] = (), heads: int = PUBLISHED_HEADS
) -> OVSegNetwork:
    """OVSeg of a checkpoint's tensors, in evaluation mode and float32; sizes are read from them.

    clip: gives the numbers of attention heads, and the text tower where the checkpoint has none. class_names: those
    that the proposal network was trained with. heads: of its decoder.
    Raises WeightsError where a tensor is missing or does not fit; names those that have no place here in a warning.
    """
    authors = _current(authors)
    network = on_clip(clip, _shape(authors, tuple(class_names), heads))
    own_text = any(name.startswith(f"{CLIP}transformer.") for name in authors)
    sources = {
        name: source_of(name)
        for name in network.state_dict()
        if not name.endswith(CONSTANT) and (own_text or not name.startswith(("clip.text_", "clip.logit_scale")))
    }
    _load(network, sources, authors)
    left = authors.keys() - {source.name for source in sources.values()}
    if strange := [name for name in left if not DROPPED.fullmatch(name)]:
        log.warning("checkpoint of OVSeg: %d tensors unused, such as %s", len(strange), min(strange))
    return network


def _current(authors: Tensors) -> Tensors:
    """The tensors under today's names: a CLIP alone gets its place, an old head its level of the pixel decoder."""
    if any(name.startswith("visual.") for name in authors):
        return {f"{CLIP}{name}": tensor for name, tensor in authors.items()}
    old = re.compile(re.escape(HEAD) + r"(?!predictor\.|pixel_decoder\.)(.*)")
    return {old.sub(PIXELS + r"\1", name): tensor for name, tensor in authors.items()}


def _shape(authors: Tensors, class_names: tuple[str, ...], heads: int) -> OVSegShape:
    depth = len(authors[PROMPTS]) if PROMPTS in authors else 0
    if not any(name.startswith((HEAD, "backbone.")) for name in authors):
        return OVSegShape(None, depth)
    for name in NEEDED:
        if name not in authors:
            raise WeightsError(f"no checkpoint of OVSeg: {name} is missing")
    queries, vectors = authors[f"{PREDICTOR}query_embed.weight"], authors[f"{PREDICTOR}class_embed.layers.1.weight"]
    proposals = ProposalShape(
        **_backbone(authors), features=len(authors[f"{PIXELS}layer_4.weight"]), decoder_width=queries.shape[1],
        decoder_layers=_count(authors, f"{DECODER}layers."), decoder_heads=heads,
        decoder_hidden=len(authors[f"{DECODER}layers.0.linear1.weight"]), queries=len(queries),
        vector_hidden=vectors.shape[1], vector_size=vectors.shape[0],
    )
    return OVSegShape(proposals, depth, class_names)


def _backbone(authors: Tensors) -> dict[str, object]:
    """The fields of ProposalShape that tell of the backbone. Raises WeightsError for another."""
    if "backbone.stem.conv1.weight" in authors:
        depths = tuple(_count(authors, f"backbone.res{stage}.") for stage in range(2, 6))
        return {"backbone": "resnet_c", "depths": depths}
    if "backbone.patch_embed.proj.weight" not in authors or SWIN_TABLE.format(0) not in authors:
        raise WeightsError("no checkpoint of OVSeg: its backbone is neither a Swin nor a ResNet with a deep stem")
    stages = range(_count(authors, "backbone.layers."))
    return {
        "width": len(authors["backbone.patch_embed.proj.weight"]),
        "depths": tuple(_count(authors, f"backbone.layers.{stage}.blocks.") for stage in stages),
        "heads": tuple(authors[SWIN_TABLE.format(stage)].shape[1] for stage in stages),
        "window": (math.isqrt(len(authors[SWIN_TABLE.format(0)])) + 1) // 2,
    }


def _count(authors: Tensors, beginning: str) -> int:
    """How many numbered parts there are of that beginning."""
    found = (re.match(re.escape(beginning) + r"(\d+)\.", name) for name in authors)
    return 1 + max((int(match[1]) for match in found if match), default=-1)


def _load(network: OVSegNetwork, sources: dict[str, Source], authors: Tensors) -> None:
    expected, tensors = network.state_dict(), {}
    for name, source in sources.items():
        if source.name not in authors:
            raise WeightsError(f"no checkpoint of OVSeg: {source.name} is missing")
        tensors[name] = source.take(authors)
        if tensors[name].shape != expected[name].shape:
            shapes = f"{[*tensors[name].shape]}, expected {[*expected[name].shape]}"
            raise WeightsError(
                f"checkpoint of OVSeg: {source.name} gives {name} the shape {shapes}; "
                "is the CLIP beside it the one that it was trained on?"
            )
    network.load_state_dict({**expected, **tensors})

# SPDX-License-Identifier: Apache-2.0
"""The ZegCLIP authors' checkpoints in the names of this package, joined with the CLIP that they were trained on.

A checkpoint of github.com/ZiqinZhou66/ZegCLIP holds the whole vision tower in OpenAI's names, the prompts, the decoder
with its dead parts, and, in some files, the text tower, which is CLIP's.
"""

from __future__ import annotations

import logging
import math
import re
from dataclasses import dataclass

import torch
from transformers import CLIPModel
from transformers.models.clipseg.modeling_clipseg import CLIPSegModel

from clipseg_ros.models.hub import WeightsError
from clipseg_ros.models.zegclip import Shape, ZegCLIPNetwork, on_clip

log = logging.getLogger(__name__)
Tensors = dict[str, torch.Tensor]

PUBLISHED_HEADS = 8  # of the decoder, in all of the authors' files; tensors do not tell
FIRST, DEEP, PROMPTS = "backbone.prompt_embeddings", "backbone.deep_prompt_embeddings", "backbone.prompts"
LAYER = "decode_head.decoder_1.layers."
NEEDED = (FIRST, DEEP, "backbone.positional_embedding", "backbone.conv1.weight", f"{LAYER}0.linear1.weight")
DEAD = ("decode_head.decoder_1.", "decode_head.loss_decode.", "text_encoder.")
RENAMED = (  # parts of names, ours and the authors', in the order in which they are replaced
    ("clip.vision_model.", "backbone."), ("clip.text_model.", "text_encoder."),
    ("embeddings.class_embedding", "class_embedding"), ("embeddings.patch_embedding", "conv1"),
    ("embeddings.position_embedding.weight", "positional_embedding"),
    ("embeddings.token_embedding", "token_embedding"), ("pre_layrnorm", "ln_pre"), ("post_layernorm", "ln_post"),
    ("final_layer_norm", "ln_final"), ("encoder.layers.", "transformer.resblocks."), ("self_attn", "attn"),
    ("layer_norm", "ln_"), ("mlp.fc1", "mlp.c_fc"), ("mlp.fc2", "mlp.c_proj"),
    ("prompts.tokens", PROMPTS), ("prompts.proj", "backbone.prompt_proj"), ("prompts.norm", "backbone.prompt_norm"),
    ("decoder.descriptor", "decode_head.q_proj"), ("decoder.layers.", LAYER),
    (".q.", ".multihead_attn.q."), (".k.", ".multihead_attn.k."), (".v.", ".multihead_attn.v."),
    (".out.", ".multihead_attn.proj."), (".up.", ".linear1."), (".down.", ".linear2."),
    (".norm2.", ".norm3."), (".norm1.", ".norm2."),
)
PROJECTIONS = {
    "clip.visual_projection.weight": "backbone.proj",
    "clip.text_projection.weight": "text_encoder.text_projection",
}
STACKED = re.compile(r"(.*\.attn)\.([qkv])_proj\.(weight|bias)")


@dataclass(frozen=True)
class Source:
    """Where a tensor of ours is found: under `name`; a third of its rows, 0 to 2, None for all; or turned around."""

    name: str
    third: int | None = None
    turned: bool = False

    def take(self, authors: Tensors) -> torch.Tensor:
        """The tensor. Raises KeyError."""
        tensor = authors[self.name]
        if self.third is not None:
            return tensor.chunk(3)[self.third]
        return tensor.T if self.turned else tensor


def is_checkpoint(tensors: Tensors) -> bool:
    """Whether the names are those of a whole segmenter with a decode head, as ZegCLIP's are and CLIPSeg's are not."""
    return any(name.startswith("decode_head.") for name in tensors)


def source_of(name: str, last: int) -> Source:
    """Of a tensor of ZegCLIPNetwork; `last` is the number of the decoder layer that reads the masks."""
    if name in PROJECTIONS:
        return Source(PROJECTIONS[name], turned=True)
    name = name.replace("decoder.reader.", f"decoder.layers.{last}.")
    for ours, theirs in RENAMED:
        name = name.replace(ours, theirs)
    if stacked := STACKED.fullmatch(name):
        return Source(f"{stacked[1]}.in_proj_{stacked[3]}", "qkv".index(stacked[2]))
    return Source(name)


def join(authors: Tensors, clip: CLIPModel | CLIPSegModel, heads: int = PUBLISHED_HEADS) -> ZegCLIPNetwork:
    """ZegCLIP of a checkpoint's tensors, in evaluation mode and float32; sizes are read from them.

    clip: gives the numbers of attention heads, and the text tower where the checkpoint has none. heads: of the decoder.
    Raises WeightsError where a tensor is missing or does not fit; names those that have no place here in a warning.
    """
    shape = _shape(authors, heads)
    network = on_clip(clip, shape)
    authors = {**authors, PROMPTS: torch.cat([authors[FIRST], authors[DEEP]])}
    own_text = any(name.startswith("text_encoder.") for name in authors)
    sources = {
        name: source_of(name, shape.layers - 1)
        for name in network.state_dict()
        if name != "clip.logit_scale" and (own_text or not name.startswith("clip.text_"))
    }
    _load(network, sources, authors)
    left = authors.keys() - {source.name for source in sources.values()} - {FIRST, DEEP}
    if strange := [name for name in left if not name.startswith(DEAD)]:
        log.warning("checkpoint of ZegCLIP: %d tensors unused, such as %s", len(strange), min(strange))
    return network


def _shape(authors: Tensors, heads: int) -> Shape:
    for name in NEEDED:
        if name not in authors:
            raise WeightsError(f"no checkpoint of ZegCLIP: {name} is missing")
    found = (re.match(re.escape(LAYER) + r"(\d+)\.", name) for name in authors)
    places = len(authors["backbone.positional_embedding"]) - 1
    return Shape(
        prompts=authors[FIRST].shape[1],
        prompt_layers=tuple(range(1 + len(authors[DEEP]))),
        layers=1 + max(int(match[1]) for match in found if match),
        heads=heads,
        hidden=len(authors[f"{LAYER}0.linear1.weight"]),
        side=math.isqrt(places) * authors["backbone.conv1.weight"].shape[-1],
    )


def _load(network: ZegCLIPNetwork, sources: dict[str, Source], authors: Tensors) -> None:
    """Fill the network, but for what has no source. Raises WeightsError."""
    missing = sorted({source.name for source in sources.values()} - authors.keys())
    if missing:
        more = ", ..." if len(missing) > 5 else ""
        raise WeightsError(
            f"checkpoint of ZegCLIP lacks {len(missing)} tensors: {', '.join(missing[:5])}{more}; "
            "is it whole, and is the CLIP beside it the one that it was trained on?"
        )
    expected, tensors = network.state_dict(), {}
    for name, source in sources.items():
        tensors[name] = source.take(authors)
        if tensors[name].shape != expected[name].shape:
            shapes = f"{[*tensors[name].shape]}, expected {[*expected[name].shape]}"
            raise WeightsError(
                f"checkpoint of ZegCLIP: {source.name} gives {name} the shape {shapes}; "
                "is the CLIP beside it the one that it was trained on?"
            )
    network.load_state_dict({**expected, **tensors})

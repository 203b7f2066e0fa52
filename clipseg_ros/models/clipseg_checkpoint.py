# SPDX-License-Identifier: Apache-2.0
"""The CLIPSeg authors' decoder files (rd64-uni.pth, rd64-uni-refined.pth) in transformers' names, joined with a CLIP.

The authors save what they trained, a decoder in the names of github.com/timojl/clipseg, and take the frozen CLIP from
elsewhere. Both count decoder blocks from the deepest read-out on, so no order changes; their attention keeps query,
key and value in one matrix.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from transformers import CLIPModel, CLIPSegConfig, CLIPSegForImageSegmentation

from clipseg_ros.models.hub import WeightsError

RENAMED = (
    (r"film_(mul|add)\.(weight|bias)", r"film_\1.\2"),
    (r"reduces\.(\d+)\.(weight|bias)", r"reduces.\1.\2"),
    (r"blocks\.(\d+)\.self_attn\.out_proj\.(weight|bias)", r"layers.\1.self_attn.out_proj.\2"),
    (r"blocks\.(\d+)\.linear([12])\.(weight|bias)", r"layers.\1.mlp.fc\2.\3"),
    (r"blocks\.(\d+)\.norm([12])\.(weight|bias)", r"layers.\1.layer_norm\2.\3"),
    (r"trans_conv\.((?:[024]\.)?)(weight|bias)", r"transposed_convolution.\1\2"),
)
STACKED = re.compile(r"blocks\.(\d+)\.self_attn\.in_proj_(weight|bias)")
UNUSED = re.compile(r"(reduce|model|clip_model)\..*")  # `reduce` is never applied; the others are the frozen CLIP

Tensors = dict[str, torch.Tensor]


def decoder_names(authors: Tensors) -> Tensors:
    """The decoder's tensors under transformers' names. Raises WeightsError for a name that is none of CLIPSeg's."""
    renamed: Tensors = {}
    for name, tensor in authors.items():
        if stacked := STACKED.fullmatch(name):
            for part, rows in zip("qkv", tensor.chunk(3)):
                renamed[f"layers.{stacked[1]}.self_attn.{part}_proj.{stacked[2]}"] = rows
        elif not UNUSED.fullmatch(name):
            renamed[_rename(name)] = tensor
    return renamed


def join(authors: Tensors, clip: CLIPModel, extract_layers: Sequence[int]) -> CLIPSegForImageSegmentation:
    """CLIPSeg of the authors' decoder on a CLIP, in evaluation mode and float32.

    Sizes are read from the tensors; the number of attention heads, 4 in all of the authors' files, cannot be.
    Raises WeightsError where a tensor is missing or does not fit.
    """
    decoder = decoder_names(authors)
    for name in ("film_mul.weight", "layers.0.mlp.fc1.weight"):
        if name not in decoder:
            raise WeightsError(f"no decoder of CLIPSeg: {name} (in transformers' names) is missing")
    config = CLIPSegConfig(
        text_config=clip.config.text_config.to_dict(),
        vision_config=clip.config.vision_config.to_dict(),
        projection_dim=clip.config.projection_dim,
        extract_layers=list(extract_layers),
        reduce_dim=len(decoder["film_mul.weight"]),
        decoder_num_attention_heads=4,
        decoder_intermediate_size=len(decoder["layers.0.mlp.fc1.weight"]),
        use_complex_transposed_convolution="transposed_convolution.4.weight" in decoder,
    )
    network = CLIPSegForImageSegmentation(config)
    _load(network.clip, clip.state_dict(), "CLIP")
    _load(network.decoder, decoder, "decoder")
    return network.eval()


def _rename(name: str) -> str:
    for pattern, replacement in RENAMED:
        if re.fullmatch(pattern, name):
            return re.sub(pattern, replacement, name)
    raise WeightsError(f"tensor {name!r}: no name of the CLIPSeg authors' decoder")


def _load(module: torch.nn.Module, tensors: Tensors, what: str) -> None:
    """Fill the module with exactly these tensors. Raises WeightsError."""
    expected = module.state_dict()
    for name in sorted(expected.keys() | tensors.keys()):
        if name not in tensors:
            raise WeightsError(f"{what}: {name} is missing")
        if name not in expected:
            raise WeightsError(f"{what}: {name} is one too many; are there as many extract_layers as decoder blocks?")
        if tensors[name].shape != expected[name].shape:
            raise WeightsError(
                f"{what}: {name} is of shape {[*tensors[name].shape]}, expected {[*expected[name].shape]}"
            )
    module.load_state_dict(tensors)

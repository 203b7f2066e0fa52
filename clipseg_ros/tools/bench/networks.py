# SPDX-License-Identifier: Apache-2.0
"""Networks of published sizes with random weights, written as weights folders without any network.

Sizes are those of the published configurations: CLIPSeg of CIDAS/clipseg-rd64-refined, CLIP of
openai/clip-vit-base-patch16 and openai/clip-vit-large-patch14, ZegCLIP and OVSeg of their authors' files. Random weights take as
long as trained ones; what they mark means nothing. The tokenizer knows the benchmark's own words, each one token, as
the real one knows most of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from transformers import CLIPConfig, CLIPModel, CLIPSegConfig, CLIPSegForImageSegmentation, PreTrainedModel

from clipseg_ros.datasets.class_names import COCO_STUFF171
from clipseg_ros.engines import car_words, ovseg_settings
from clipseg_ros.models import ovseg, zegclip
from clipseg_ros.models.maskformer import ProposalShape
from clipseg_ros.models.ovseg import OVSegShape
from clipseg_ros.models.zegclip import Shape
from clipseg_ros.tools.bench import goals, setting
from clipseg_ros.training import tokenizer as tokenizers
from clipseg_ros.training.network import MEAN, STD

Numbers = dict[str, object]

TOKENS = 49408
TEXT_B: Numbers = {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12, "num_attention_heads": 8}
TEXT_L: Numbers = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
VISION_B: Numbers = {
    "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
    "patch_size": 16, "image_size": 224,
}
VISION_L: Numbers = {
    "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
    "patch_size": 14, "image_size": 224,
}
TINY: Numbers = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
TINY_VISION: Numbers = {**TINY, "patch_size": 16, "image_size": 32}

CLIPSEGS: dict[str, Numbers] = {
    goals.FULL_SIZE: {
        "text": TEXT_B, "vision": VISION_B, "side": 352, "projection_dim": 512, "extract_layers": [3, 6, 9],
        "reduce_dim": 64, "decoder_intermediate_size": 2048,
    },
    "tiny": {
        "text": TINY, "vision": TINY_VISION, "side": 64, "projection_dim": 8, "extract_layers": [0, 1, 2],
        "reduce_dim": 16, "decoder_intermediate_size": 32,
    },
}
"""By name: towers, side of the input, and the rest of transformers' configuration."""
ZEGCLIPS: dict[str, tuple[str, Shape]] = {
    goals.FULL_SIZE: ("ViT-B/16", Shape()),
    "tiny": ("tiny", Shape(prompts=2, prompt_layers=(0, 2), layers=2, heads=2, hidden=16, side=64)),
}
"""By name: a CLIP of CLIPS and what stands on it; the numbers are the published ones for Pascal VOC."""
OVSEGS: dict[str, tuple[str, OVSegShape]] = {
    "R101c + ViT-B/16": ("ViT-B/16", OVSegShape(ProposalShape(backbone="resnet_c", depths=(3, 4, 23, 3)))),
    "Swin-B + ViT-L/14": ("ViT-L/14", OVSegShape(ProposalShape())),
    "tiny": ("tiny", OVSegShape(ProposalShape(
        width=16, depths=(1, 1, 1, 1), heads=(1, 2, 4, 8), window=4, features=32, decoder_width=32, decoder_layers=2,
        decoder_heads=4, decoder_hidden=48, queries=12, vector_hidden=24,
    ), prompt_depth=1)),
}
"""The same for OVSeg; both pairs are published."""
CLIPS: dict[str, Numbers] = {
    "ViT-B/16": {"text": TEXT_B, "vision": VISION_B, "projection_dim": 512},
    "ViT-L/14": {"text": TEXT_L, "vision": VISION_L, "projection_dim": 768},
    "tiny": {"text": TINY, "vision": TINY_VISION, "projection_dim": 8},
}


def write_clipseg(name: str, folder: Path) -> Path:
    """A CLIPSeg of CLIPSEGS in `folder`, which is made unless it is there, and returned."""
    if folder.is_dir():
        return folder
    side = CLIPSEGS[name]["side"]
    config = clipseg_config(name, _write_tokenizer(name, folder))
    return _write(CLIPSegForImageSegmentation, config, {"height": side, "width": side}, folder)


def write_clip(name: str, folder: Path) -> Path:
    """A CLIP of CLIPS in `folder`, which is made and returned."""
    config = clip_config(name, _write_tokenizer(name, folder))
    return _write(CLIPModel, config, {"shortest_edge": config.vision_config.image_size}, folder)


def write_zegclip(name: str, folder: Path) -> Path:
    """A ZegCLIP of ZEGCLIPS in `folder`, which is made and returned."""
    clip, shape = ZEGCLIPS[name]
    config = clip_config(clip, _write_tokenizer(clip, folder))
    side = {"height": shape.side, "width": shape.side}
    return _write(lambda made: zegclip.on_clip(CLIPModel(made), shape), config, side, folder)


def write_ovseg(name: str, folder: Path) -> Path:
    """An OVSeg of OVSEGS in `folder`, which is made and returned."""
    clip, shape = OVSEGS[name]
    config = clip_config(clip, _write_tokenizer(clip, folder))
    size = {"shortest_edge": config.vision_config.image_size}
    return _write(lambda made: ovseg.on_clip(CLIPModel(made), shape), config, size, folder)


def clipseg_config(name: str, words: Numbers) -> CLIPSegConfig:
    """transformers' configuration of a network of CLIPSEGS; words: what the text tower must know of its tokenizer."""
    numbers = {key: value for key, value in CLIPSEGS[name].items() if key not in ("side", "text", "vision")}
    return CLIPSegConfig(
        text_config={**CLIPSEGS[name]["text"], **words}, vision_config=CLIPSEGS[name]["vision"],
        decoder_num_attention_heads=4, decoder_hidden_act="relu", use_complex_transposed_convolution=True, **numbers,
    )


def clip_config(name: str, words: Numbers) -> CLIPConfig:
    """The same of a network of CLIPS."""
    return CLIPConfig(
        text_config={**CLIPS[name]["text"], **words}, vision_config=CLIPS[name]["vision"],
        projection_dim=CLIPS[name]["projection_dim"],
    )


def _write(
    make: Callable[[CLIPConfig | CLIPSegConfig], PreTrainedModel], config: CLIPConfig | CLIPSegConfig, size: Numbers,
    folder: Path,
) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        make(config).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({
        "image_processor_type": "ViTImageProcessor", "do_resize": True, "do_rescale": True, "do_normalize": True,
        "size": size, "resample": 2, "image_mean": MEAN, "image_std": STD,
    }))
    return folder


def _write_tokenizer(name: str, folder: Path) -> Numbers:
    """Write it; what the text tower's configuration says of it."""
    folder.mkdir(parents=True)
    made = tokenizers.build(tokenizers.words_of(_texts()))
    made.save_pretrained(folder)
    return {
        "vocab_size": len(made) if name == "tiny" else TOKENS, "max_position_embeddings": 77,
        "bos_token_id": made.bos_token_id, "eos_token_id": made.eos_token_id, "pad_token_id": made.pad_token_id,
    }


def _texts() -> Sequence[str]:
    return [*setting.prompts(80), *COCO_STUFF171, *car_words.TEMPLATES_15, *car_words.CLIP_ES,
            *ovseg_settings.TEMPLATES["vild"], "others"]

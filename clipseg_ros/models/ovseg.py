# SPDX-License-Identifier: Apache-2.0
"""OVSeg (Liang et al., CVPR 2023) as one set of weights: mask proposals and the CLIP that names their cut-outs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from transformers import CLIPConfig, CLIPModel
from transformers.models.clip.modeling_clip import CLIPPreTrainedModel
from transformers.models.clipseg.modeling_clipseg import CLIPSegModel

from clipseg_ros.models import weights
from clipseg_ros.models.maskformer import ProposalNetwork, ProposalShape
from clipseg_ros.models.ovseg_clip import MaskPrompts

MODEL_TYPE = "ovseg"
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # OpenAI's


class OVSegConfig(CLIPConfig):
    """CLIP's configuration and what stands beside it: see OVSegShape; proposals are its fields."""

    model_type = MODEL_TYPE
    proposals: dict | None = None
    prompt_depth: int = 0
    class_names: list | None = None


@dataclass(frozen=True)
class OVSegShape:
    """What stands beside a CLIP.

    proposals: sizes of the proposal network, whose vector_size is the CLIP's whatever it says; None: there is none.
    prompt_depth: places of the mask prompts; 0: none, the CLIP's tower is its own. class_names: those that the proposal
    network was trained with, which tell masks of objects from others whatever is asked for.
    """

    proposals: ProposalShape | None = ProposalShape()
    prompt_depth: int = 3
    class_names: tuple[str, ...] = ()


class OVSegNetwork(CLIPPreTrainedModel):
    """The parameters, saved and loaded as transformers' models are: `clip`, `mask_prompts`, `proposer` (None without).
    """

    config_class = OVSegConfig

    def __init__(self, config: OVSegConfig) -> None:
        super().__init__(config)
        vision = config.vision_config
        self.clip = CLIPModel(config)
        patches = (vision.image_size // vision.patch_size) ** 2
        depth = config.prompt_depth
        self.mask_prompts = MaskPrompts(depth, patches, vision.hidden_size) if depth else None
        self.proposer = ProposalNetwork(ProposalShape(**config.proposals)) if config.proposals else None
        self.post_init()


def on_clip(clip: CLIPModel | CLIPSegModel, shape: OVSegShape) -> OVSegNetwork:
    """A network in evaluation mode whose towers are those of `clip`; mask prompts and proposals are fresh."""
    towers = {
        f"{name}_config": {**getattr(clip.config, f"{name}_config").to_dict(), "model_type": f"clip_{name}_model"}
        for name in ("text", "vision")
    }
    proposals = None
    if shape.proposals is not None:
        proposals = asdict(shape.proposals) | {"vector_size": clip.config.projection_dim}
    network = OVSegNetwork(OVSegConfig(
        **towers, projection_dim=clip.config.projection_dim, proposals=proposals, prompt_depth=shape.prompt_depth,
        class_names=list(shape.class_names),
    ))
    network.clip.load_state_dict(clip.state_dict())
    if proposals is not None:
        network.proposer = ProposalNetwork(ProposalShape(**proposals))  # transformers drew over the first
    return network.eval()


def load(folder: Path, dtype: torch.dtype) -> OVSegNetwork:
    """The network of the folder in evaluation mode. Raises WeightsError where it is none or incomplete."""
    return weights.load_network(OVSegNetwork, MODEL_TYPE, folder, dtype)


def save(
    network: OVSegNetwork, folder: Path, texts: Path, mean: Sequence[float] = CLIP_MEAN, std: Sequence[float] = CLIP_STD
) -> None:
    """Write a folder that engines.create loads. texts: the folder whose tokenizer it takes; mean, std: of the CLIP's
    input, RGB in [0, 1]. Raises WeightsError where there is no tokenizer."""
    weights.read_text_format(texts, network.config.text_config.max_position_embeddings)
    network.save_pretrained(folder)
    weights.write_input_format(folder, network.config.vision_config.image_size, mean, std)
    weights.copy_tokenizer(texts, folder)

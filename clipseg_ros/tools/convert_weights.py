# SPDX-License-Identifier: Apache-2.0
"""`convert CHECKPOINT.pth --clip CLIP --out FOLDER`: the authors' files in the format that this package reads.

CHECKPOINT is rd64-uni.pth or rd64-uni-refined.pth of github.com/timojl/clipseg, or a checkpoint of
github.com/ZiqinZhou66/ZegCLIP or github.com/facebookresearch/ov-seg (CC BY-NC 4.0: not for commercial use), told apart
by the names of their tensors; CLIP is the one that it was trained on, openai/clip-vit-base-patch16 or, for OVSeg's
larger model, openai/clip-vit-large-patch14: a folder in transformers' format or its name on the hub.
"""

from __future__ import annotations

import argparse
import pickle
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

CLIPSEG_SIDE = 352
EXTRACT_LAYERS = (3, 6, 9)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("decoder", type=Path, help="rd64-uni.pth, rd64-uni-refined.pth, or ZegCLIP's or OVSeg's .pth")
    parser.add_argument(
        "--clip", default="openai/clip-vit-base-patch16", help="folder or hub model (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write; must be new or empty")
    parser.add_argument(
        "--extract-layers",
        type=int,
        nargs="+",
        help="CLIPSeg's: blocks that the decoder reads; 3 6 9 (default) in the authors' code, 3 7 9 in the paper",
    )


def run(args: argparse.Namespace) -> int:
    """Convert, and print how to check the result. Raises WeightsError, ValueError, OSError."""
    import torch
    from transformers import CLIPModel

    from clipseg_ros.datasets.class_names import COCO_STUFF171
    from clipseg_ros.models import clipseg_checkpoint, hub, ovseg, ovseg_checkpoint, weights, zegclip_checkpoint
    from clipseg_ros.models.clipseg import CLIPSeg

    if args.out.exists() and any(args.out.iterdir()):
        raise FileExistsError(f"{args.out}: not empty; name a new folder with --out")
    authors = read_checkpoint(args.decoder)
    clip_folder = hub.find(args.clip)
    clip = weights.load_network(CLIPModel, "clip", clip_folder, torch.float32)
    if args.extract_layers and (zegclip_checkpoint.is_checkpoint(authors) or ovseg_checkpoint.is_checkpoint(authors)):
        raise ValueError("--extract-layers is CLIPSeg's; ZegCLIP and OVSeg read the last block alone")
    if zegclip_checkpoint.is_checkpoint(authors):
        network = zegclip_checkpoint.join(authors, clip)
        write(network, network.config.vision_config.image_size, clip_folder, args.out)
        trial = f"segment PICTURE --engine zegclip --weights {args.out}"
    elif ovseg_checkpoint.is_checkpoint(authors):
        network = ovseg_checkpoint.join(authors, clip, COCO_STUFF171)
        ovseg.save(network, args.out, clip_folder)
        trial = f"segment PICTURE --engine ovseg --weights {args.out}"
        if network.proposer is None:
            trial += " --option proposer=sam --option sam_weights=facebook/sam-vit-base"
    else:
        network = clipseg_checkpoint.join(authors, clip, args.extract_layers or EXTRACT_LAYERS)
        CLIPSeg(network)  # refuses layers that the vision tower does not have
        write(network, CLIPSEG_SIDE, clip_folder, args.out)
        trial = f"check {args.out} PICTURE"
    print(f"written to {args.out}; now try: python -m clipseg_ros {trial}")
    return 0


def write(network: PreTrainedModel, side: int, clip_folder: Path, out: Path) -> None:
    """A folder that engines.create loads: the network, its input of `side` pixels, the tokenizer of the CLIP's folder.

    Raises WeightsError where that has none.
    """
    from clipseg_ros.models import weights

    weights.read_text_format(clip_folder, network.config.text_config.max_position_embeddings)
    network.save_pretrained(out)
    weights.write_input_format(out, side)
    weights.copy_tokenizer(clip_folder, out)


def read_checkpoint(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a .pth file, as float32: of a training's checkpoint, those of its state_dict or model alone.

    Raises OSError, WeightsError.
    """
    import torch

    from clipseg_ros.models.hub import WeightsError

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, EOFError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise WeightsError(
            f"{path}: no file of tensors ({reason}); of a training's checkpoint, save the state_dict alone"
        ) from error
    for part in ("state_dict", "model"):  # mmcv's, detectron2's
        if isinstance(content, dict) and isinstance(content.get(part), dict):
            content = content[part]
    if not isinstance(content, dict) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise WeightsError(f"{path}: holds a {type(content).__name__}; expected a dictionary of tensors")
    return {name.removeprefix("module."): tensor.float() for name, tensor in content.items()}

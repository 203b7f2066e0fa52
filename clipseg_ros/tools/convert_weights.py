# SPDX-License-Identifier: Apache-2.0
"""`convert DECODER.pth --clip CLIP --out FOLDER`: the CLIPSeg authors' files in the format that this package reads.

DECODER is rd64-uni.pth or rd64-uni-refined.pth of github.com/timojl/clipseg; CLIP is openai/clip-vit-base-patch16, a
folder in transformers' format or its name on the hub.
"""

from __future__ import annotations

import argparse
import json
import pickle
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

TOKENIZER_FILES = ("vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
PREPROCESSOR = {
    "image_processor_type": "ViTImageProcessor",
    "do_resize": True,
    "size": {"height": 352, "width": 352},
    "resample": 2,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("decoder", type=Path, help="rd64-uni.pth or rd64-uni-refined.pth")
    parser.add_argument(
        "--clip", default="openai/clip-vit-base-patch16", help="folder or hub model (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write; must be new or empty")
    parser.add_argument(
        "--extract-layers",
        type=int,
        nargs="+",
        default=[3, 6, 9],
        help="vision blocks that the decoder reads: 3 6 9 in the authors' code (default), 3 7 9 in their paper",
    )


def run(args: argparse.Namespace) -> int:
    """Convert, and print how to check the result. Raises WeightsError, ValueError, OSError."""
    import torch
    from transformers import CLIPModel

    from clipseg_ros.models import clipseg_checkpoint, hub, weights
    from clipseg_ros.models.clipseg import CLIPSeg

    if args.out.exists() and any(args.out.iterdir()):
        raise FileExistsError(f"{args.out}: not empty; name a new folder with --out")
    authors = read_checkpoint(args.decoder)
    clip_folder = hub.find(args.clip)
    clip = weights.load_network(CLIPModel, "clip", clip_folder, torch.float32)
    network = clipseg_checkpoint.join(authors, clip, args.extract_layers)
    CLIPSeg(network)  # refuses layers that the vision tower does not have
    weights.read_text_format(clip_folder, network.config.text_config.max_position_embeddings)
    network.save_pretrained(args.out)
    (args.out / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR, indent=2) + "\n")
    for name in TOKENIZER_FILES:
        if (clip_folder / name).is_file():
            shutil.copyfile(clip_folder / name, args.out / name)
    print(f"written to {args.out}; now try: python -m clipseg_ros check {args.out} PICTURE")
    return 0


def read_checkpoint(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a .pth file, as float32. Raises OSError, WeightsError."""
    import torch

    from clipseg_ros.models.hub import WeightsError

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, EOFError, RuntimeError) as error:
        raise WeightsError(f"{path}: no file of tensors ({str(error).splitlines()[0]})") from error
    if not isinstance(content, dict) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise WeightsError(f"{path}: holds a {type(content).__name__}; expected a dictionary of tensors")
    return {name: tensor.float() for name, tensor in content.items()}

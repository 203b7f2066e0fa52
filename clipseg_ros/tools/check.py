# SPDX-License-Identifier: Apache-2.0
"""`check WEIGHTS [IMAGE]`: does this package compute what transformers computes, on these very weights?

To be run once on the weights that will be used. Compares logits with transformers' own forward for the vision blocks
that the weights' configuration reads and for both published sets, [3, 6, 9] and [3, 7, 9], since the authors' paper and
their released code disagree; the score ranges on a picture of yours show which of them the weights were trained for.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from clipseg_ros.engines import DEFAULT_WEIGHTS
from clipseg_ros.masks import resize_image, sigmoid
from clipseg_ros.queries import parse

if TYPE_CHECKING:
    import torch
    from transformers import CLIPSegForImageSegmentation

    from clipseg_ros.models.weights import TextFormat

Layers = tuple[int, ...]
DRAWN = "drawn: a grey gradient, a red disc, a blue box, a green triangle"
QUERY = "a red disc; a blue box; something to sit on"
PUBLISHED_LAYERS = ((3, 6, 9), (3, 7, 9))


@dataclass(frozen=True)
class Comparison:
    """Logits (N, h, w) float32 of both ways for the same pixels and prompts, and the seconds that each took."""

    ours: np.ndarray
    theirs: np.ndarray
    our_seconds: float
    their_seconds: float

    @property
    def difference(self) -> float:
        """The largest absolute difference; nan where either is."""
        return float(np.abs(self.ours - self.theirs).max())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    add = parser.add_argument
    add("weights", nargs="?", default=DEFAULT_WEIGHTS, help="demo, a folder, or a hub model (default: %(default)s)")
    add("image", nargs="?", type=Path, help="a picture of yours (default: a drawn one)")
    add("--query", default=QUERY, help="prompts, as on seg_query (default: %(default)s)")
    add("--device", default="cpu", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    add("--limit", type=float, default=1e-4, help="of the difference of logits (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Compare and print; 1 where the difference exceeds the limit. Raises WeightsError, ValueError, OSError."""
    import torch

    from clipseg_ros.engines.devices import find_device
    from clipseg_ros.models import hub, weights

    texts = [query.prompt.text for query in parse(args.query)]
    if not texts:
        raise ValueError(f"--query {args.query!r}: no prompt in it")
    image, device = read_image(args.image), find_device(args.device)
    folder = hub.find(args.weights)
    network = weights.load_clipseg(folder, torch.float32).to(device)
    form = weights.read_input_format(folder)
    tokenize = weights.read_text_format(folder, network.config.text_config.max_position_embeddings)
    pixels = form.normalise(resize_image(image, (form.side, form.side)), device)
    print(f"weights  {folder}")
    print(f"picture  {args.image or DRAWN}, squashed to {form.side} x {form.side}; fp32 on {device}")
    agrees = True
    for layers in layer_sets(network):
        result = compare(network, layers, pixels, tokenize, texts)
        agrees &= result.difference <= args.limit
        print(report(result, layers, texts, args.limit))
    print("agrees with transformers" if agrees else "DOES NOT AGREE with transformers: report it with these lines")
    return 0 if agrees else 1


def read_image(path: Path | None) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a file, or the drawn picture. Raises OSError."""
    if path is None:
        return draw_image()
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise OSError(f"{path}: no picture that OpenCV can read")
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def draw_image() -> np.ndarray:
    """(480, 640, 3) uint8 RGB: a grey gradient with a red disc, a blue box and a green triangle."""
    gradient = np.linspace(60, 220, 640).astype(np.uint8)
    image = np.ascontiguousarray(np.broadcast_to(gradient[None, :, None], (480, 640, 3)))
    cv2.circle(image, (150, 150), 90, (200, 30, 30), -1)
    cv2.rectangle(image, (330, 80), (580, 230), (30, 60, 200), -1)
    cv2.fillPoly(image, [np.array([[320, 270], [200, 450], [440, 450]])], (30, 160, 60))
    return image


def layer_sets(network: CLIPSegForImageSegmentation) -> list[Layers]:
    """The blocks that the configuration reads, then the published sets that the network is deep enough for."""
    own, blocks = tuple(network.config.extract_layers), network.config.vision_config.num_hidden_layers
    fitting = [layers for layers in PUBLISHED_LAYERS if len(layers) == len(own) and layers[-1] < blocks]
    return list(dict.fromkeys([own, *fitting]))


def compare(
    network: CLIPSegForImageSegmentation, layers: Layers, pixels: torch.Tensor, tokenize: TextFormat, texts: list[str]
) -> Comparison:
    """Both ways on normalised pixels (1, 3, side, side) and all the texts, each from tokens to logits."""
    import torch

    from clipseg_ros.models.clipseg import CLIPSeg

    model = CLIPSeg(network, layers)
    network.extract_layers = list(layers)
    words = tokenize.tokenizer(texts, padding=True, return_tensors="pt").to(pixels.device)
    ids, lengths = (tensor.to(pixels.device) for tensor in tokenize(texts))
    with torch.inference_mode():
        start = time.perf_counter()
        ours = model.decode(model.encode_image(pixels), model.embed_text(ids, lengths))[0].cpu().numpy()
        middle = time.perf_counter()
        theirs = network(**words, pixel_values=pixels.expand(len(texts), -1, -1, -1)).logits.cpu().numpy()
        end = time.perf_counter()
    return Comparison(ours, theirs.reshape(ours.shape), middle - start, end - middle)


def report(result: Comparison, layers: Layers, texts: list[str], limit: float) -> str:
    """What a person reads of one comparison."""
    width = max(len(text) for text in texts)
    lines = [
        f"vision blocks read: {list(layers)}",
        f"  largest difference of logits {result.difference:.1e} (limit {limit:.0e}); ours {result.our_seconds:.2f} s, "
        f"transformers {result.their_seconds:.2f} s for {len(texts)} prompts",
    ]
    for text, logits in zip(texts, result.ours):
        least, middle, most = sigmoid(np.quantile(logits, [0.0, 0.5, 1.0]))
        lines.append(f"  {text:{width}}  scores {least:.3f} to {most:.3f}, median {middle:.3f}")
    return "\n".join(lines)

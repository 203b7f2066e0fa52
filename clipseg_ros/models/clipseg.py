# SPDX-License-Identifier: Apache-2.0
"""CLIPSeg (Lüddecke & Ecker, CVPR 2022) over the weights of transformers' CLIPSegForImageSegmentation.

The forward pass is split where the work repeats: an image is encoded once, a prompt is encoded once, and the
decoder joins every image with every prompt. Grids may be rectangular.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from transformers import CLIPSegForImageSegmentation

from clipseg_ros.models.blocks import post_norm_block, pre_norm_block

PROMPTS_AT_ONCE = 6
"""Over all images of a batch, on a CPU: what a pass of 20 writes down between its layers leaves the caches, so that it
takes 500 ms where passes of 5 to 7 take 290 (full size, two cores). Training, of smaller pictures, is not split."""


@dataclass(frozen=True)
class Readouts:
    """Activations that the decoder reads: a (B, 1 + h * w, C) tensor a layer, in rising order, and the grid (h, w)."""

    tokens: tuple[torch.Tensor, ...]
    grid: tuple[int, int]

    def of(self, index: int) -> Readouts:
        """Those of one image of the batch."""
        return Readouts(tuple(tokens[index : index + 1] for tokens in self.tokens), self.grid)


class CLIPSeg(nn.Module):
    """The parts of CLIPSeg as calls of their own; `network` holds the parameters, in transformers' names.

    extract_layers: vision blocks read, counted from 0, rising; None takes the configuration's ((3, 6, 9) in
    transformers, (3, 7, 9) in the paper). Raises ValueError where they do not fit the network.
    """

    def __init__(self, network: CLIPSegForImageSegmentation, extract_layers: Sequence[int] | None = None) -> None:
        super().__init__()
        self.network = network
        config = network.config
        self.extract_layers = tuple(config.extract_layers if extract_layers is None else extract_layers)
        self.patch_size = config.vision_config.patch_size
        blocks, reads = config.vision_config.num_hidden_layers, len(config.extract_layers)
        chosen = [index for index in range(blocks) if index in self.extract_layers]
        if len(chosen) != reads or chosen != list(self.extract_layers):
            given, last = list(self.extract_layers), blocks - 1
            raise ValueError(f"extract_layers {given}: expected {reads} rising block numbers from 0 to {last}")

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the parameters."""
        return self.network.decoder.film_mul.weight.dtype

    @property
    def device(self) -> torch.device:
        """Where the parameters lie."""
        return self.network.decoder.film_mul.weight.device

    def encode_image(
        self, pixels: torch.Tensor, patches: torch.Tensor | None = None, spans: torch.Tensor | None = None
    ) -> Readouts:
        """Read-outs of normalised pixels (B, 3, h, w), sides multiples of the patch; later blocks are not run.

        For training: patches (B, K) numbers, row by row from 0, of the patches to look at, in place of all h * w; spans
        (B, 4), or (1, 4) for all, top, left, height and width, in [0, 1], of the part of a whole picture that pixels
        are to be taken for, whose positions they get; None for all of it.
        """
        tokens, taken = self._embed_pixels(pixels, spans), []
        if patches is not None:
            tokens = torch.cat([tokens[:, :1], tokens[:, 1:].take_along_dim(patches[..., None], dim=1)], dim=1)
        for index, block in enumerate(self.network.clip.vision_model.encoder.layers[: self.extract_layers[-1] + 1]):
            tokens = pre_norm_block(block, tokens)
            if index in self.extract_layers:
                taken.append(tokens)
        return Readouts(tuple(taken), (pixels.shape[2] // self.patch_size, pixels.shape[3] // self.patch_size))

    def embed_image(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, E) projected class token of normalised pixels (B, 3, h, w), not unit length: an image as a prompt."""
        vision, tokens = self.network.clip.vision_model, self._embed_pixels(pixels)
        for block in vision.encoder.layers:
            tokens = pre_norm_block(block, tokens)
        return self.network.clip.visual_projection(vision.post_layernorm(tokens[:, 0]))

    def embed_text(self, ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """(N, E) projected end token, not unit length, of token ids (N, L) padded on the right to `lengths` (N,)."""
        text = self.network.clip.text_model
        tokens = text.embeddings(input_ids=ids)
        for block in text.encoder.layers:
            tokens = pre_norm_block(block, tokens, causal=True)
        ends = text.final_layer_norm(tokens)[torch.arange(len(ids), device=ids.device), lengths - 1]
        return self.network.clip.text_projection(ends)

    def decode(self, readouts: Readouts, vectors: torch.Tensor) -> torch.Tensor:
        """(B, N, H, W) logits of B images for prompt vectors (N, E), or (B, N, E) where each image has its own.

        H x W is the grid times the upsampling of the head (16 for patch 16).
        """
        images, prompts = len(readouts.tokens[0]), vectors.shape[-2]
        if vectors.device.type != "cpu" or torch.is_grad_enabled() or images * prompts <= PROMPTS_AT_ONCE:
            return self.decode_at_once(readouts, vectors)
        if images > 1:
            each = vectors.expand(images, -1, -1)
            return torch.cat([self.decode(readouts.of(index), each[index]) for index in range(images)])
        return torch.cat([self.decode_at_once(readouts, part) for part in vectors.split(PROMPTS_AT_ONCE, dim=-2)], 1)

    def decode_at_once(self, readouts: Readouts, vectors: torch.Tensor) -> torch.Tensor:
        """The same in one pass, however many prompts there are."""
        decoder = self.network.decoder
        vectors = vectors.to(self.dtype)
        if vectors.ndim == 2:
            vectors = vectors.expand(len(readouts.tokens[0]), -1, -1)
        images, prompts = vectors.shape[:2]
        tokens = 0
        for index, (layer, reduce) in enumerate(zip(decoder.layers, decoder.reduces)):
            reduced = reduce(readouts.tokens[-1 - index])
            if index > decoder.conditional_layer:
                reduced = reduced.repeat_interleave(prompts, dim=0)
            tokens = tokens + reduced
            if index == decoder.conditional_layer:
                film = (linear(vectors)[:, :, None] for linear in (decoder.film_mul, decoder.film_add))
                tokens = (next(film) * tokens[:, None] + next(film)).flatten(0, 1)
            tokens = post_norm_block(layer, tokens)
        planes = tokens[:, 1:].transpose(1, 2).unflatten(2, readouts.grid)
        return decoder.transposed_convolution(planes).flatten(0, 1).unflatten(0, (images, prompts))

    def _embed_pixels(self, pixels: torch.Tensor, spans: torch.Tensor | None = None) -> torch.Tensor:
        height, width = pixels.shape[2:]
        if height % self.patch_size or width % self.patch_size:
            raise ValueError(f"pixels of {height}x{width}: expected multiples of the patch size {self.patch_size}")
        vision = self.network.clip.vision_model
        if spans is None:
            return vision.pre_layrnorm(vision.embeddings(pixels.to(self.dtype), interpolate_pos_encoding=True))
        seen, positions = vision.embeddings, vision.embeddings.position_embedding.weight
        planes = seen.patch_embedding(pixels.to(self.dtype))
        planes = planes + _cut_out(positions[1:], spans, planes.shape[2:])
        first = (seen.class_embedding + positions[0]).expand(len(planes), 1, -1)
        return vision.pre_layrnorm(torch.cat([first, planes.flatten(2).transpose(1, 2)], dim=1))


def _cut_out(positions: torch.Tensor, spans: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """(B or 1, C, h, w) positions (s * s, C) of a square, resampled at the centres of a grid (h, w) over each span."""
    side = round(len(positions) ** 0.5)
    field = positions.T.unflatten(1, (side, side)).expand(len(spans), -1, -1, -1)
    rows, columns = (
        start[:, None] + length[:, None] * (torch.arange(count, device=spans.device) + 0.5) / count
        for start, length, count in zip(spans.T[:2], spans.T[2:], grid)
    )
    places = torch.stack(torch.broadcast_tensors(columns[:, None, :], rows[:, :, None]), dim=3)
    return F.grid_sample(field, 2.0 * places - 1.0, mode="bicubic", padding_mode="border", align_corners=False)

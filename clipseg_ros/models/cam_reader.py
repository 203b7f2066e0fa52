# SPDX-License-Identifier: Apache-2.0
"""How the patches of an image answer texts: gradients of CLIP's scores, of any number of texts at once.

As in CLIP-ES (Lin et al., CVPR 2023), the image's feature f is the mean of the projected patches, the scores are the
logits tau * cos(f, text), and what is asked for is a score's gradient by the output a of the last block's first norm.
That of a softmax p over texts is p_c * sum_k (delta_ck - p_k) * d logit_k / da, and that of a logit is linear in its
text but for the part along f: one batched backward pass of the last block serves every subset of the texts.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from clipseg_ros.models.blocks import feed_forward, pre_norm_block
from clipseg_ros.models.clip import CLIP, Look

BACKWARD_FLOATS = 2**24  # in the feed-forward layer, of the texts whose gradients are taken at once: 64 MiB


@dataclass(frozen=True, eq=False)
class Evidence:
    """How an image answers N texts and a background, in float32.

    activations: (n, D), the patches after the last block's first norm. logits: (N + 1,), the last the log of the
    background's summed exponentials, -inf without background. slopes: (N + 1, D), means over the patches of the
    logits' gradients by the activations. grid: (h, w), n = h * w.
    """

    activations: torch.Tensor
    logits: torch.Tensor
    slopes: torch.Tensor
    grid: tuple[int, int]

    def of(self, chosen: torch.Tensor) -> Evidence:
        """The same for some of the texts, numbers (C,) of them, and the background."""
        rows = torch.cat([chosen, chosen.new_tensor([len(self.logits) - 1])])
        return Evidence(self.activations, self.logits[rows], self.slopes[rows], self.grid)


class CamReader(nn.Module):
    """The last block of CLIP's vision tower and what follows it, in float32 whatever the precision of the rest, since
    gradients of improbable texts vanish in half precision."""

    def __init__(self, clip: CLIP) -> None:
        super().__init__()
        vision = clip.network.vision_model
        parts = (vision.encoder.layers[-1], vision.post_layernorm, clip.network.visual_projection)
        self.block, self.norm, self.projection = (
            part if clip.dtype == torch.float32 else deepcopy(part).float() for part in parts
        )
        self._scale = clip.logit_scale

    def read(self, look: Look, texts: torch.Tensor, background: torch.Tensor) -> Evidence:
        """Unit vectors of texts (N, E) and of the background (M, E), M may be 0, against an image looked at."""
        with torch.inference_mode(False), torch.no_grad():
            tokens, texts, background = (tensor.clone() for tensor in (look.tokens, texts, background))
            activations = self.block.layer_norm1(tokens)
            attention = _Attention(self.block.self_attn, activations)
            mixed = attention.mixed.requires_grad_()
            with torch.enable_grad():
                feature = self._feature(tokens[1:], mixed)
            length = feature.detach().norm()
            unit = feature.detach() / length
            behind = self._scale * background @ unit
            rows = torch.cat([texts, (behind.softmax(dim=0) @ background)[None], unit[None]])
            gradients = torch.cat([
                attention.back(torch.autograd.grad(feature, mixed, part, retain_graph=True, is_grads_batched=True)[0])
                for part in rows.split(max(1, BACKWARD_FLOATS // (len(mixed) * self.block.mlp.fc1.out_features)))
            ]) / len(mixed)
        along = rows[:-1] @ unit
        slopes = self._scale / length * (gradients[:-1] - along[:, None] * gradients[-1])
        logits = torch.cat([self._scale * texts @ unit, behind.logsumexp(dim=0)[None]])
        return Evidence(activations[1:], logits, slopes, look.grid)

    def cosines(self, look: Look, texts: torch.Tensor) -> torch.Tensor:
        """(N, h, w) float32: cosine of each patch's own projected vector with unit vectors of texts (N, E)."""
        patches = self.projection(self.norm(pre_norm_block(self.block, look.tokens[None])[0, 1:]))
        return (texts @ F.normalize(patches, dim=-1).mT).unflatten(1, look.grid)

    def _feature(self, patches: torch.Tensor, mixed: torch.Tensor) -> torch.Tensor:
        """(E,) mean of the projected patches (n, D), to which attention brought `mixed` (n, D)."""
        tokens = patches + self.block.self_attn.out_proj(mixed)
        tokens = tokens + feed_forward(self.block.mlp, self.block.layer_norm2(tokens))
        return self.projection(self.norm(tokens).mean(dim=0))


class _Attention:
    """What n patches take from all tokens, and the way back of gradients.

    activations: (1 + n, D), class token first. mixed: (n, D), the patches' sums of values, heads side by side.
    """

    def __init__(self, attention: nn.Module, activations: torch.Tensor) -> None:
        self._linears = (attention.q_proj, attention.k_proj, attention.v_proj)
        self._heads = (attention.num_heads, -1)
        query, key, self._value = (
            linear(activations).unflatten(1, self._heads).transpose(0, 1) for linear in self._linears
        )
        self._query, self._key = query[:, 1:] * query.shape[-1] ** -0.5, key
        self._maps = (self._query @ key.mT).softmax(dim=-1)
        self.mixed = (self._maps @ self._value).transpose(0, 1).flatten(1)

    def back(self, gradients: torch.Tensor) -> torch.Tensor:
        """(K, D) the sum over the patches of the gradients by their activations, of gradients (K, n, D) by `mixed`.

        Only sums are asked for, so that nothing but a product with the maps is of their size: those of the logits
        s = query . key over queries, and over the patches' keys, where they are minus that of the class token, since
        a softmax's gradients sum to 0.
        """
        given = gradients.unflatten(2, self._heads).transpose(1, 2)
        own = (given * self.mixed.unflatten(1, self._heads).transpose(0, 1)).sum(dim=-1, keepdim=True)
        both = torch.cat([given, own], dim=-1)
        taken = self._maps.mT @ both.permute(1, 2, 0, 3).flatten(2)
        taken = taken.unflatten(2, (len(both), -1)).permute(2, 0, 1, 3)
        by_column = (taken[..., :-1] * self._value).sum(dim=-1, keepdim=True) - taken[..., -1:]
        to_class = self._maps[..., :1]
        by_row = to_class * (own - given @ self._value[:, :1].mT)
        scale = self._query.shape[-1] ** -0.5
        sums = (
            scale * (by_column * self._key).sum(dim=2),
            (by_row * self._query).sum(dim=2),
            ((1.0 - to_class) * given).sum(dim=2),
        )
        return sum(by_head.flatten(1) @ linear.weight for by_head, linear in zip(sums, self._linears))

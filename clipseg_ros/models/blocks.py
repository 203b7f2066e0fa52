# SPDX-License-Identifier: Apache-2.0
"""The transformer blocks of CLIP and of CLIPSeg's decoder as functions over transformers' modules."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F
from transformers.activations import QuickGELUActivation


def attend(attention: nn.Module, tokens: torch.Tensor, causal: bool = False) -> torch.Tensor:
    """(B, n, D) multi-head self-attention of tokens (B, n, D) by an attention module of transformers' CLIP."""
    query, key, value = _heads(attention, tokens)
    dropout = attention.dropout if attention.training else 0.0
    mixed = _mix(query, key, value, dropout, causal)
    return attention.out_proj(mixed.transpose(1, 2).flatten(2))


def attention_maps(attention: nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    """(B, n, n) float32: how much each token (row) looks at each (column), mean of the heads; rows sum to 1."""
    query, key, _ = _heads(attention, tokens)
    return _maps(query, key).float().mean(dim=1)


def attend_openly(attention: nn.Module, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What `attend` and `attention_maps` give, at the cost of one."""
    query, key, value = _heads(attention, tokens)
    maps = _maps(query, key)
    return attention.out_proj((maps @ value).transpose(1, 2).flatten(2)), maps.float().mean(dim=1)


def pre_norm_block(block: nn.Module, tokens: torch.Tensor, causal: bool = False) -> torch.Tensor:
    """(B, n, D) tokens after a block of CLIP, which normalises before it attends."""
    tokens = tokens + attend(block.self_attn, block.layer_norm1(tokens), causal)
    return tokens + feed_forward(block.mlp, block.layer_norm2(tokens))


def post_norm_block(block: nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    """(B, n, D) tokens after a block of CLIPSeg's decoder, which normalises after it attended."""
    tokens = block.layer_norm1(tokens + attend(block.self_attn, tokens))
    return block.layer_norm2(tokens + feed_forward(block.mlp, tokens))


def feed_forward(mlp: nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    """What mlp makes of tokens. Its widest activation is gated where it lies, unless gradients are wanted: to write it
    down three times over cost up to a fifth of a small network's time on a CPU, in page faults."""
    if torch.is_grad_enabled() or not isinstance(mlp.activation_fn, QuickGELUActivation):
        return mlp(tokens)
    hidden = mlp.fc1(tokens)
    return mlp.fc2(hidden.mul_((1.702 * hidden).sigmoid_()))


def _heads(attention: nn.Module, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Query, key and value, each (B, heads, n, d)."""
    linears = (attention.q_proj, attention.k_proj, attention.v_proj)
    query, key, value = (
        linear(tokens).unflatten(-1, (attention.num_heads, -1)).transpose(1, 2) for linear in linears
    )
    return query, key, value


def _mix(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, dropout: float, causal: bool) -> torch.Tensor:
    """(B, heads, n, d)."""
    if query.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
        # A CPU takes twice as long for it in bfloat16, linear layers half as long.
        with torch.autocast("cpu", enabled=False):
            return _mix(query.float(), key.float(), value.float(), dropout, causal)
    return F.scaled_dot_product_attention(query, key, value, dropout_p=dropout, is_causal=causal)


def _maps(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """(B, heads, n, n)."""
    return (query @ key.mT * query.shape[-1] ** -0.5).softmax(dim=-1)

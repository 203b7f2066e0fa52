# SPDX-License-Identifier: Apache-2.0
"""ZegCLIP's relationship descriptor and decoder: queries of text and image look at patches, the last look is the mask.

The masks are the last layer's attention before its softmax, so what follows there (its values, feed-forward and norms)
changes nothing; neither does the self-attention of queries that the authors' files hold. These have no place here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional as F

DROPOUT = 0.1  # in training, everywhere
DESCRIPTOR = "t*g,t"
"""The relationship descriptor of the published weights."""
TERMS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "t": lambda t, g: t,
    "g": lambda t, g: g.expand_as(t),
    "t*g": lambda t, g: t * g,
    "t+g": lambda t, g: t + g,
    "t-g": lambda t, g: t - g,
    "|t-g|": lambda t, g: (t - g).abs(),
}
"""What a descriptor may be made of: texts t and images' class tokens g (Table 4 of the paper)."""


class DecoderLayer(nn.Module):
    """Queries attend to patches and pass a feed-forward, each followed by its norm; they do not see each other."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, queries: torch.Tensor, patches: torch.Tensor) -> torch.Tensor:
        """(B, N, D) queries (B, N, D) after looking at patches (B, n, D)."""
        q, k, v = (
            linear(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for linear, tokens in ((self.q, queries), (self.k, patches), (self.v, patches))
        )
        found = F.scaled_dot_product_attention(q, k, v, dropout_p=DROPOUT if self.training else 0.0)
        found = self.out(found.transpose(1, 2).flatten(2))
        queries = self.norm1(queries + self._drop(found))
        return self.norm2(queries + self._drop(self.down(self._drop(F.relu(self.up(queries))))))

    def _drop(self, tokens: torch.Tensor) -> torch.Tensor:
        return F.dropout(tokens, DROPOUT, self.training)


class MaskReader(nn.Module):
    """The last layer: how much each query looks at each patch, mean of the heads' scaled products."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, queries: torch.Tensor, patches: torch.Tensor) -> torch.Tensor:
        """(B, N, n) float32 logits of queries (B, N, D) on patches (B, n, D)."""
        # The mean over heads of products of parts is the product of the whole; float32, since 50.03 is 50 in half.
        q, k = self.q(queries).float(), self.k(patches).float()
        return q @ k.mT * ((q.shape[-1] / self.heads) ** -0.5 / self.heads)


class ZegCLIPDecoder(nn.Module):
    """Texts and what the tower saw in, logits of patches out; `layers` are all but the last, which is `reader`.

    descriptor: of TERMS, with commas between. Raises ValueError where heads do not divide the width, and for what is no
    term.
    """

    def __init__(self, width: int, layers: int, heads: int, hidden: int, descriptor: str = DESCRIPTOR) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"decoder of {heads} heads: expected a divisor of the width {width} of CLIP's vectors")
        self.terms = terms_of(descriptor)
        self.descriptor = nn.Linear(len(self.terms) * width, width)
        self.layers = nn.ModuleList(DecoderLayer(width, heads, hidden) for _ in range(layers - 1))
        self.reader = MaskReader(width, heads)

    def forward(self, texts: torch.Tensor, classes: torch.Tensor, patches: torch.Tensor) -> torch.Tensor:
        """(B, N, n) float32 logits: texts (N, D), class tokens (B, D), patches (B, n, D), all unit vectors."""
        queries = self.descriptor(describe(texts, classes, self.terms))
        for layer in self.layers:
            queries = layer(queries, patches)
        return self.reader(queries, patches)

    def reset_parameters(self) -> None:
        """Draw all weights as PyTorch does, then give every layer those of the first."""
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.LayerNorm)):
                module.reset_parameters()
        for layer in self.layers[1:]:
            layer.load_state_dict(self.layers[0].state_dict())
        for first in self.layers[:1]:
            self.reader.q.load_state_dict(first.q.state_dict())
            self.reader.k.load_state_dict(first.k.state_dict())


def terms_of(descriptor: str) -> tuple[str, ...]:
    """The terms of a descriptor such as DESCRIPTOR. Raises ValueError for one that is none."""
    terms = tuple(descriptor.split(","))
    for term in terms:
        if term not in TERMS:
            raise ValueError(f"descriptor {descriptor!r}: {term!r} is none of {', '.join(TERMS)}")
    return terms


def describe(texts: torch.Tensor, classes: torch.Tensor, terms: Sequence[str] = terms_of(DESCRIPTOR)) -> torch.Tensor:
    """(B, N, len(terms) * D), one term after the other, of texts (N, D) and images' class tokens (B, D)."""
    texts = texts.expand(len(classes), -1, -1)
    return torch.cat([TERMS[term](texts, classes[:, None]) for term in terms], dim=-1)

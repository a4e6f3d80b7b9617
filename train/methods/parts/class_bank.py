"""A first-in-first-out memory of features by class; contrastive terms draw their negatives from it.

Letters: N features, E channels, C classes, B places of a class.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn


class Bank(nn.Module):
    """The latest embeddings of each class. rows (C,B,E). entered (C,) int64: how many were ever entered."""

    rows: Tensor
    entered: Tensor

    def __init__(self, num_classes: int, size: int, channels: int) -> None:
        super().__init__()
        self.register_buffer("rows", torch.zeros(num_classes, size, channels))
        self.register_buffer("entered", torch.zeros(num_classes, dtype=torch.int64))

    @property
    def kept(self) -> list[int]:
        """The number of embeddings that each class has now."""
        return self.entered.clamp(max=self.rows.shape[1]).tolist()

    def enter(self, embeddings: Tensor, classes: Tensor) -> None:
        """Add embeddings (N,E) of classes (N,), at most B per class; they replace the oldest of the class."""
        rank = rank_in_class(classes)
        self.rows[classes, (self.entered[classes] + rank) % self.rows.shape[1]] = embeddings.detach()
        self.entered += torch.bincount(classes, minlength=len(self.entered))

    def draw(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Draw up to count / C different embeddings of each class: (N,E), and their classes (N,)."""
        kept = self.kept
        quota = count // len(kept)
        chosen = [rng.permutation(number)[:quota] for number in kept]
        place = torch.from_numpy(np.concatenate(chosen)).to(self.rows.device)
        classes = torch.repeat_interleave(torch.tensor([len(places) for places in chosen])).to(place.device)
        return self.rows[classes, place], classes


def rank_in_class(classes: Tensor, rng: np.random.Generator | None = None) -> Tensor:
    """How many of its class come before each of classes (N,); in random order if `rng` is given."""
    count = len(classes)
    order = torch.arange(count) if rng is None else torch.from_numpy(rng.permutation(count))
    order = order.to(classes.device)
    by_class, sorting = classes[order].sort(stable=True)
    start = torch.searchsorted(by_class, by_class)
    rank = torch.empty_like(order)
    rank[order[sorting]] = torch.arange(count, device=order.device) - start
    return rank

"""The phrases of voxels or points, as their views voted, and what tells a good vote from a bad one.

Letters: M voxels or points, K phrases that each keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

SIGNS = ("margin", "score", "views", "distance")
"""The columns of `PhraseVotes.signs`."""

_MANY_VIEWS = 8.0  # doublings: 255 views are nearly 1
_FAR_M = 100.0


@dataclass(frozen=True)
class PhraseVotes:
    """The votes on the phrase of M voxels or points.

    phrase (M,K) int64: rows of the whole text table, the strongest first; -1 for none.
    share (M,K) float32: of all votes, 0 where there is no phrase. The shares of a row sum up to 1 at most.
    score (M,) float32: mean score, in [0,1], of the masks that voted for the strongest phrase.
    views (M,) float32: images that voted.
    distance (M,) float32: metres from the origin of the scan, where a LiDAR stands.
    """

    phrase: Tensor
    share: Tensor
    score: Tensor
    views: Tensor
    distance: Tensor

    @classmethod
    def certain(cls, phrase: Tensor) -> PhraseVotes:
        """One phrase each, phrase (M,) int64, that a single near view gave with score 1."""
        named = (phrase >= 0).float()
        return cls(phrase[:, None], named[:, None], named, named, torch.zeros_like(named))

    @classmethod
    def cat(cls, parts: Sequence[PhraseVotes]) -> PhraseVotes:
        """Those of all parts, one behind the other."""
        return cls(*(torch.cat([getattr(one, field.name) for one in parts]) for field in fields(cls)))

    def __len__(self) -> int:
        return len(self.phrase)

    def __getitem__(self, rows: Tensor | slice) -> PhraseVotes:
        """The votes of `rows`: a slice, (M,) bool, or indices int64."""
        return self._each(lambda column: column[rows])

    def to(self, device: torch.device, non_blocking: bool = False) -> PhraseVotes:
        """The same votes on `device`."""
        return self._each(lambda column: column.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> PhraseVotes:
        return self._each(Tensor.pin_memory)

    @property
    def strongest(self) -> Tensor:
        """The row of the strongest phrase, (M,) int64; -1 for none."""
        return self.phrase[:, 0]

    @property
    def is_named(self) -> Tensor:
        """Whether a voxel has a phrase, (M,) bool."""
        return self.strongest >= 0

    @property
    def signs(self) -> Tensor:
        """What may tell a good vote from a bad one: SIGNS, (M,4) float32, each in [0,1]."""
        second = self.share[:, 1] if self.share.shape[1] > 1 else torch.zeros_like(self.score)
        views = self.views.clamp(min=1).log2() / _MANY_VIEWS
        distance = self.distance.clamp(max=_FAR_M) / _FAR_M
        return torch.stack([self.share[:, 0] - second, self.score, views, distance], dim=1)

    def alone(self) -> PhraseVotes:
        """The strongest phrase with the whole share, as if no view had given another."""
        named = self.is_named.to(self.share.dtype)
        return PhraseVotes(self.phrase[:, :1], named[:, None], self.score, self.views, self.distance)

    def where(self, named: Tensor) -> PhraseVotes:
        """The same votes where `named` (M,) bool, and none elsewhere."""
        kept = self._each(lambda column: column * (named if column.dim() == 1 else named[:, None]))
        return replace(kept, phrase=self.phrase.masked_fill(~named[:, None], -1))

    def _each(self, change: Callable[[Tensor], Tensor]) -> PhraseVotes:
        return PhraseVotes(*(change(getattr(self, field.name)) for field in fields(self)))

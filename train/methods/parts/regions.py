"""Is a phrase right? Asked of whole regions, because a detector names a whole mask rightly or wrongly.

A region is the voxels of one scan in a cell of 24 x 24 voxels seen from above that have the same phrase p.
Its phrase is right with probability t, or else a random phrase of the unlabelled scans. For a voxel x, a
right phrase is

    l(x) = sum over c of teacher_T(c | x) P(c | p) / P_u(c)

times as likely as a random one. teacher_T is the teacher's belief with temperature T, and P_u the share of
class c among the voxels with a phrase, as their phrases say. The voxels of a region are alike, so together
they count as 10 at most:

    right(region) = t L / (t L + 1 - t),    L = exp(min(n, 10) mean log l)

t and T are those under which the phrases of the unlabelled scans are most likely: t by expectation and
maximisation, T from a few values. Both remember the last batches. No label is needed.
Letters: U voxels, P phrases of the text table, C classes, B buckets, T temperatures.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lass3d_core.compute import parallel
from train.methods.parts.label_prior import said
from train.methods.parts.votes import PhraseVotes

TEMPERATURES = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
CELL = 24  # voxels: about the size of a car, on the voxels of any recipe
WORTH = 10.0  # independent voxels that a region counts as, at most

# Regions are counted in a table of fixed size, by a hash, so that nothing waits for a GPU. Two regions that
# share a bucket count as one; of a thousand regions three per cent do.
_BUCKETS = 2**14
# Any large numbers, the second one odd. Not 0: of a number and its negative the bits differ too little.
_START, _ODD = 0x632BE59BD9B4E019, 0x2545F4914F6CDD1D
_FURTHEST = 20.0  # of a logarithm of L
_FIRST_SHARE, _FIRST_TEMPERATURE = 0.9, 2.0


class Judgement(NamedTuple):
    """right (U,) float32: the probability that a voxel's phrase is right; 1 where there is none.

    temperature () float32: of the teacher beside a phrase. share () float32: of the voxels with a phrase, of
    those whose phrase is right.
    """

    right: Tensor
    temperature: Tensor
    share: Tensor


def region_of(coords: Tensor, phrase: Tensor) -> Tensor:
    """The bucket (U,) int64 of each voxel's region.

    coords (U,4) int: (scan, x, y, z) in voxels. phrase (U,) int64.
    """
    cell = torch.div(coords[:, 1:3], CELL, rounding_mode="floor").long()
    mixed = torch.full_like(phrase, _START)
    for part in (coords[:, 0].long(), cell[:, 0], cell[:, 1], phrase):
        mixed = (mixed + part) * _ODD  # modulo 2^64
        mixed = mixed ^ (mixed >> 32)
    return torch.remainder(mixed, _BUCKETS)


class RegionTrust(torch.nn.Module):
    """t and T, and what follows for each region.

    share (T,) float64: t at each temperature. fit (T,) float64: mean log-likelihood of a voxel's phrase.
    met (C,) float64: voxels of each class as their phrases say. known () bool: whether a phrase was ever met.
    """

    share: Tensor
    fit: Tensor
    met: Tensor
    known: Tensor
    temperatures: Tensor

    def __init__(self, num_classes: int, horizon: float, temperature: float | None = None) -> None:
        """horizon: batches that the estimates remember. temperature: None to measure it."""
        super().__init__()
        self.decay = 1 - 1 / horizon
        values = TEMPERATURES if temperature is None else (temperature,)
        first = _FIRST_TEMPERATURE if temperature is None else temperature
        self.register_buffer("temperatures", torch.tensor(values), persistent=False)
        self.register_buffer("share", torch.full((len(values),), _FIRST_SHARE, dtype=torch.float64))
        # Until phrases have been met, the first temperature is the best. By so little that they decide then.
        ahead = 1e-9 * torch.tensor(values, dtype=torch.float64).eq(first)
        self.register_buffer("fit", ahead)
        self.register_buffer("met", torch.zeros(num_classes, dtype=torch.float64))
        self.register_buffer("known", torch.tensor(False))

    @torch.no_grad()
    def forward(self, teacher: Tensor, meaning: Tensor, votes: PhraseVotes, coords: Tensor) -> Judgement:
        """Judge the unlabelled voxels of a batch, and learn from them.

        teacher (U,C): its belief. meaning (P,C): P(class | phrase). coords (U,4) int: (scan, x, y, z).
        """
        named = votes.is_named
        self._meet(meaning, votes, named)
        met = self.met.clamp(min=1e-6)
        ratio = (meaning / (met / met.sum()).to(meaning.dtype)).clamp(min=1e-4)
        heard = said(ratio.log(), votes).exp()  # (U,C)
        bucket = region_of(coords, votes.strongest)
        voxels = teacher.new_zeros(_BUCKETS).index_add_(0, bucket, named.to(teacher.dtype))
        log_l = torch.stack([self._log_l(teacher, heard, value) for value in self.temperatures], dim=1)
        sums = teacher.new_zeros(_BUCKETS, log_l.shape[1]).index_add_(0, bucket, log_l * named.unsqueeze(1))
        worth = voxels.clamp(max=WORTH) / voxels.clamp(min=1)
        odds = (sums * worth.unsqueeze(1)).clamp(-_FURTHEST, _FURTHEST).double().exp()  # (B,T)
        likelihood = self.share * odds + (1 - self.share)
        right = self.share * odds / likelihood
        self._learn(voxels.double(), right, likelihood)
        best = self.fit.argmax(dim=0, keepdim=True)
        of_voxel = right.index_select(1, best)[bucket, 0].to(teacher.dtype)
        return Judgement(
            torch.where(named, of_voxel, 1.0),
            self.temperatures.index_select(0, best)[0],
            torch.where(self.known, self.share.index_select(0, best)[0], 0.0).float(),
        )

    def _meet(self, meaning: Tensor, votes: PhraseVotes, named: Tensor) -> None:
        """Count the classes that the phrases of a batch mean."""
        none = meaning.new_zeros(1, meaning.shape[1])  # index -1
        meant = torch.cat([meaning, none])[votes.phrase[:, 0]] * votes.share[:, :1]
        counted = torch.cat([meant.sum(dim=0).double(), named.sum().double().unsqueeze(0)])
        counted = parallel.all_reduce_sum(counted)
        self.known.logical_or_(counted[-1] > 0)
        self.met.mul_(self.decay).add_(counted[:-1])

    @staticmethod
    def _log_l(teacher: Tensor, heard: Tensor, temperature: Tensor) -> Tensor:
        """log l (U,) of each voxel."""
        log_belief = teacher.clamp(min=torch.finfo(teacher.dtype).tiny).log()
        return ((log_belief / temperature).softmax(dim=1) * heard).sum(dim=1).log()

    def _learn(self, voxels: Tensor, right: Tensor, likelihood: Tensor) -> None:
        """One step of expectation and maximisation. voxels (B,), right (B,T), likelihood (B,T)."""
        weight = voxels.unsqueeze(1)
        sums = torch.cat(
            [(weight * right).sum(0), (weight * likelihood.log()).sum(0), voxels.sum(0, keepdim=True)]
        )
        sums = parallel.all_reduce_sum(sums)
        count, values = sums[-1], len(self.temperatures)
        pace = torch.where(count > 0, 1 - self.decay, 0.0)
        found = (sums[:values] / count.clamp(min=1)).clamp(0.01, 0.99)
        self.share.add_(pace * (found - self.share))
        self.fit.add_(pace * (sums[values:-1] / count.clamp(min=1) - self.fit))

"""Histograms of a network's confidence, from which thresholds by class follow. Their size is fixed.

CBST has one threshold per class, LiM3D one per class and zone, a range of distances from the sensor.
Letters: N points, C classes, Z zones.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lass3d_core.compute import parallel


class Confidences(nn.Module):
    """The confidences of predicted classes, one histogram per zone and class.

    Decision: the bins are equally wide in log-odds, log p - log(1 - p), 50 per unit. Most confidences of a
    trained network are above 0.999. A thousand bins of equal confidence would put these into a single one.
    """

    counts: Tensor
    lowest, width, bins = -5.0, 0.02, 1000  # from 0.0067 to 1 - 3e-7

    def __init__(self, num_classes: int, zones: int = 1) -> None:
        super().__init__()
        self.register_buffer("counts", torch.zeros(zones * num_classes, self.bins, dtype=torch.int64))

    def count(self, logits: Tensor, zone: Tensor | None = None) -> None:
        """Add the points of every process. logits (N,C). zone (N,) int64; None if there is one zone."""
        logits = logits.double()
        top = logits.max(dim=1)
        of_top = torch.zeros_like(logits, dtype=torch.bool).scatter(1, top.indices.unsqueeze(1), True)
        odds = top.values - logits.masked_fill(of_top, -torch.inf).logsumexp(dim=1)
        place = ((odds - self.lowest) / self.width).floor().clamp(0, self.bins - 1).long()
        group = top.indices if zone is None else zone * logits.shape[1] + top.indices
        # Not bincount, which asks the GPU for the greatest number.
        found = torch.zeros_like(self.counts).view(-1)
        found.index_add_(0, group * self.bins + place, torch.ones_like(place))
        self.counts += parallel.all_reduce_sum(found.view_as(self.counts))

    def log_thresholds(self, portion: float) -> Tensor:
        """log thr (Z*C,) float64, zone by zone: the lower edge of the bin that holds rank floor(portion n).

        n: the number of points of a zone and class. If the rank is 0, the threshold is 1.
        """
        from_above = self.counts.flip(1).cumsum(1)
        rank = (portion * from_above[:, -1:].double()).floor()
        below = (from_above < rank).sum(dim=1)  # bins, from above, that end before the rank is reached
        edge = self.lowest + self.width * (self.bins - 1 - below).double()
        return F.logsigmoid(edge).masked_fill(rank.squeeze(1) < 1, 0.0)

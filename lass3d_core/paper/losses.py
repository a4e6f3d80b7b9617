"""The loss terms: Eq. (3), (7), (8), the mean teacher's consistency and the Lovász-softmax loss.

Every term is a mean over the points that it concerns, and exactly 0, with a graph, where it concerns none:
a batch without a reliable point must not stop a run. Where several processes train together, a term is this
process's share of the mean over the points of all: the shares add up to it. (Lovász-softmax is no mean over
points: there the share is the process's own loss over the number of processes.)
Letters: N points (or voxels), C classes, F channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lass3d_core.compute import parallel
from lass3d_core.labels import IGNORE


def cross_entropy(logits: Tensor, labels: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Cross-entropy of logits (N,C) against train ids (N,) int64, 255 ignored. Eq. (7) and Eq. (8).

    class_weights (C,): the mean is weighted by the weight of each point's class, so that equal weights of any
    size give the plain mean. Returns a scalar.
    """
    total = F.cross_entropy(logits, labels, class_weights, ignore_index=IGNORE, reduction="sum")
    counted = labels[labels != IGNORE]
    weights = torch.ones_like(counted, dtype=total.dtype) if class_weights is None else class_weights[counted]
    mass = parallel.all_reduce_sum(weights.sum())
    return total / torch.where(mass > 0, mass, 1)


def feature_kl(f_text: Tensor, f_ada: Tensor) -> Tensor:
    """KL(f_text || f_ada) of features (N,F), the mean over points. Eq. (3).

    Decision: the paper does not say what makes features a distribution: a softmax over the channels of the
    normalised features at temperature 1, summed over channels. The target f_text is detached, as in Fig. 3.
    """
    target = F.log_softmax(f_text.detach(), dim=1)
    total = F.kl_div(F.log_softmax(f_ada, dim=1), target, reduction="sum", log_target=True)
    return total / _at_least_one(len(f_text), total)


def consistency(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Mean squared difference of the two branches' probabilities (N,C), the teacher detached.

    Decision: the mean runs over points and classes, which is what the usual weights (100-250) assume.
    """
    difference = student_logits.softmax(dim=1) - teacher_logits.detach().softmax(dim=1)
    total = difference.square().sum()
    return total / _at_least_one(difference.numel(), total)


def lovasz_softmax(logits: Tensor, labels: Tensor) -> Tensor:
    """Lovász-softmax loss (Berman et al., CVPR 2018) of logits (N,C), train ids (N,), 255 ignored.

    The convex surrogate of 1 - IoU, the mean over the classes that occur in `labels`.
    """
    counted = labels != IGNORE
    probabilities, labels = logits.softmax(dim=1)[counted], labels[counted]
    present = labels.unique().tolist()
    terms = [_lovasz_of_class(probabilities[:, index], labels == index) for index in present]
    return torch.stack(terms).mean() / parallel.world_size() if terms else logits.sum() * 0.0


def _at_least_one(count: int, like: Tensor) -> Tensor:
    """The count over all processes, and 1 where that is 0."""
    return parallel.all_reduce_sum(like.new_tensor(float(count))).clamp(min=1)


def _lovasz_of_class(probability: Tensor, is_class: Tensor) -> Tensor:
    """Errors from the largest down, each weighted by what it adds to the Jaccard loss."""
    truth = is_class.to(probability.dtype)
    errors, order = (truth - probability).abs().sort(descending=True)
    truth = truth[order]
    intersection = truth.sum() - truth.cumsum(0)
    union = truth.sum() + (1.0 - truth).cumsum(0)
    jaccard = 1.0 - intersection / union
    steps = torch.diff(jaccard, prepend=jaccard.new_zeros(1))
    return torch.dot(errors, steps)

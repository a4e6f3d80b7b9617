"""The loss terms: Eq. (3), (7), (8), the mean teacher's consistency and the Lovász-softmax loss.

Every term is a mean over the points that it concerns. If it concerns none, it is exactly 0 and has a
gradient: a batch without a reliable point must not stop a run.
If several processes train together, a term is this process's share of the mean over the points of all
processes: the shares add up to the mean. Lovász-softmax is no mean over points; its share is the process's
loss divided by the number of processes.
Letters: N points (or voxels), C classes, F channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lass3d_core.compute import parallel
from lass3d_core.labels import IGNORE


def cross_entropy(logits: Tensor, labels: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Cross-entropy. Eq. (7) with labels, Eq. (8) with pseudo-labels.

    logits (N,C). labels (N,) int64: train ids, 255 is ignored.
    class_weights (C,): the mean over points is weighted by the weight of each point's class. Equal weights of
    any size give the plain mean. Returns a scalar.
    """
    total = F.cross_entropy(logits, labels, class_weights, ignore_index=IGNORE, reduction="sum")
    counted = labels[labels != IGNORE]
    weights = torch.ones_like(counted, dtype=total.dtype) if class_weights is None else class_weights[counted]
    mass = parallel.all_reduce_sum(weights.sum())
    return total / torch.where(mass > 0, mass, 1)


def feature_kl(f_text: Tensor, f_ada: Tensor) -> Tensor:
    """KL(f_text || f_ada), the mean over points. Eq. (3).

    f_text, f_ada (N,F): normalised features. The target f_text is detached, as in Fig. 3. Returns a scalar.
    Decision: the paper does not say how features become a distribution. Here it is a softmax over the
    channels at temperature 1.
    """
    target = F.log_softmax(f_text.detach(), dim=1)
    total = F.kl_div(F.log_softmax(f_ada, dim=1), target, reduction="sum", log_target=True)
    return share_of_mean(total, len(f_text))


def consistency(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Mean squared difference of the probabilities of student and teacher. The teacher is detached.

    student_logits, teacher_logits (N,C). Returns a scalar.
    Decision: the mean is over points and classes; the usual weights (100 to 250) assume this.
    """
    difference = student_logits.softmax(dim=1) - teacher_logits.detach().softmax(dim=1)
    return share_of_mean(difference.square().sum(), difference.numel())


def lovasz_softmax(logits: Tensor, labels: Tensor) -> Tensor:
    """Lovász-softmax loss (Berman et al., CVPR 2018): a convex surrogate of 1 - IoU.

    logits (N,C). labels (N,) int64: train ids, 255 is ignored. Returns the mean over the classes that occur.
    """
    counted = labels != IGNORE
    probabilities, labels = logits.softmax(dim=1)[counted], labels[counted]
    present = labels.unique().tolist()
    terms = [_lovasz_of_class(probabilities[:, index], labels == index) for index in present]
    return torch.stack(terms).mean() / parallel.world_size() if terms else logits.sum() * 0.0


def share_of_mean(total: Tensor, count: int) -> Tensor:
    """`total`, a sum over `count` terms, divided by the count of all processes, but at least by 1."""
    return total / parallel.all_reduce_sum(total.new_tensor(float(count))).clamp(min=1)


def _lovasz_of_class(probability: Tensor, is_class: Tensor) -> Tensor:
    """The sum of the errors, in descending order, each weighted by what it adds to the Jaccard loss."""
    truth = is_class.to(probability.dtype)
    errors, order = (truth - probability).abs().sort(descending=True)
    truth = truth[order]
    intersection = truth.sum() - truth.cumsum(0)
    union = truth.sum() + (1.0 - truth).cumsum(0)
    jaccard = 1.0 - intersection / union
    steps = torch.diff(jaccard, prepend=jaccard.new_zeros(1))
    return torch.dot(errors, steps)

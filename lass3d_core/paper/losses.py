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
    # No mask selects the counted labels: its length would have to be asked of a GPU.
    counted = (labels != IGNORE).to(total.dtype)
    weights = counted
    if class_weights is not None:
        weights = counted * class_weights[labels.clamp(max=len(class_weights) - 1)]
    mass = parallel.all_reduce_sum(weights.sum())
    return total / torch.where(mass > 0, mass, 1)


def feature_kl(f_text: Tensor, f_ada: Tensor, counted: Tensor | None = None) -> Tensor:
    """KL(f_text || f_ada), the mean over points. Eq. (3).

    f_text, f_ada (N,F): normalised features. The target f_text is detached, as in Fig. 3. Returns a scalar.
    counted (N,) bool: the points that the mean is over; None for all.
    Decision: the paper does not say how features become a distribution. Here it is a softmax over the
    channels at temperature 1.
    """
    target = F.log_softmax(f_text.detach(), dim=1)
    prediction = F.log_softmax(f_ada, dim=1)
    if counted is None:
        total = F.kl_div(prediction, target, reduction="sum", log_target=True)
        return share_of_mean(total, len(f_text))
    of_point = F.kl_div(prediction, target, reduction="none", log_target=True).sum(dim=1)
    return share_of_mean((of_point * counted).sum(), counted.sum())


def consistency(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Mean squared difference of the probabilities of student and teacher, (N,C). The teacher is detached.

    Decision: the mean is over points and classes; the usual weights (100 to 250) assume this.
    """
    difference = student_logits.softmax(dim=1) - teacher_logits.detach().softmax(dim=1)
    return share_of_mean(difference.square().sum(), difference.numel())


def lovasz_softmax(logits: Tensor, labels: Tensor) -> Tensor:
    """Lovász-softmax loss (Berman et al., CVPR 2018): a convex surrogate of 1 - IoU.

    logits (N,C). labels (N,) int64: train ids, 255 is ignored. Returns the mean over the classes that occur.
    """
    classes = torch.arange(logits.shape[1], device=labels.device)
    truth = (labels == classes.unsqueeze(1)).to(logits.dtype)  # (C,N)
    # An ignored point has no error. So it comes last, where it adds nothing to the sum.
    errors = (truth - logits.softmax(dim=1).T).abs() * (labels != IGNORE)
    of_class = _lovasz_of_classes(errors, truth)
    present = truth.any(dim=1)
    return (of_class * present).sum() / present.sum().clamp(min=1) / parallel.world_size()


def share_of_mean(total: Tensor, count: int | Tensor) -> Tensor:
    """`total`, a sum over `count` terms, divided by the count of all processes, but at least by 1."""
    # A tensor made from a number would be a copy to the device, which waits; a filled one is not.
    own = count.to(total.dtype) if isinstance(count, Tensor) else total.new_full((), float(count))
    return total / parallel.all_reduce_sum(own).clamp(min=1)


def _lovasz_of_classes(errors: Tensor, truth: Tensor) -> Tensor:
    """Per class the sum of the errors, from the largest on, weighted by what each adds to the Jaccard loss.

    errors, truth (C,N). Returns (C,).
    """
    errors, order = errors.sort(dim=1, descending=True)
    # Sums of integers: a GPU has no deterministic running sum of floats.
    truth = truth.gather(1, order).long()
    so_far, total = truth.cumsum(dim=1), truth.sum(dim=1, keepdim=True)
    place = torch.arange(1, truth.shape[1] + 1, device=truth.device)
    intersection, union = total - so_far, total + place - so_far
    jaccard = 1.0 - intersection / union
    steps = torch.diff(jaccard, dim=1, prepend=jaccard.new_zeros(len(jaccard), 1))
    return (errors * steps).sum(dim=1)

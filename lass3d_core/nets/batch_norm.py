"""Batch norm over the voxels of a batch, in one process or in several that train together."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lass3d_core.compute import parallel
from lass3d_core.compute.devices import has_sync_batch_norm
from lass3d_core.compute.precision import to_float32


class BatchNorm(nn.SyncBatchNorm):
    """Batch norm over voxels. With several processes the statistics are taken over the voxels of all.

    Scans of two kinds, labelled and unlabelled, may have statistics of their own: `first` of `forward`.
    A single voxel has no variance, so the running statistics normalise it.
    Parameters and buffers are those of nn.BatchNorm1d and of nn.SyncBatchNorm.

    Decision: PyTorch's SyncBatchNorm is taken where it runs, on GPUs. For the backward pass it keeps one
    tensor of the input's dtype; the form below, for CPUs, keeps three of float32. PyTorch's form also waits
    for the GPU in each layer, to leave out processes without voxels; here every process has some.
    """

    def forward(self, x: Tensor, first: int | None = None) -> Tensor:
        """x (M,C) -> (M,C) of the same dtype. The statistics are float32 or wider.

        first: rows of the first kind, which are normalised by themselves, as the rest is. None: all together.
        The running statistics take in both, one after the other, as if each were a batch of its own.
        """
        if first is None or not self.training:
            return self._of_one_kind(x)
        # `split`, not slices: its gradient is one copy.
        return torch.cat([self._of_one_kind(kind) for kind in x.split([first, len(x) - first])])

    def _of_one_kind(self, x: Tensor) -> Tensor:
        if self.training and parallel.world_size() > 1 and not has_sync_batch_norm(x.device.type):
            return self._over_all(to_float32(x)).to(x.dtype)
        if self.training and parallel.world_size() == 1 and len(x) < 2:
            return self._by_running_statistics(x)
        normalised: Tensor = super().forward(x)
        return normalised

    def _over_all(self, x: Tensor) -> Tensor:
        """x (M,C) normalised by the statistics over the x of all processes."""
        count = parallel.all_reduce_sum(torch.tensor(float(len(x)), device=x.device))
        if count < 2:
            return self._by_running_statistics(x)
        mean = parallel.all_reduce_sum_with_grad(x.sum(dim=0)) / count
        variance = parallel.all_reduce_sum_with_grad((x - mean).square().sum(dim=0)) / count
        self._remember(mean.detach(), variance.detach() * count / (count - 1))
        y = (x - mean) * torch.rsqrt(variance + self.eps)
        return y * self.weight + self.bias if self.affine else y

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        """Update the running statistics as BatchNorm1d does: the running variance is unbiased."""
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None and self.momentum is not None
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)

    def _by_running_statistics(self, x: Tensor) -> Tensor:
        statistics = self.running_mean, self.running_var
        return nn.functional.batch_norm(x, *statistics, self.weight, self.bias, eps=self.eps)

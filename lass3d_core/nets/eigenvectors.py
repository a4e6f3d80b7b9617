"""Eigenvectors of many symmetric 3x3 matrices in closed form.

A library's eigensolver treats matrices one after another, or in small batches on a GPU. A level of a scan
has a hundred thousand of them.
Letters: M matrices A, with eigenvalues l1 <= l2 <= l3.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


@torch.no_grad()
def least_eigenvector(matrices: Tensor) -> Tensor:
    """A unit eigenvector (M,3) of the least eigenvalue of each of matrices (M,3,3), in their dtype.

    The matrices are symmetric and finite. The sign is arbitrary. If the least eigenvalue is repeated, the
    result is some unit vector of its eigenspace. Computed in float64.

    With A = q I + p B, tr B = 0 and tr B^2 = 6, the eigenvalues of B are 2 cos(phi + 2 pi k / 3), where
    cos(3 phi) = det(B) / 2. One of l1 and l3 is at least sqrt(3) p away from both others: l3 if det(B) >= 0,
    else l1. Its eigenvector e is the longest cross product of two rows of A - l I, which cannot vanish. If it
    belongs to l3, the answer is found in the plane across e, where a rotation by half an arctangent
    diagonalises any symmetric 2x2 matrix. So no close pair of eigenvalues is ever subtracted.
    """
    wide = matrices.double()
    q = wide.diagonal(dim1=1, dim2=2).mean(dim=1)
    identity = torch.eye(3, dtype=wide.dtype, device=wide.device)
    around = wide - q[:, None, None] * identity
    largest = around.abs().amax(dim=(1, 2))  # scaled by it, no square below underflows
    around = around / torch.where(largest > 0, largest, 1.0)[:, None, None]
    p = (around.square().sum(dim=(1, 2)) / 6).sqrt()
    around = around / torch.where(p > 0, p, 1.0)[:, None, None]  # B; 0 for a multiple of the identity
    half = (_determinant(around) / 2).clamp(-1.0, 1.0)
    phi = half.acos() / 3
    is_greatest = half >= 0
    value = 2 * torch.where(is_greatest, phi, phi + 2 * math.pi / 3).cos()
    apart = _null_vector(around - value[:, None, None] * identity)
    across = _least_across(around, apart)
    return torch.where(is_greatest[:, None], across, apart).to(matrices.dtype)


def _determinant(matrices: Tensor) -> Tensor:
    first, second, third = matrices.unbind(dim=1)
    return (first * torch.linalg.cross(second, third)).sum(dim=1)


def _null_vector(singular: Tensor) -> Tensor:
    """A unit vector (M,3) across the rows of matrices (M,3,3) of rank 2; x for a matrix that is lower."""
    first, second, third = singular.unbind(dim=1)
    pairs = (first, second), (second, third), (third, first)
    crossed = torch.stack([torch.linalg.cross(*pair) for pair in pairs], dim=1)
    length, longest = crossed.norm(dim=2).max(dim=1)
    found = crossed.gather(1, longest[:, None, None].expand(-1, 1, 3)).squeeze(1)
    x = torch.eye(3, dtype=found.dtype, device=found.device)[0]
    return torch.where(length[:, None] > 0, found / torch.where(length > 0, length, 1.0)[:, None], x)


def _least_across(matrices: Tensor, axis: Tensor) -> Tensor:
    """The eigenvector (M,3) of the lesser eigenvalue of matrices (M,3,3) in the plane across axis (M,3)."""
    # The basis vector that the axis leans to least: its cross product with the axis is at least 0.8 long.
    least = axis.abs().argmin(dim=1, keepdim=True)
    u = torch.linalg.cross(axis, torch.zeros_like(axis).scatter_(1, least, 1.0))
    u = u / u.norm(dim=1, keepdim=True)
    v = torch.linalg.cross(axis, u)
    of_u, of_v = (matrices @ u[:, :, None]).squeeze(2), (matrices @ v[:, :, None]).squeeze(2)
    uu, uv, vv = (u * of_u).sum(dim=1), (u * of_v).sum(dim=1), (v * of_v).sum(dim=1)
    turn = torch.atan2(2 * uv, uu - vv) / 2  # from u to the greater eigenvector
    return torch.cos(turn)[:, None] * v - torch.sin(turn)[:, None] * u

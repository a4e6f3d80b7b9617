from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from lass3d_core.nets.eigenvectors import least_eigenvector


def matrices_of(values: Tensor, seed: int) -> Tensor:
    """Symmetric matrices (M,3,3) float64 with the eigenvalues (M,3), in random directions."""
    drawn = torch.randn(len(values), 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    directions = torch.linalg.qr(drawn).Q
    return directions @ torch.diag_embed(values) @ directions.transpose(1, 2)


def misses(matrices: Tensor, vectors: Tensor) -> Tensor:
    """|A v - l1 v| as a share of the greatest eigenvalue, (M,): 0 for each vector of l1's eigenspace."""
    wide, v = matrices.double(), vectors.double()
    values = torch.linalg.eigvalsh(wide)
    away = (wide @ v[:, :, None]).squeeze(2) - values[:, :1] * v
    return away.norm(dim=1) / values.abs().amax(dim=1).clamp(min=1e-300)


# Numbers that are still normal after `power`, or 0.
VALUE = st.floats(-1.0, 1.0).map(lambda value: value if abs(value) > 1e-290 else 0.0)


@settings(max_examples=60, deadline=None)
@example([(0.0, 7.60640055754134e-249, 7.60640055754134e-249)], 0, 0.0)
@given(
    st.lists(st.tuples(*[VALUE] * 3), min_size=1, max_size=20),
    st.integers(0, 2**31),
    st.floats(-12.0, 12.0),
)
def test_it_is_the_eigenvector_of_torch_s_least_eigenvalue(values, seed: int, power: float) -> None:
    """Up to its sign where the eigenvalue is single, and at any scale."""
    given_values = torch.tensor(values, dtype=torch.float64) * 10.0**power
    matrices = matrices_of(given_values, seed)
    found = least_eigenvector(matrices)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(len(values), dtype=torch.float64))
    assert float(misses(matrices, found).max()) < 1e-12
    first, second, third = torch.linalg.eigvalsh(matrices).unbind(dim=1)
    single = second - first > 1e-3 * (third - first).clamp(min=1e-300) + 1e-6 * third.abs()
    expected = torch.linalg.eigh(matrices).eigenvectors[:, :, 0]
    alignment = (found * expected).sum(dim=1).abs()
    torch.testing.assert_close(alignment[single], torch.ones_like(alignment[single]))


@pytest.mark.parametrize(
    "values",
    [
        (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, 1.0, 1.0), (-1.0, -1.0, 2.0),
        (-2.0, 1.0, 1.0), (1.0, 1.0 + 1e-15, 3.0), (1.0, 3.0, 3.0 + 1e-15), (1e-9, 2e-9, 1.0),
        (-1.0, 0.0, 1.0),
    ],
)  # fmt: skip
def test_repeated_and_nearly_repeated_eigenvalues_give_a_vector_of_the_eigenspace(values) -> None:
    """Of a line, a plane, a ball, a point; -1, 0, 1 has the determinant 0, where the cases meet."""
    matrices = matrices_of(torch.tensor([values] * 40, dtype=torch.float64), seed=1)
    found = least_eigenvector(matrices)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(40, dtype=torch.float64))
    assert float(misses(matrices, found).max()) < 1e-14


def test_matrices_along_the_axes_are_exact() -> None:
    for least in range(3):
        values = torch.full((3,), 2.0)
        values[least] = 1.0
        found = least_eigenvector(torch.diag(values)[None])
        assert found.abs().tolist() == [[float(axis == least) for axis in range(3)]]
        assert found.dtype == torch.float32


def test_float32_scatter_of_points_is_as_good_as_by_torch() -> None:
    """Planes, lines and balls of 8 points each, with noise of float32."""
    rng = np.random.default_rng(0)
    for spread in ((1, 1, 1e-3), (1, 1e-3, 1e-3), (1, 1, 1), (1, 1e-4, 1e-6)):
        points = torch.from_numpy(rng.normal(size=(500, 8, 3)) * spread).float()
        matrices = points.transpose(1, 2) @ points / 8
        ours, theirs = least_eigenvector(matrices), torch.linalg.eigh(matrices).eigenvectors[:, :, 0]
        assert float(misses(matrices, ours).max()) <= float(misses(matrices, theirs).max()) + 1e-7


def test_no_matrix_gives_no_vector() -> None:
    assert least_eigenvector(torch.zeros(0, 3, 3)).shape == (0, 3)

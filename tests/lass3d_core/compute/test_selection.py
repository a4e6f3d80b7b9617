from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from lass3d_core.compute.selection import first_equal, true_places
from lass3d_core.compute.synchronisations import counted_synchronisations


@given(st.lists(st.booleans(), max_size=20))
def test_true_places_are_those_of_nonzero(values: list[bool]) -> None:
    mask = torch.tensor(values, dtype=torch.bool)
    assert torch.equal(true_places(mask, sum(values)), mask.nonzero().squeeze(1))


@given(st.lists(st.tuples(st.integers(0, 1), st.sampled_from([0.0, -0.0, 1e-30])), max_size=8))
def test_first_equal_is_the_first_row_with_the_same_values(values: list[tuple[int, float]]) -> None:
    rows = torch.tensor(values, dtype=torch.float32).view(-1, 2)
    expected = [next(i for i, other in enumerate(values) if other == one) for one in values]
    assert first_equal(rows).tolist() == expected


def test_neither_waits_for_a_gpu() -> None:
    mask, rows = torch.tensor([True, False, True]), torch.zeros(3, 2)
    with counted_synchronisations() as found:
        true_places(mask, 2)
        first_equal(rows)
    assert not found

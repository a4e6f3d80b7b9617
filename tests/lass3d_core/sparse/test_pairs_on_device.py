from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from lass3d_core.sparse.pairs_on_device import places_of


@given(st.lists(st.booleans(), max_size=20), st.integers(0, 5))
def test_places_are_those_of_nonzero_with_zeros_behind(mask: list[bool], more: int) -> None:
    wanted = [place for place, true in enumerate(mask) if true]
    found = places_of(torch.tensor(mask, dtype=torch.bool), len(wanted) + more)
    assert found.tolist() == wanted + [0] * more

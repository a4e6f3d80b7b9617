from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lass3d_core.nets.components import components_on_device, components_on_host, connected_components

BOTH = pytest.mark.parametrize("components", [components_on_host, components_on_device])


@BOTH
def test_components_by_hand_are_numbered_by_their_least_nodes(components) -> None:
    """0 - 3 - 5, 1 alone, 2 - 4."""
    first, second = torch.tensor([3, 3, 4]), torch.tensor([5, 0, 2])
    assert components(first, second, 6).tolist() == [0, 1, 2, 0, 2, 0]


@BOTH
def test_a_graph_without_edges_or_without_nodes_has_its_nodes(components) -> None:
    none = torch.empty(0, dtype=torch.int64)
    assert components(none, none, 3).tolist() == [0, 1, 2]
    assert components(none, none, 0).tolist() == []


@BOTH
def test_a_long_chain_in_a_shuffled_order_is_one(components) -> None:
    order = torch.randperm(2000, generator=torch.Generator().manual_seed(0))
    assert not components(order[:-1], order[1:], 2000).any()


@settings(max_examples=100, deadline=None)
@given(st.data(), st.integers(1, 40))
def test_all_nodes_at_once_find_what_a_search_finds(data: st.DataObject, nodes: int) -> None:
    edge = st.tuples(st.integers(0, nodes - 1), st.integers(0, nodes - 1))
    edges = torch.tensor(data.draw(st.lists(edge, max_size=60)), dtype=torch.int64).view(-1, 2)
    first, second = edges.unbind(dim=1)
    found = components_on_device(first, second, nodes)
    assert found.tolist() == components_on_host(first, second, nodes).tolist()
    assert found.tolist() == connected_components(first, second, nodes).tolist()

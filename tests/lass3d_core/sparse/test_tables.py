"""Tables made from a kernel map: against a loop over the pairs, made once, and freed with the map."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from lass3d_core.sparse.maps import KernelMap, build_pyramid
from lass3d_core.sparse.tables import OncePerMap, first_pairs, make_gather_table


def maps(count: int = 60) -> dict[str, KernelMap]:
    cells = torch.randperm(6**3, generator=torch.Generator().manual_seed(count))[:count]
    x, y, z = torch.unravel_index(cells, (6, 6, 6))
    pyramid = build_pyramid(torch.stack([torch.zeros_like(x), x, y, z], dim=1).int(), 2)
    down = pyramid.stride[0]
    return {"submanifold": pyramid.submanifold[0], "strided": down, "transposed": down.transposed()}


def meetings(pairs: KernelMap) -> set[tuple[int, int, int]]:
    """(offset, source, target) of every pair, the centre's included."""
    offsets = itertools.chain.from_iterable([k] * count for k, count in enumerate(pairs.counts))
    listed = set(zip(offsets, pairs.source.tolist(), pairs.target.tolist(), strict=True))
    rows = len(pairs.by_target.offsets) - 1
    return listed | {(pairs.centre, row, row) for row in range(rows) if pairs.centre is not None}


@pytest.mark.parametrize("count", [0, 1, 60, 6**3])
@pytest.mark.parametrize("kind", ["submanifold", "strided", "transposed"])
def test_gather_table_lists_every_pair_once(kind: str, count: int) -> None:
    pairs = maps(count)[kind]
    table = make_gather_table(pairs)
    found = [
        (offset, source, target)
        for offset, sources in enumerate(table.sources.tolist())
        for source, target in zip(sources, table.rows.tolist(), strict=True)
        if source >= 0
    ]
    assert len(found) == len(set(found)) and set(found) == meetings(pairs)
    assert sorted(table.rows.tolist()) == list(range(len(pairs.by_target.offsets) - 1))
    assert table.sources.dtype == table.rows.dtype == torch.int32


def test_rows_with_the_same_offsets_are_neighbours() -> None:
    sources = make_gather_table(maps()["submanifold"]).sources
    patterns = [tuple(column) for column in (sources.t() >= 0).tolist()]
    runs = [pattern for pattern, _ in itertools.groupby(patterns)]
    assert len(runs) == len(set(runs))


def test_transposed_rows_of_one_octant_are_neighbours() -> None:
    pairs = maps()["transposed"]
    octants = (make_gather_table(pairs).sources >= 0).int().argmax(dim=0).tolist()
    assert octants == sorted(octants)


def test_transposing_a_3x3x3_map_moves_the_pairs_to_the_opposite_offset() -> None:
    # The gradient of x relies on it: it uses the table of the map itself, with the offsets reversed.
    pairs = maps()["submanifold"]
    mirrored = {(26 - k, source, target) for k, source, target in meetings(pairs)}
    assert mirrored == meetings(pairs.transposed())


def test_first_pairs_are_the_running_sum_of_the_counts() -> None:
    pairs = maps()["strided"]
    starts = first_pairs(pairs)
    assert starts.dtype == torch.int32 and starts[-1] == len(pairs.source)
    assert starts.diff().tolist() == list(pairs.counts)


def counted() -> tuple[OncePerMap[Tensor], list[KernelMap]]:
    made: list[KernelMap] = []

    def make(pairs: KernelMap) -> Tensor:
        made.append(pairs)
        return pairs.source.clone()

    return OncePerMap(make), made


def test_a_table_is_made_once_per_map_and_direction() -> None:
    table, made = counted()
    pairs = maps()["strided"]
    first, turned = table(pairs), table(pairs.transposed())
    assert table(pairs) is first and table(pairs.transposed()) is turned
    assert table(pairs.transposed().transposed()) is first
    assert len(made) == 2


def test_another_source_with_the_same_target_is_another_map() -> None:
    table, _ = counted()
    pairs = maps()["strided"]
    other = replace(pairs, source=pairs.source.flip(0))
    assert torch.equal(table(pairs), pairs.source)
    assert torch.equal(table(other), other.source)


def test_a_table_goes_with_its_map() -> None:
    table = OncePerMap(make_gather_table)
    pairs = maps()["strided"]
    table(pairs), table(pairs.transposed())
    assert len(table) == 2
    del pairs
    assert len(table) == 0

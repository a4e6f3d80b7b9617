from __future__ import annotations

import itertools
import pickle
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lass3d_core.compute.synchronisations import counted_synchronisations
from lass3d_core.errors import DataError
from lass3d_core.sparse.maps import (
    CsrPairs,
    KernelMap,
    KernelPyramid,
    build_pyramid,
    pyramid_of,
    pyramid_of_rest,
    unbuilt_pyramid,
)
from lass3d_core.sparse.pairs_on_device import offsets_on_device, pairs_on_device

Row = tuple[int, int, int, int]
Pair = tuple[int, int, int]
Build = Callable[..., KernelPyramid]


def build_as_on_a_gpu(coords: torch.Tensor, levels: int, first_scans: int | None = None) -> KernelPyramid:
    """What `build_pyramid` does on a GPU, where no voxels are the host's work."""
    if not len(coords):
        return build_pyramid(coords, levels, first_scans)
    return pyramid_of(pairs_on_device(coords, levels, first_scans), offsets_on_device, first_scans)


both_ways = pytest.mark.parametrize("build", [build_pyramid, build_as_on_a_gpu])


def random_coords(seed: int, count: int, span: int = 6, batches: int = 3, low: int = -3) -> torch.Tensor:
    """Distinct rows in a random order, some of them negative."""
    generator = torch.Generator().manual_seed(seed)
    cells = batches * span**3
    chosen = torch.randperm(cells, generator=generator)[:count]
    places = torch.unravel_index(chosen, (batches, span, span, span))
    coords = torch.stack(places, dim=1).int()
    coords[:, 1:] += low
    return coords


def pairs_of(kernel_map: KernelMap) -> list[Pair]:
    """(offset, source, target) of every pair in the list."""
    offsets = itertools.chain.from_iterable([k] * count for k, count in enumerate(kernel_map.counts))
    return list(zip(offsets, kernel_map.source.tolist(), kernel_map.target.tolist(), strict=True))


def brute_submanifold(coords: torch.Tensor) -> set[Pair]:
    row_of = {tuple(row): index for index, row in enumerate(coords.tolist())}
    pairs = set()
    for (batch, x, y, z), target in row_of.items():
        for offset, (dx, dy, dz) in enumerate(itertools.product((-1, 0, 1), repeat=3)):
            source = row_of.get((batch, x + dx, y + dy, z + dz))
            if source is not None and offset != 13:
                pairs.add((offset, source, target))
    return pairs


def brute_stride(coords: torch.Tensor) -> tuple[list[Row], set[Pair]]:
    parents = [(b, x // 2, y // 2, z // 2) for b, x, y, z in coords.tolist()]
    coarse = sorted(set(parents))
    octants = [4 * (x % 2) + 2 * (y % 2) + z % 2 for _, x, y, z in coords.tolist()]
    return coarse, {(k, row, coarse.index(parent)) for row, (k, parent) in enumerate(zip(octants, parents))}


def assert_bags_group(bags: CsrPairs, rows: torch.Tensor, count: int) -> None:
    """Every position stands once, in the bag of its row."""
    assert len(bags.offsets) == count + 1
    assert sorted(bags.positions.tolist()) == list(range(len(rows)))
    for row in range(count):
        inside = bags.positions[bags.offsets[row] : bags.offsets[row + 1]].long()
        assert (rows[inside] == row).all()


@both_ways
@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 120), st.sampled_from([2, 4, 6]))
def test_maps_equal_a_brute_force_twin(build: Build, seed: int, count: int, span: int) -> None:
    coords = random_coords(seed, count, span)
    pyramid = build(coords, 3)
    for kernel_map in (*pyramid.submanifold, *pyramid.stride):
        assert kernel_map.ends.tolist() == list(itertools.accumulate(kernel_map.counts))
    for level, kernel_map in enumerate(pyramid.submanifold):
        level_coords = pyramid.coords[level]
        found = pairs_of(kernel_map)
        assert len(found) == len(set(found)) and set(found) == brute_submanifold(level_coords)
        assert_bags_group(kernel_map.by_target, kernel_map.target, len(level_coords))
        assert_bags_group(kernel_map.by_source, kernel_map.source, len(level_coords))
    for level, kernel_map in enumerate(pyramid.stride):
        fine, coarse = pyramid.coords[level], pyramid.coords[level + 1]
        expected_coords, expected_pairs = brute_stride(fine)
        assert [tuple(row) for row in coarse.tolist()] == expected_coords
        assert set(pairs_of(kernel_map)) == expected_pairs
        assert_bags_group(kernel_map.by_target, kernel_map.target, len(coarse))
        assert_bags_group(kernel_map.by_source, kernel_map.source, len(fine))


@both_ways
def test_order_of_rows_only_renames_them(build: Build) -> None:
    coords = random_coords(0, 80)
    order = torch.randperm(80, generator=torch.Generator().manual_seed(5))
    straight, shuffled = (
        build(coords, 1).submanifold[0],
        build(coords[order], 1).submanifold[0],
    )
    renamed = {(k, int(order[source]), int(order[target])) for k, source, target in pairs_of(shuffled)}
    assert renamed == set(pairs_of(straight))


@both_ways
def test_neighbours_in_different_scans_do_not_meet(build: Build) -> None:
    coords = torch.tensor([[0, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 1]], dtype=torch.int32)
    pyramid = build(coords, 2)
    assert set(pairs_of(pyramid.submanifold[0])) == {(14, 2, 1), (12, 1, 2)}
    assert pyramid.coords[1].tolist() == [[0, 0, 0, 0], [1, 0, 0, 0]]


@both_ways
def test_far_ends_of_the_box_do_not_meet(build: Build) -> None:
    coords = torch.tensor([[0, 0, 0, 9], [0, 0, 1, 0], [0, 1, -9, 0], [1, -9, -9, 0]], dtype=torch.int32)
    assert build(coords, 1).submanifold[0].counts == (0,) * 27


@both_ways
def test_negative_voxels_have_the_parent_below_them(build: Build) -> None:
    coords = torch.tensor([[0, -1, -1, -1], [0, -2, -2, -2], [0, -3, 0, 1]], dtype=torch.int32)
    pyramid = build(coords, 2)
    assert pyramid.coords[1].tolist() == [[0, -2, 0, 0], [0, -1, -1, -1]]
    assert set(pairs_of(pyramid.stride[0])) == {(7, 0, 1), (0, 1, 1), (5, 2, 0)}


@both_ways
def test_one_voxel_meets_nothing_and_has_one_parent(build: Build) -> None:
    pyramid = build(torch.tensor([[2, -5, 7, 3]], dtype=torch.int32), 4)
    assert [len(coords) for coords in pyramid.coords] == [1, 1, 1, 1]
    assert all(sum(kernel_map.counts) == 0 for kernel_map in pyramid.submanifold)
    assert [pairs_of(kernel_map) for kernel_map in pyramid.stride] == [[(7, 0, 0)], [(7, 0, 0)], [(2, 0, 0)]]


@both_ways
def test_no_voxels_have_empty_maps(build: Build) -> None:
    pyramid = build(torch.empty(0, 4, dtype=torch.int32), 3)
    assert [coords.shape for coords in pyramid.coords] == [(0, 4)] * 3
    assert all(pairs_of(kernel_map) == [] for kernel_map in (*pyramid.submanifold, *pyramid.stride))


@both_ways
def test_equal_rows_are_refused(build: Build) -> None:
    twice = torch.tensor([[0, 1, 1, 1], [0, 0, 0, 0], [0, 1, 1, 1]], dtype=torch.int32)
    with pytest.raises(DataError, match="same coordinates"):
        build(twice, 1)


def test_transposing_exchanges_source_and_target() -> None:
    down = build_pyramid(random_coords(3, 60), 2).stride[0]
    up = down.transposed()
    assert {(k, target, source) for k, source, target in pairs_of(down)} == set(pairs_of(up))
    assert up.by_target is down.by_source and up.by_source is down.by_target


@both_ways
def test_a_box_of_too_many_cells_is_refused(build: Build) -> None:
    far = torch.tensor([[0, 0, 0, 0], [0, 2**30, 2**30, 2**30]], dtype=torch.int32)
    with pytest.raises(DataError, match="too many; crop the scan"):
        build(far, 2)


def all_tensors(pyramid: KernelPyramid) -> list[torch.Tensor]:
    tensors = list(pyramid.coords)
    for kernel_map in (*pyramid.submanifold, *pyramid.stride):
        tensors += [kernel_map.source, kernel_map.target, kernel_map.ends]
        for bags in (kernel_map.by_target, kernel_map.by_source):
            tensors += [bags.positions, bags.offsets]
    return tensors


def assert_same(left: KernelPyramid, right: KernelPyramid) -> None:
    assert all(
        torch.equal(a, b) and a.dtype == b.dtype
        for a, b in zip(all_tensors(left), all_tensors(right), strict=True)
    )
    for a, b in zip((*left.submanifold, *left.stride), (*right.submanifold, *right.stride), strict=True):
        assert (a.counts, a.centre) == (b.counts, b.centre)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 300), st.integers(1, 4))
def test_host_and_gpu_build_the_same_to_the_last_bit(seed: int, count: int, levels: int) -> None:
    coords = random_coords(seed, count)
    assert_same(build_pyramid(coords, levels), build_as_on_a_gpu(coords, levels))


@both_ways
@pytest.mark.parametrize("first_scans", [0, 1, 2, 3])
def test_the_first_scans_have_the_first_rows_of_every_level(build: Build, first_scans: int) -> None:
    coords = random_coords(3, 120)
    coords = coords[coords[:, 0].argsort(stable=True)]
    pyramid = build(coords, 4, first_scans)
    for of_level, rows in zip(pyramid.coords, pyramid.first_rows, strict=True):
        assert (of_level[:rows, 0] < first_scans).all() and (of_level[rows:, 0] >= first_scans).all()
    assert build(coords, 4).first_rows == (None,) * 4


@pytest.mark.parametrize("levels", [1, 5])
def test_a_gpu_tells_all_sizes_in_one_transfer(levels: int) -> None:
    with counted_synchronisations() as places:
        build_as_on_a_gpu(random_coords(2, 200), levels, first_scans=1)
    assert places == {"lass3d_core/sparse/pairs_on_device.py tolist": 1}


@pytest.mark.parametrize("levels", [1, 3])
def test_an_unbuilt_pyramid_is_built_where_it_is_moved(levels: int) -> None:
    coords = random_coords(4, 50)
    sent = unbuilt_pyramid(coords, levels, first_scans=2)
    assert (sent.levels, len(all_tensors(sent))) == (levels, 1)
    received = pickle.loads(pickle.dumps(sent))
    assert received.levels == levels
    built = build_pyramid(coords, levels, first_scans=2)
    assert_same(received.to("cpu"), built)
    assert received.to("cpu").first == pickle.loads(pickle.dumps(built)).first == built.first


@pytest.mark.parametrize("count", [0, 1, 90])
def test_pickled_pyramid_comes_back_as_one_tensor(count: int) -> None:
    pyramid = build_pyramid(random_coords(1, count), 3)
    returned = pickle.loads(pickle.dumps(pyramid))
    assert_same(pyramid, returned)
    assert len({tensor.untyped_storage().data_ptr() for tensor in all_tensors(returned)}) == 1


def test_pyramid_on_its_own_device_is_itself() -> None:
    pyramid = build_pyramid(random_coords(1, 20), 2)
    assert pyramid.to("cpu") is pyramid
    assert pyramid.to(torch.device("meta")).submanifold[0].source.device.type == "meta"
    assert pyramid.to("meta").levels == 2


class _Pyramids(torch.utils.data.Dataset):
    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> KernelPyramid:
        return build_pyramid(random_coords(index, 40), 2)


def test_loader_worker_hands_over_the_same_maps() -> None:
    loader = torch.utils.data.DataLoader(_Pyramids(), batch_size=None, num_workers=1)
    for index, pyramid in enumerate(loader):
        assert_same(pyramid, _Pyramids()[index])


def test_the_pyramid_of_the_rest_is_that_of_the_other_scans_alone() -> None:
    coords = torch.cat([torch.tensor([[scan, 0, 0, z] for z in range(3 + scan)]) for scan in range(3)]).int()
    rest = pyramid_of_rest(build_pyramid(coords, 2, first_scans=1))
    expected = coords[3:] - torch.tensor([1, 0, 0, 0], dtype=torch.int32)
    assert torch.equal(rest.coords[0], expected) and rest.levels == 2 and rest.first is None
    assert torch.equal(rest.coords[1], build_pyramid(expected, 2).coords[1])

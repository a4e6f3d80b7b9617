"""Labelled subsets: published sizes, nesting, lists, and every way in which they can be wrong."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lass3d_core.errors import CorruptArtifact, DataError, MissingArtifact
from lass3d_core.files.splits import (
    LabelledSplit,
    contiguous_choice,
    labelled_split,
    nested_choice,
    read_list,
)
from lass3d_core.manifest.schema import LabelledSpec

NESTED = LabelledSpec()
SEQUENCES = {"00": 4541, "01": 1101, "02": 4661, "03": 801, "04": 271, "05": 2761, "06": 1101, "07": 1101}
SEQUENCES |= {"09": 1591, "10": 1201}
SEMANTICKITTI = tuple(f"{name}/{frame:06d}" for name, count in SEQUENCES.items() for frame in range(count))
GPC = LabelledSpec("contiguous", order=("09", "07", "05", "10", "02"), name="contiguous (GPC)")
TEN = tuple(f"00/{frame:06d}" for frame in range(10))


@pytest.mark.parametrize(("ratio", "count"), [(1, 191), (10, 1913), (20, 3826), (50, 9565), (100, 19130)])
def test_semantickitti_sizes_are_the_published_ones(ratio: float, count: int) -> None:
    assert len(SEMANTICKITTI) == 19130
    split = labelled_split(NESTED, SEMANTICKITTI, ratio, seed=0)
    assert len(split.labelled) == count
    assert sorted(split.labelled + split.unlabelled) == sorted(SEMANTICKITTI)


@settings(max_examples=50, deadline=None)
@given(
    count=st.integers(1, 300),
    seed=st.integers(0, 99),
    ratios=st.tuples(st.integers(1, 10000), st.integers(1, 10000)).map(sorted),
)
def test_a_smaller_choice_is_part_of_a_larger_one(count: int, seed: int, ratios: list[int]) -> None:
    scans = tuple(f"{i}" for i in range(count))
    small, large = (ratio / 100 for ratio in ratios)
    if ratios[0] * count < 10000:
        with pytest.raises(DataError, match="labels none"):
            nested_choice(scans, small, seed)
        return
    few, many = nested_choice(scans, small, seed), nested_choice(scans, large, seed)
    assert many[: len(few)] == few and len(set(many)) == len(many)
    assert (len(few), len(many)) == tuple(ratio * count // 10000 for ratio in ratios)


def test_the_choice_depends_on_the_seed_and_on_nothing_else() -> None:
    assert nested_choice(SEMANTICKITTI, 1, 3) == nested_choice(tuple(reversed(SEMANTICKITTI)), 1, 3)
    assert nested_choice(SEMANTICKITTI, 1, 3) != nested_choice(SEMANTICKITTI, 1, 4)
    assert nested_choice(TEN, 50, 0) == tuple(f"00/{frame:06d}" for frame in (3, 2, 1, 8, 6)), (
        "the choice moved"
    )


def test_the_choice_is_spread_over_the_whole_data_set() -> None:
    positions = np.array([SEMANTICKITTI.index(scan) for scan in nested_choice(SEMANTICKITTI, 1, 0)])
    assert np.all(np.histogram(positions, bins=4, range=(0, 19130))[0] > 191 / 8)


@pytest.mark.parametrize("ratio", [0, -1, 100.5, float("nan"), float("inf")])
def test_a_ratio_outside_the_percentages_is_refused(ratio: float) -> None:
    with pytest.raises(DataError, match=r"must lie in \(0, 100\]"):
        labelled_split(NESTED, TEN, ratio, seed=0)


def test_a_ratio_that_labels_no_scan_names_the_smallest_that_does() -> None:
    with pytest.raises(DataError, match=r"1 % of 10 training scans labels none; the smallest .* is 10$"):
        labelled_split(NESTED, TEN, 1, seed=0)
    with pytest.raises(DataError, match=r"is 33\.34$"):
        labelled_split(NESTED, TEN[:3], 20, seed=0)
    assert len(labelled_split(NESTED, TEN[:3], 33.34, seed=0).labelled) == 1
    with pytest.raises(DataError, match="no training scans"):
        labelled_split(NESTED, (), 20, seed=0)


def test_scans_without_labels_are_never_chosen() -> None:
    split = labelled_split(NESTED, TEN, 50, seed=0, without_labels=TEN[:5])
    assert split.labelled == TEN[5:] and split.unlabelled == TEN[:5]
    with pytest.raises(
        DataError, match=r"60 % are 6 scans, but only 5 have labels; the ratio 50 takes all of them"
    ):
        labelled_split(NESTED, TEN, 60, seed=0, without_labels=TEN[:5])


def lists(tmp_path: Path, text: str, ratio: str = "20") -> LabelledSpec:
    path = tmp_path / "list.txt"
    path.write_text(text)
    return LabelledSpec("lists", {ratio: path})


def test_a_published_list_decides(tmp_path: Path) -> None:
    spec = lists(tmp_path, "00/000007\n00/000002\r\n\n")
    split = labelled_split(spec, TEN, 20.0, seed=5)
    assert split.labelled == ("00/000002", "00/000007") and len(split.unlabelled) == 8
    assert read_list(spec.lists["20"], TEN) == ("00/000007", "00/000002")


def test_everything_wrong_in_a_list_is_one_line(tmp_path: Path) -> None:
    spec = lists(tmp_path, "00/000001\n00/000001\n99/000000\n00/000003\n")
    with pytest.raises(DataError) as caught:
        labelled_split(spec, TEN, 20, seed=0, without_labels=["00/000003"])
    message = str(caught.value)
    assert "\n" not in message and "list.txt" in message
    assert "'00/000001' (lines 1 and 2) is repeated" in message
    assert "'99/000000' (line 3) is not among the training scans" in message
    assert "'00/000003' (line 4) is without labels" in message


def test_an_empty_an_absent_and_an_unlisted_list_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="names no scan"):
        labelled_split(lists(tmp_path, "\n"), TEN, 20, seed=0)
    with pytest.raises(DataError, match=r"no\.txt does not exist"):
        labelled_split(LabelledSpec("lists", {"20": tmp_path / "no.txt"}), TEN, 20, seed=0)
    with pytest.raises(DataError, match="no labelled list for 10 %; the manifest has 20"):
        labelled_split(lists(tmp_path, TEN[0]), TEN, 10, seed=0)


def test_sequences_are_filled_in_their_order_each_from_its_first_scan_on() -> None:
    """Three scans of "b", which comes first in the order, then "a" from its start: 70 % of ten are seven."""
    scans = ("a/2", "c/0", "b/1", "a/0", "c/1", "b/0", "a/3", "b/2", "a/1", "c/2")
    assert contiguous_choice(scans, 70, ("b", "a")) == ("b/0", "b/1", "b/2", "a/0", "a/1", "a/2", "a/3")
    assert contiguous_choice(scans, 40, ("b", "a")) == ("b/0", "b/1", "b/2", "a/0")
    assert contiguous_choice(scans, 40, ("b", "a"), without_labels=["b/1"]) == ("b/0", "b/2", "a/0", "a/1")


@pytest.mark.parametrize(("ratio", "count"), [(5, 956), (10, 1913), (20, 3826), (30, 5739), (40, 7652)])
def test_gpc_s_contiguous_sizes_are_the_published_ones_whatever_the_seed(ratio: float, count: int) -> None:
    split = labelled_split(GPC, SEMANTICKITTI, ratio, seed=0)
    assert len(split.labelled) == count
    assert split.labelled == labelled_split(GPC, SEMANTICKITTI, ratio, seed=7).labelled
    assert sorted(split.labelled + split.unlabelled) == sorted(SEMANTICKITTI)


def test_five_percent_of_gpc_are_the_first_scans_of_sequence_09() -> None:
    split = labelled_split(GPC, SEMANTICKITTI, 5, seed=0)
    assert split.labelled == tuple(f"09/{frame:06d}" for frame in range(956))
    ten = contiguous_choice(SEMANTICKITTI, 10, GPC.order)
    assert ten[:1591] == tuple(f"09/{frame:06d}" for frame in range(1591))
    assert ten[1591:] == tuple(f"07/{frame:06d}" for frame in range(1913 - 1591))


@settings(max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=6), ratio=st.integers(1, 100), data=st.data()
)
def test_a_contiguous_choice_takes_a_prefix_of_each_sequence_and_all_of_those_before_the_last(
    lengths: list[int], ratio: int, data: st.DataObject
) -> None:
    scans = [f"{name}/{frame:06d}" for name, count in enumerate(lengths) for frame in range(count)]
    order = data.draw(st.permutations([str(name) for name in range(len(lengths))]))
    count = len(scans) * ratio // 100
    if not count:
        with pytest.raises(DataError, match="labels none"):
            contiguous_choice(scans, ratio, order)
        return
    chosen = contiguous_choice(scans, ratio, order)
    taken = [sum(scan.startswith(f"{name}/") for scan in chosen) for name in order]
    assert list(chosen) == [f"{n}/{i:06d}" for n, many in zip(order, taken, strict=True) for i in range(many)]
    full = [lengths[int(name)] for name in order]
    begun = [many for many in taken if many]
    assert sum(taken) == count and taken[: len(begun) - 1] == full[: len(begun) - 1]


def test_an_order_that_is_wrong_or_too_short_is_refused() -> None:
    with pytest.raises(DataError, match=r"labelled\.order: 03, 04 is not a training sequence"):
        contiguous_choice(TEN, 50, ("00", "03", "04"))
    with pytest.raises(DataError, match="80 % are 16 scans, but only 10 have labels"):
        contiguous_choice((*TEN, *(f"01/{frame}" for frame in range(10))), 80, ("00",))


def test_a_split_carries_the_name_that_the_manifest_gives_its_protocol() -> None:
    assert labelled_split(GPC, SEMANTICKITTI, 5, seed=0).protocol == "contiguous (GPC)"
    assert labelled_split(NESTED, TEN, 20, seed=0).protocol == "nested"


@pytest.mark.parametrize("ratio", [1, 10, 20, 50])
def test_the_uniform_lists_of_semantickitti_read(samples: Path, ratio: int) -> None:
    path = samples.parent / "splits" / "semantickitti_uniform" / f"{ratio}.txt"
    if not path.is_file():
        pytest.skip(f"no published list at {path}")
    split = labelled_split(LabelledSpec("lists", {str(ratio): path}), SEMANTICKITTI, ratio, seed=0)
    assert len(split.labelled) == 19130 * ratio // 100


@pytest.mark.parametrize("ratio", [5, 10, 20, 30, 40])
def test_the_scene_lists_of_scannet_read(samples: Path, ratio: int) -> None:
    folder = samples.parent / "splits" / "scannet_gpc"
    if not folder.is_dir():
        pytest.skip(f"no published lists at {folder}")
    scenes = (folder / "40.txt").read_text().split()
    assert len(read_list(folder / f"{ratio}.txt", scenes)) == 1201 * ratio // 100


def test_the_published_lists_of_semantickitti_nest_up_to_20_percent(samples: Path) -> None:
    """1 % is part of 10 %, that of 20 %; 50 % is a choice of its own and holds 3118 of the 3826."""
    folder = samples.parent / "splits" / "semantickitti_uniform"
    if not folder.is_dir():
        pytest.skip(f"no published lists at {folder}")
    one, ten, twenty, fifty = (read_list(folder / f"{ratio}.txt", SEMANTICKITTI) for ratio in (1, 10, 20, 50))
    assert [len(set(chosen)) for chosen in (one, ten, twenty, fifty)] == [191, 1913, 3826, 9565]
    assert set(one) <= set(ten) <= set(twenty)
    assert len(set(twenty) & set(fifty)) == 3118


def test_each_published_list_of_scannet_begins_the_next(samples: Path) -> None:
    folder = samples.parent / "splits" / "scannet_gpc"
    if not folder.is_dir():
        pytest.skip(f"no published lists at {folder}")
    lists_of = [(folder / f"{ratio}.txt").read_text().split() for ratio in (5, 10, 20, 30, 40)]
    assert [len(set(names)) for names in lists_of] == [60, 120, 240, 360, 480]
    for fewer, more in itertools.pairwise(lists_of):
        assert more[: len(fewer)] == fewer
    assert lists_of[0][:3] == ["scene0087_00", "scene0515_01", "scene0543_01"]


def test_a_saved_split_loads_as_it_was(tmp_path: Path) -> None:
    split = labelled_split(NESTED, TEN, 30, seed=7)
    split.save(tmp_path / "run" / "split.json")
    assert LabelledSplit.load(tmp_path / "run" / "split.json") == split


def test_a_missing_or_damaged_split_file_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    with pytest.raises(MissingArtifact, match=r"split\.json is missing"):
        LabelledSplit.load(path)
    for text in ("", "{", "[]", '{"protocol": "nested"}', '{"protocol": 3, "colour": 1}'):
        path.write_text(text)
        with pytest.raises(CorruptArtifact, match=r"split\.json is not a split file"):
            LabelledSplit.load(path)


@pytest.mark.parametrize(
    ("scans", "labelled", "ratio", "said"),
    [
        (8, 1, 25, "25 % are 2 scans, but only 1 has labels; the ratio 12.5 takes it"),
        (3, 1, 100, "100 % are 3 scans, but only 1 has labels; the ratio 33.34 takes it"),
        (7, 6, 100, "but only 6 have labels; the ratio 85.72 takes all of them"),
        (20011, 20010, 100, "but only 20010 have labels; the ratio 99.996 takes all of them"),
    ],
)
def test_too_few_labels_name_the_ratio_that_takes_exactly_those(
    scans: int, labelled: int, ratio: float, said: str
) -> None:
    ids = [f"00/{number:06d}" for number in range(scans)]
    with pytest.raises(DataError, match=re.escape(said)):
        labelled_split(NESTED, ids, ratio, seed=0, without_labels=ids[labelled:])
    fitting = float(said.split("ratio ")[1].split()[0])
    found = labelled_split(NESTED, ids, fitting, seed=0, without_labels=ids[labelled:])
    assert found.labelled == tuple(ids[:labelled])

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from lass3d_core.labels import IGNORE
from lass3d_core.manifest.schema import DatasetSpec, SplitSpec
from lass3d_core.records import NONE, PairedScan, PointTextPairs, PointVotes
from lass3d_core.words.lexicon import Lexicon
from preprocess.audit.bins import DistanceRow, TruthByBins, VoteRow, in_words, without_distance

NAMES = ("car", "road", "vegetation")
LEXICON = Lexicon(NAMES, {})
CAR, ROAD, BUSH = range(3)


def scan_of(
    labels: Sequence[int],
    entity: Sequence[int],
    phrases: tuple[str, ...] = ("sedan", "street"),
    metres: Sequence[float] | None = None,
    votes: PointVotes | None = None,
) -> PairedScan:
    count = len(labels)
    points = np.zeros((count, 3), np.float32)
    points[:, 0] = metres or 0
    image = np.zeros((count, 1), np.int16)
    pairs = PointTextPairs(image, np.array(entity, np.int16), ("a",), phrases, votes)
    return PairedScan("00/000000", points, points[:, :1], np.array(labels, np.uint8), pairs)


def voted(
    entity: Sequence[int], first: Sequence[int], second: Sequence[int], views: Sequence[int]
) -> PointVotes:
    """Votes for the entity and for phrase 0, with the given shares in 255ths."""
    phrase = np.column_stack([entity, np.where(np.array(second) > 0, 0, NONE)]).astype(np.int16)
    share = np.column_stack([first, second]).astype(np.uint8)
    return PointVotes(phrase, share, np.full(len(entity), 200, np.uint8), np.array(views, np.uint8))


def test_the_rows_by_distance_by_hand() -> None:
    counted = TruthByBins(3, LEXICON)
    # A point at 10 m belongs to 10-20 m, and an ignored one nowhere.
    counted.add(scan_of([CAR, CAR, ROAD, CAR], [0, 1, NONE, 0], metres=[0, 9.99, 9, 10]))
    counted.add(scan_of([ROAD, ROAD, IGNORE, BUSH], [0, 1, 1, NONE], ("street", "a bush"), [15, 39, 3, 1000]))
    assert counted.tables().by_distance == (
        DistanceRow("0-10 m", 3, pytest.approx(2 / 3), 1 / 2),
        DistanceRow("10-20 m", 2, 1.0, 1.0),
        DistanceRow("20-40 m", 1, 1.0, 0.0),
        DistanceRow("beyond 40 m", 1, 0.0, None),
    )


def test_distance_is_measured_in_all_three_directions() -> None:
    scan = scan_of([CAR], [0])
    scan.points[0] = 12, 15, 16  # 25 m
    counted = TruthByBins(3, LEXICON)
    counted.add(scan)
    assert [row.points for row in counted.tables().by_distance] == [0, 0, 1, 0]


def test_the_rows_by_vote_by_hand() -> None:
    entity = [1, 1, 1, 0, 1, NONE, 1]
    labels = [ROAD, CAR, ROAD, CAR, ROAD, ROAD, IGNORE]
    # Margins 0.2 (at an edge), below 0.2, 1, 1, 0.6 (at an edge); then a point without votes, and an ignored.
    votes = voted(
        entity, [153, 130, 255, 255, 204, 0, 255], [102, 125, 0, 0, 51, 0, 0], [2, 1, 8, 255, 3, 0, 1]
    )
    counted = TruthByBins(3, LEXICON)
    counted.add(scan_of(labels, entity, votes=votes))
    tables = counted.tables()
    assert tables.by_margin == (
        VoteRow("below 0.2", 1, 1 / 5, 0.0),
        VoteRow("0.2-0.4", 1, 1 / 5, 1.0),
        VoteRow("0.4-0.6", 0, 0.0, None),
        VoteRow("0.6-0.8", 1, 1 / 5, 1.0),
        VoteRow("0.8-1", 2, 2 / 5, 1.0),
    )
    assert tables.by_images == (
        VoteRow("1", 1, 1 / 5, 0.0),
        VoteRow("2-3", 2, 2 / 5, 1.0),
        VoteRow("4-7", 0, 0.0, None),
        VoteRow("8 or more", 2, 2 / 5, 1.0),
    )


@pytest.mark.parametrize(
    ("lead", "name"), [(50, "below 0.2"), (51, "0.2-0.4"), (102, "0.4-0.6"), (153, "0.6-0.8"), (204, "0.8-1")]
)
def test_a_margin_at_an_edge_belongs_to_the_upper_bin(lead: int, name: str) -> None:
    counted = TruthByBins(3, LEXICON)
    counted.add(scan_of([CAR], [0], votes=voted([0], [lead], [0], [1])))
    assert [row.name for row in counted.tables().by_margin if row.points] == [name]


def test_a_word_for_several_classes_is_right_on_each() -> None:
    counted = TruthByBins(3, Lexicon(("car", "truck", "road"), {}))
    counted.add(scan_of([0, 1, 2], [0, 0, 0], ("vehicle",)))
    assert counted.tables().by_distance[0].named == pytest.approx(2 / 3)


def test_scans_without_a_vote_and_without_a_phrase_are_counted() -> None:
    counted = TruthByBins(3, LEXICON)
    counted.add(scan_of([CAR, ROAD], [NONE, NONE], ()))
    tables = counted.tables()
    assert tables.by_distance[0] == DistanceRow("0-10 m", 2, 0.0, None)
    assert tables.by_margin == tables.by_images == ()


@pytest.mark.parametrize("seed", range(3))
def test_the_bins_add_up_to_what_a_loop_over_the_points_counts(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels, entity = rng.choice([0, 1, 2, IGNORE], 300), rng.integers(-1, 2, 300)
    metres = rng.uniform(0, 60, 300)
    counted = TruthByBins(3, LEXICON)
    counted.add(scan_of(labels.tolist(), entity.tolist(), metres=metres.tolist()))
    for row, low, high in zip(counted.tables().by_distance, (0, 10, 20, 40), (10, 20, 40, np.inf)):
        inside = [i for i in range(300) if low <= metres[i] < high and labels[i] != IGNORE]
        named = [i for i in inside if entity[i] != NONE]
        assert row.points == len(inside) and row.with_phrase == pytest.approx(len(named) / len(inside))
        right = sum(entity[i] == labels[i] for i in named)  # phrase 0 names class 0, phrase 1 class 1
        assert row.named == pytest.approx(right / len(named))


def spec_of(reader: str, **more: object) -> DatasetSpec:
    return DatasetSpec(reader, Path(), SplitSpec(("00",)), **more)  # type: ignore[arg-type]


def test_points_in_the_frame_of_a_room_or_a_map_have_no_distance() -> None:
    assert without_distance(spec_of("semantickitti")) == without_distance(spec_of("nuscenes")) == ""
    assert "frame of the room" in without_distance(spec_of("scannet"))
    remark = without_distance(spec_of("semantickitti", origin=(691000.0, 5334000.0, 520.0)))
    assert "frame of a map" in remark
    counted = TruthByBins(3, LEXICON, remark)
    counted.add(scan_of([CAR], [0], votes=voted([0], [255], [0], [1])))
    tables = counted.tables()
    assert tables.by_distance == () and len(tables.by_margin) == 5
    assert next(in_words(tables)) == f"by distance: left out, {remark}"


def test_the_lines_are_aligned_and_leave_out_a_vote_that_is_not_there() -> None:
    counted = TruthByBins(3, LEXICON)
    counted.add(scan_of([CAR, ROAD], [0, NONE], metres=[1, 2]))
    title, head, *rows = in_words(counted.tables())
    assert title.startswith("by distance from the sensor") and head.split() == [
        "distance",
        "points",
        "phrase",
        "named",
    ]
    assert {len(line) for line in (head, *rows)} == {len(head)}
    assert rows[0].split() == ["0-10", "m", "2", "50%", "100%"]
    assert rows[3].split() == ["beyond", "40", "m", "0", "-", "-"]


def test_the_lines_of_a_vote_have_a_table_for_the_margin_and_one_for_the_images() -> None:
    counted = TruthByBins(3, LEXICON)
    counted.add(scan_of([CAR, ROAD], [0, 0], votes=voted([0, 0], [255, 60], [0, 30], [1, 9])))
    lines = list(in_words(counted.tables()))
    margin, views = (
        next(i for i, line in enumerate(lines) if line.startswith(f"{head} "))
        for head in ("margin", "images")
    )
    assert lines[margin - 2] == lines[views - 2] == ""
    assert lines[margin + 1].split() == ["below", "0.2", "1", "50%", "0%"]
    assert lines[views + 4].split() == ["8", "or", "more", "1", "50%", "0%"]

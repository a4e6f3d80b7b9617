"""Pair shards: they read back as written, any damage is noticed, and a fault is one line."""

from __future__ import annotations

import multiprocessing
import pickle
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lass3d_core.errors import CorruptArtifact, DataError, MissingArtifact, StaleArtifact, UnknownName
from lass3d_core.files.fingerprint import Record
from lass3d_core.files.shards import ShardHeader, ShardReader, ShardsByScan, write_shard
from lass3d_core.records import PairedScan, PointTextPairs, PointVotes

RECORD: Record = {
    "stage": "pairs",
    "schema": 1,
    "params": {"min_score": 0.3},
    "inputs": {"00/velodyne/000000.bin": "0" * 32},
    "upstream": {"entities 00-000": "1" * 64},
}
HEADER = ShardHeader(
    dataset="street",
    shard="00-000",
    split="train",
    class_names=("road", "façade"),
    colours=((255, 0, 255), (1, 2, 3)),
    raw_ids=(40, 259),
    feature_names=("remission",),
    record=RECORD,
    producer="lass3d 0.1.0",
)


def scan(
    name: str = "00/000000", count: int = 20, views: int = 1, labelled: bool = True, seed: int = 0
) -> PairedScan:
    rng = np.random.default_rng(seed)
    pairs = PointTextPairs(
        image=rng.integers(-1, views, (count, 1)).astype(np.int16),
        entity=rng.integers(-1, 2, count).astype(np.int16),
        image_ids=tuple(f"{name}/image_{view}" for view in range(views)),
        phrases=("a tree", "parked car"),
    )
    labels = rng.integers(0, 2, count).astype(np.uint8) if labelled else None
    points = rng.normal(size=(count, 3)).astype(np.float32)
    return PairedScan(name, points, rng.random((count, 1)).astype(np.float32), labels, pairs)


def voted(base: PairedScan, further: int = 0, seed: int = 0) -> PairedScan:
    """`base` with a vote of three phrases a point. further: phrases of the scan that have no vote."""
    rng = np.random.default_rng(seed)
    count, pairs = len(base.points), base.pairs
    phrase = np.stack([pairs.entity, np.where(pairs.entity < 0, -1, 1 - pairs.entity)], axis=1)
    phrase = np.pad(phrase, ((0, 0), (0, 1)), constant_values=-1).astype(np.int16)
    share = np.where(phrase < 0, 0, rng.integers(1, 128, (count, 3))).astype(np.uint8)
    votes = PointVotes(phrase, share, *rng.integers(0, 256, (2, count)).astype(np.uint8))
    names = (*pairs.phrases, *(f"phrase {number}" for number in range(further)))
    return replace(base, pairs=PointTextPairs(pairs.image, pairs.entity, pairs.image_ids, names, votes))


def scans(count: int = 2) -> list[PairedScan]:
    return [scan(f"00/{number:06d}", seed=number) for number in range(count)]


def assert_equal(read: PairedScan, written: PairedScan) -> None:
    """Everything exactly, the features to float16."""
    assert read.scan_id == written.scan_id
    assert (read.pairs.image_ids, read.pairs.phrases) == (written.pairs.image_ids, written.pairs.phrases)
    assert read.features.dtype == np.float16 and read.pairs.image.dtype == read.pairs.entity.dtype == np.int16
    np.testing.assert_array_equal(read.features, written.features.astype(np.float16))
    np.testing.assert_array_equal(read.points, written.points)
    np.testing.assert_array_equal(read.pairs.image, written.pairs.image)
    np.testing.assert_array_equal(read.pairs.entity, written.pairs.entity)
    assert (read.labels is None) == (written.labels is None)
    np.testing.assert_array_equal(read.labels, written.labels)
    assert (read.pairs.votes is None) == (written.pairs.votes is None)
    if read.pairs.votes is not None:
        for name, array in vars(read.pairs.votes).items():
            np.testing.assert_array_equal(array, getattr(written.pairs.votes, name), name)


@pytest.mark.parametrize("compact", [False, True])
def test_a_shard_reads_back_as_it_was_written(tmp_path: Path, compact: bool) -> None:
    written = [
        *scans(),
        scan("08/000001", labelled=False),
        scan("08/000002", count=0),
        scan("08/000003", views=0),
        voted(scan("08/000004")),
        voted(scan("08/000005"), further=200),
        voted(scan("08/000006", count=0)),
    ]
    write_shard(tmp_path / "00-000.h5", HEADER, iter(written), compact)
    reader = ShardReader(tmp_path / "00-000.h5")
    assert reader.header == HEADER and reader.header.fingerprint == HEADER.fingerprint
    assert reader.scan_ids == tuple(each.scan_id for each in written)
    for read, each in zip(reader.scans(), written, strict=True):
        assert_equal(read, each)
        assert reader.point_count(each.scan_id) == len(each.points)
    assert reader.labels("08/000001") is None
    np.testing.assert_array_equal(reader.labels("00/000000"), written[0].labels)
    reader.close()


@settings(max_examples=15, deadline=None)
@given(count=st.integers(0, 40), views=st.integers(0, 3), seed=st.integers(0, 99), phrase=st.text(max_size=5))
def test_any_scan_survives_the_trip(
    tmp_path_factory: pytest.TempPathFactory, count: int, views: int, seed: int, phrase: str
) -> None:
    path = tmp_path_factory.mktemp("shard") / "s.h5"
    phrase = phrase.rstrip("\0")
    base = scan(count=count, views=views, seed=seed)
    pairs = PointTextPairs(base.pairs.image, base.pairs.entity, base.pairs.image_ids, ("ö", phrase))
    written = PairedScan(base.scan_id, base.points, base.features, base.labels, pairs)
    write_shard(path, HEADER, [written])
    assert_equal(ShardReader(path).read(base.scan_id), written)


def test_more_than_127_images_of_a_scan_keep_their_slots(tmp_path: Path) -> None:
    written = scan(count=500, views=300)
    write_shard(tmp_path / "s.h5", HEADER, [written, scan("00/000001", count=500, views=128)])
    assert_equal(ShardReader(tmp_path / "s.h5").read("00/000000"), written)
    with h5py.File(tmp_path / "s.h5") as file:
        assert file["scans/00/000000/image"].dtype == np.int16
        assert file["scans/00/000001/image"].dtype == np.int8


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.h5", "b.h5"):
        write_shard(tmp_path / name, HEADER, scans())
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_features_lose_at_most_what_is_documented(tmp_path: Path) -> None:
    written = scan(count=5000)
    write_shard(tmp_path / "s.h5", HEADER, [written])
    read = ShardReader(tmp_path / "s.h5").read("00/000000")
    assert np.abs(read.features.astype(np.float32) - written.features).max() <= 2.5e-4


def test_features_beyond_float16_are_refused(tmp_path: Path) -> None:
    wrong = scan()
    wrong.features[3] = 70000
    with pytest.raises(DataError, match="scan 00/000000: features beyond 65504"):
        write_shard(tmp_path / "s.h5", HEADER, [wrong])
    assert list(tmp_path.iterdir()) == []


def content(path: Path) -> list[bytes]:
    """Everything that a shard says, for comparison."""
    reader = ShardReader(path)
    try:
        parts = [repr(reader.header).encode()]
        for each in reader.scans():
            arrays = (each.points, each.features, each.labels, each.pairs.image, each.pairs.entity)
            parts += [repr((each.scan_id, each.pairs.image_ids, each.pairs.phrases)).encode()]
            parts += [b"none" if array is None else array.tobytes() for array in arrays]
        return parts
    finally:
        reader.close()


@pytest.mark.parametrize("compact", [False, True])
def test_a_flipped_byte_is_noticed_or_harmless(tmp_path: Path, compact: bool) -> None:
    path, damaged = tmp_path / "s.h5", tmp_path / "damaged.h5"
    write_shard(path, HEADER, scans(10), compact)
    good, expected = path.read_bytes(), content(path)
    rng, noticed = np.random.default_rng(0), 0
    for offset in rng.choice(len(good), 60, replace=False):
        bad = bytearray(good)
        bad[offset] ^= int(rng.integers(1, 256))
        damaged.unlink(missing_ok=True)  # HDF5 takes a file for one that it still holds by its inode
        damaged.write_bytes(bad)
        try:
            assert content(damaged) == expected, f"byte {offset} was changed silently"
        except CorruptArtifact as error:
            noticed += 1
            message = str(error)
            assert (
                "damaged.h5" in message
                and 'delete it and run "make pairs"' in message
                and "\n" not in message
            )
    assert noticed > 40


def test_damage_is_located_by_scan_and_field(tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    write_shard(path, HEADER, scans())
    with h5py.File(path) as file:
        chunk = file["scans/00/000001/label"].id.get_chunk_info(0)
    damaged = bytearray(path.read_bytes())
    damaged[chunk.byte_offset] ^= 1
    path.write_bytes(damaged)
    reader = ShardReader(path)
    reader.read("00/000000")
    with pytest.raises(
        CorruptArtifact, match=r"s\.h5 is damaged at scans/00/000001/label \(.*delete it and run"
    ):
        reader.read("00/000001")


@pytest.mark.parametrize("keep", [0, 1, 20, 400, -400, -1])
def test_a_cut_shard_is_corrupt(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "s.h5"
    write_shard(path, HEADER, scans())
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CorruptArtifact, match='delete it and run "make pairs"'):
        content(path)


def test_a_missing_shard_says_what_makes_it(tmp_path: Path) -> None:
    with pytest.raises(MissingArtifact, match=r'gone\.h5 is missing; run "make pairs"'):
        ShardReader(tmp_path / "gone.h5").read("00/000000")


def test_another_schema_and_another_kind_of_file_are_stale(tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    write_shard(path, HEADER, scans())
    for name, value, pattern in (
        ("schema", 1, "has schema 1, this version reads 2"),
        ("kind", "x", "holds 'x'"),
    ):
        with h5py.File(path, "r+", libver="latest") as file:
            file.attrs[name] = np.bytes_(value) if isinstance(value, str) else value
        reader = ShardReader(path)
        for _ in range(2):
            with pytest.raises(StaleArtifact, match=f'{pattern}.*delete it and run "make pairs"'):
                reader.read("00/000000")


def test_a_foreign_hdf5_file_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(CorruptArtifact, match="damaged at its beginning"):
        content(tmp_path / "s.h5")


def test_slots_out_of_range_are_corrupt_and_not_an_index_error(tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    write_shard(path, HEADER, scans())
    with h5py.File(path, "r+", libver="latest") as file:
        file["scans/00/000001/entity"][0] = 9
    with pytest.raises(CorruptArtifact, match=r"scan 00/000001 .*must lie in \[-1, 2\)"):
        ShardReader(path).read("00/000001")


def test_damaged_votes_are_corrupt(tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    write_shard(path, HEADER, [voted(scan())])
    with h5py.File(path, "r+", libver="latest") as file:
        file["scans/00/000000/vote_phrase"][0, 0] ^= 1
    with pytest.raises(CorruptArtifact, match=r"scan 00/000000 .*(must begin with|must lie in)"):
        ShardReader(path).read("00/000000")


def test_an_unknown_scan_is_named(tmp_path: Path) -> None:
    write_shard(tmp_path / "s.h5", HEADER, scans())
    with pytest.raises(UnknownName, match=r"s\.h5 holds no scan '09/000000'"):
        ShardReader(tmp_path / "s.h5").read("09/000000")


def test_a_failure_while_writing_leaves_the_old_shard(tmp_path: Path) -> None:
    def broken() -> Iterator[PairedScan]:
        yield scan()
        raise DataError("the second scan is wrong")

    path = tmp_path / "s.h5"
    write_shard(path, HEADER, scans())
    before = path.read_bytes()
    with pytest.raises(DataError, match="second scan"):
        write_shard(path, HEADER, broken())
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


FULL_DISK = """
import resource, sys
from pathlib import Path
from lass3d_core.errors import exit_status
sys.path.insert(0, {tests!r})
from test_shards import HEADER, scan, write_shard
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
sys.exit(exit_status(lambda: write_shard(Path({path!r}), HEADER, [scan(count=100_000)])))
"""


def test_a_disk_that_takes_no_more_is_one_line_and_no_file(tmp_path: Path) -> None:
    script = FULL_DISK.format(tests=str(Path(__file__).parent), path=str(tmp_path / "s.h5"))
    root = Path(__file__).parents[3]
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=root, check=False
    )
    assert run.returncode == 2, run.stderr
    assert run.stderr.startswith("error: cannot write") and run.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def read_in_child(reader: ShardReader, answers: multiprocessing.Queue[object]) -> None:
    answers.put([each.points.sum() for each in reader.scans()])


@pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_an_open_reader_can_be_handed_to_a_child(tmp_path: Path, method: str) -> None:
    """Forked, it must not share the parent's handle; spawned, it must pickle."""
    write_shard(tmp_path / "s.h5", HEADER, scans(5))
    reader = ShardReader(tmp_path / "s.h5")
    expected = [each.points.sum() for each in reader.scans()]
    context = multiprocessing.get_context(method)
    answers = context.Queue()
    children = [context.Process(target=read_in_child, args=(reader, answers)) for _ in range(2)]
    for child in children:
        child.start()
    assert [answers.get(timeout=60) for _ in children] == [expected, expected]
    for child in children:
        child.join()
    assert [each.points.sum() for each in reader.scans()] == expected


def test_a_reader_pickles_while_open(tmp_path: Path) -> None:
    write_shard(tmp_path / "s.h5", HEADER, scans())
    reader = ShardReader(tmp_path / "s.h5")
    reader.read("00/000000")
    assert_equal(pickle.loads(pickle.dumps(reader)).read("00/000001"), scans()[1])


def test_of_many_shards_only_the_last_used_stay_open(tmp_path: Path) -> None:
    by_scan, count = ShardsByScan(), ShardsByScan.MOST_OPEN + 3
    for number in range(count):
        path = tmp_path / f"{number}.h5"
        write_shard(path, HEADER, [scan(f"{number}/0", count=4)])
        by_scan.add(ShardReader(path), [f"{number}/0"])
    for number in range(count):
        assert by_scan[f"{number}/0"].read(f"{number}/0").scan_id == f"{number}/0"
    assert {path.name for path in _open_files() if tmp_path in path.parents} == {
        f"{number}.h5" for number in range(3, count)
    }
    assert by_scan["0/0"].point_count("0/0") == 4


def _open_files() -> list[Path]:
    """The files that this process has open. The listing itself needs a descriptor, which is gone by then."""
    opened = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            opened.append(descriptor.readlink())
    return opened

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from lass3d_core.errors import CorruptArtifact
from lass3d_core.files.fingerprint import Record
from lass3d_core.files.hdf5_writer import LargeFile
from lass3d_core.files.text_table import CaptionRows, TextNames, TextRowsFile, write_text_rows

RECORD: Record = {"stage": "text_embeddings", "schema": 1, "params": {}, "inputs": {}, "upstream": {}}
DIM = 512


def part(first: int, count: int) -> CaptionRows:
    """Captions first, first + 1, ...: caption t has 1 + t % 40 rows, all of the number t."""
    blocks = [np.full((1 + t % 40, DIM), t, np.float16) for t in range(first, first + count)]
    return CaptionRows.of(blocks, [block[0] / 2 for block in blocks], DIM)


def write(path: Path, *counts: int) -> None:
    """As many parts as `counts` says, each of so many captions."""
    starts = np.cumsum([0, *counts])
    total = int(starts[-1])
    names = TextNames(
        [f"00/{t}" for t in range(total)],
        np.arange(total, dtype=np.int32)[::-1].copy(),
        [f"text {t}" for t in range(total)],
        ["car"],
    )
    parts = (part(int(start), count) for start, count in zip(starts, counts))
    write_text_rows(path, names, parts, np.ones((1, DIM), np.float16), RECORD)


def test_rows_that_came_in_parts_are_read_by_the_caption(tmp_path: Path) -> None:
    write(tmp_path / "t.h5", 100, 30, 7)
    found = TextRowsFile(tmp_path / "t.h5").captions([136, 3, 100])
    assert found.lengths.tolist() == [1 + 136 % 40, 4, 21]
    assert [set(block.ravel().tolist()) for block in found.blocks] == [{136.0}, {3.0}, {100.0}]
    assert found.pooled[:, 0].tolist() == [68.0, 1.5, 50.0]


def test_names_and_phrase_rows_are_those_written(tmp_path: Path) -> None:
    write(tmp_path / "t.h5", 3)
    table = TextRowsFile(tmp_path / "t.h5")
    assert table.image_ids == ("00/0", "00/1", "00/2") and table.image_caption.tolist() == [2, 1, 0]
    assert table.caption_texts == ("text 0", "text 1", "text 2") and table.phrases == ("car",)
    assert table.phrase_rows.tolist() == [[1.0] * DIM] and table.dim == DIM


def test_no_caption_has_no_rows(tmp_path: Path) -> None:
    write(tmp_path / "t.h5", 3)
    found = TextRowsFile(tmp_path / "t.h5").captions([])
    assert (found.rows.shape, found.lengths.shape, found.pooled.shape) == ((0, DIM), (0,), (0, DIM))


def test_the_file_holds_little_beside_its_rows(tmp_path: Path) -> None:
    """Room that was asked of the disk and not needed is given back."""
    write(tmp_path / "t.h5", 600)
    size = (tmp_path / "t.h5").stat().st_size
    with h5py.File(tmp_path / "t.h5") as file:
        rows = file["caption_rows"].nbytes + file["caption_pooled"].nbytes
    assert rows < size < rows + 200_000


def test_a_reader_looks_at_few_bytes_for_one_caption(tmp_path: Path) -> None:
    write(tmp_path / "t.h5", 600)
    with h5py.File(tmp_path / "t.h5") as file:
        for name in ("caption_rows", "caption_pooled"):
            assert np.prod(file[name].chunks) * 2 <= 1 << 16


def test_a_forked_process_reads_a_table_that_is_open(tmp_path: Path) -> None:
    write(tmp_path / "t.h5", 50)
    table = TextRowsFile(tmp_path / "t.h5")
    table.captions([1])
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    process = context.Process(target=lambda: queue.put(table.captions([7]).rows.tolist()))
    process.start()
    assert queue.get() == [[7.0] * DIM] * 8
    process.join()
    assert table.captions([2]).lengths.tolist() == [3]


@pytest.mark.parametrize("name", ["caption_rows", "caption_pooled", "caption_offsets", "image_caption"])
def test_values_that_cannot_be_are_one_line(name: str, tmp_path: Path) -> None:
    write(tmp_path / "t.h5", 5)
    with h5py.File(tmp_path / "t.h5", "r+") as file:
        file[name][...] = np.nan if name in ("caption_rows", "caption_pooled") else 9
    table = TextRowsFile(tmp_path / "t.h5")
    with pytest.raises(CorruptArtifact, match=rf"t\.h5 is damaged at .*{name}.*run \"make captions\""):
        assert table.captions([0, 1]) and len(table.image_caption)


def test_a_disk_that_refuses_is_one_error_and_no_dead_process(tmp_path: Path) -> None:
    """In a process of its own, since the limit on the size of files holds for all of it."""

    def work(answer: multiprocessing.queues.SimpleQueue) -> None:
        import resource
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, resource.RLIM_INFINITY))
        try:
            with LargeFile(tmp_path / "large.h5") as file:
                for _ in range(10):
                    file.append("rows", np.ones((500, DIM), np.float16))
        except OSError as error:
            answer.put(os.strerror(error.errno or 0))

    context = multiprocessing.get_context("fork")
    answer = context.SimpleQueue()
    process = context.Process(target=work, args=(answer,))
    process.start()
    assert answer.get() == "File too large"
    process.join()
    assert process.exitcode == 0

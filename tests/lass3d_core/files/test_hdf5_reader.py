"""An array that is not in the file, or not as large as declared, is refused before it is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from lass3d_core.errors import CorruptArtifact, StaleArtifact
from lass3d_core.files.hdf5_reader import Hdf5Reader
from lass3d_core.files.hdf5_writer import create, write_array, write_attributes


def written(path: Path, fill: Callable[[h5py.File], None]) -> Hdf5Reader:
    with create(path) as file:
        write_attributes(file, {"kind": "pairs", "schema": 1})
        fill(file)
    return Hdf5Reader(path, "pairs", 1, "run `make pairs`")


def external_link(file: h5py.File) -> None:
    file["a"] = h5py.ExternalLink("secret.h5", "a")


def soft_link(file: h5py.File) -> None:
    file["b"] = np.arange(3)
    file["a"] = h5py.SoftLink("/b")


def linked_group(file: h5py.File) -> None:
    file["scan"] = h5py.ExternalLink("secret.h5", "/")


def raw_bytes_of_another_file(file: h5py.File) -> None:
    file.create_dataset("a", (4,), "u1", external=[("secret.h5", 0, 4)])


@pytest.mark.parametrize(
    ("fill", "name", "why"),
    [
        (external_link, "a", "a link to somewhere else"),
        (soft_link, "a", "a link to somewhere else"),
        (linked_group, "scan/a", "a link to somewhere else"),
        (raw_bytes_of_another_file, "a", "no numbers or fixed-length texts of this file"),
    ],
)
def test_what_is_not_in_the_file_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fill: Callable[[h5py.File], None], name: str, why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with h5py.File("secret.h5", "w") as secret:
        secret["a"] = np.arange(3)
    file = written(tmp_path / "shard.h5", fill)
    for read in (file.array, file.texts, file.shape):
        with pytest.raises(CorruptArtifact, match=why):
            read(name)


def test_an_array_is_there_or_not_and_nothing_lies_below_it(tmp_path: Path) -> None:
    file = written(tmp_path / "a.h5", lambda new: write_array(new, "scan/label", np.arange(3)))
    assert file.has("scan/label")
    assert not file.has("scan/entity")
    for ask in (file.has, file.array):
        with pytest.raises(CorruptArtifact, match="not a group"):
            ask("scan/label/entity")


@pytest.mark.parametrize("rows", [100, 200_000])
def test_every_read_gives_a_new_array(tmp_path: Path, rows: int) -> None:
    values = np.random.default_rng(0).normal(size=(rows, 3)).astype(np.float32)
    file = written(tmp_path / "a.h5", lambda file: write_array(file, "a", values))
    first, second = file.array("a"), file.array("a")
    np.testing.assert_array_equal(first, values)
    first[:] = 0
    np.testing.assert_array_equal(second, values)
    assert second.flags.c_contiguous and second.dtype == np.float32


@pytest.mark.parametrize("chunks", [None, (1024,)])
def test_a_size_that_is_declared_but_not_there_allocates_nothing(
    tmp_path: Path, chunks: tuple[int, ...] | None
) -> None:
    def fill(file: h5py.File) -> None:
        file.create_dataset("a", (1 << 44,), "u1", chunks=chunks or (1 << 20,))

    file = written(tmp_path / "shard.h5", fill)
    with pytest.raises(CorruptArtifact, match="17592186044416 bytes are declared, 0 are there"):
        file.array("a")


@pytest.mark.parametrize("compact", [False, True])
def test_a_constant_array_compresses_as_far_as_it_can_and_is_read(tmp_path: Path, compact: bool) -> None:
    constant = np.zeros(3_000_000, np.int16)
    file = written(tmp_path / "shard.h5", lambda file: write_array(file, "a", constant, compact))
    assert np.array_equal(file.array("a"), constant)


OTHER_FORMS: dict[str, Callable[[h5py.File], object]] = {
    "texts of any length": lambda file: file.create_dataset("a", data=["x", "y"], dtype=h5py.string_dtype()),
    "tables": lambda file: file.create_dataset("a", data=np.zeros(3, [("x", "i4"), ("y", "f4")])),
    "nothing": lambda file: file.create_dataset("a", data=h5py.Empty("f4")),
    "a type": lambda file: file.__setitem__("a", np.dtype("f8")),
}


@pytest.mark.parametrize("form", OTHER_FORMS)
def test_what_we_never_write_is_not_read(tmp_path: Path, form: str) -> None:
    file = written(tmp_path / "shard.h5", lambda file: OTHER_FORMS[form](file) and None)
    for read in (file.array, file.texts, file.shape):
        with pytest.raises(CorruptArtifact, match="damaged at a"):
            read("a")


def test_numbers_are_no_texts(tmp_path: Path) -> None:
    file = written(tmp_path / "shard.h5", lambda file: write_array(file, "a", np.arange(3)))
    with pytest.raises(CorruptArtifact, match="string"):
        file.texts("a")


@pytest.mark.parametrize(
    ("kind", "schema"),
    [(5, 1), (b"pairs", b"x"), (b"pairs", [1, 2]), (b"other", 1), (b"pairs", 2)],
)
def test_a_beginning_of_another_form_is_refused(tmp_path: Path, kind: object, schema: object) -> None:
    with create(tmp_path / "shard.h5") as file:
        file.attrs["kind"], file.attrs["schema"] = kind, schema
    with pytest.raises((CorruptArtifact, StaleArtifact)):
        Hdf5Reader(tmp_path / "shard.h5", "pairs", 1, "run `make pairs`").attribute("kind")

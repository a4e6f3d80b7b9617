"""HDF5 files in which every byte that matters stands under a checksum.

HDF5 notices a flipped byte only where it is asked to: data need the fletcher32 filter, metadata the newest
format (`libver="latest"`), and variable-length strings have no checksum at all. So every array is chunked
with fletcher32, every text is fixed-length UTF-8, and every fault on reading becomes one CorruptArtifact that
says what to do. No time stamps are stored: equal content gives equal bytes. Importing this module registers
the compression of compact files (hdf5plugin).
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np

from lass3d_core.errors import CorruptArtifact, DataError, MissingArtifact, StaleArtifact

_CHUNK_BYTES = 1 << 17
"""Most of a chunk, 128 KiB: HDF5 checks and unpacks it in the processor's cache. An array that is one chunk
takes a fifth longer to read, most of it for fresh memory."""

_ROW_CHUNK_BYTES = 1 << 16
"""Of an array that grows and is read by the row: smaller, since a whole chunk is read for any row in it."""

_METADATA_BYTES = 1 << 20

_READ_ONCE = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
_READ_ONCE.set_chunk_cache(1, 0, 1.0)
"""For arrays that are read as a whole: HDF5 unpacks every chunk in the same memory, and keeps none."""

_OUR_FILTERS = {h5py.h5z.FILTER_FLETCHER32, hdf5plugin.Bitshuffle.filter_id}
"""Others may make a thousand bytes of one, or load a library that lies about."""

_MOST_COMPRESSED = 300
"""LZ4 makes at most 255 bytes of one."""


@contextmanager
def create(part: Path) -> Iterator[h5py.File]:
    """A new file, written to `part` at the end; to be used inside `atomic.atomic_write`.

    Decision: it is built in memory (a shard is some hundred megabytes). HDF5 answers a full disk with a
    cascade of unraisable errors when it closes the file; a plain write answers with one OSError that says so.
    """
    memory = io.BytesIO()
    with h5py.File(memory, "w", libver="latest") as file:
        yield file
    part.write_bytes(memory.getbuffer())


class LargeFile:
    """A new file that grows on the disk, for what is too large for memory; inside `atomic.atomic_write`.

    Decision: room is asked of the disk before HDF5 writes anything. A full one answers that with one OSError;
    HDF5 itself, which may learn of it when it closes the file, ends the process.
    """

    def __init__(self, part: Path) -> None:
        self._disk = part.open("w+b")
        self.file = h5py.File(self._disk, "w", libver="latest")
        self._room = 0
        self._reserve(0)

    def append(self, name: str, rows: np.ndarray) -> None:
        """Put rows (n,D) behind those that are there under `name`; its first rows say how wide it is."""
        self._reserve(rows.nbytes)
        if name not in self.file:
            most = max(1, _ROW_CHUNK_BYTES // (rows.nbytes // len(rows)))
            self.file.create_dataset(
                name,
                data=rows,
                maxshape=(None, *rows.shape[1:]),
                chunks=(min(len(rows), most), *rows.shape[1:]),
                fletcher32=True,
            )
            return
        dataset = self.file[name]
        dataset.resize(len(dataset) + len(rows), axis=0)
        dataset[-len(rows) :] = rows

    def write_array(self, name: str, array: np.ndarray) -> None:
        """As `write_array`."""
        self._reserve(array.nbytes)
        write_array(self.file, name, array)

    def write_texts(self, name: str, texts: Sequence[str]) -> None:
        """As `write_texts`."""
        self._reserve(_text_type(texts).itemsize * len(texts))
        write_texts(self.file, name, texts)

    def __enter__(self) -> LargeFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self._disk.close()

    def _reserve(self, more: int) -> None:
        """Have room for `more` bytes beside all before, for their chunks' padding and for the metadata."""
        self._room += more
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self._disk.fileno(), 0, self._room + self._room // 8 + _METADATA_BYTES)


def write_array(group: h5py.Group, name: str, array: np.ndarray, compact: bool = False) -> None:
    """Write `array` under `name` with fletcher32; compact adds bitshuffle-LZ4 before it."""
    if array.size == 0:  # HDF5 has no chunk of size 0; there is no byte to protect either
        group.create_dataset(name, data=array)
        return
    pieces = min(len(array), -(-array.nbytes // _CHUNK_BYTES))
    chunks = (-(-len(array) // pieces), *array.shape[1:])  # all alike, so that none is mostly filling
    group.create_dataset(
        name, data=array, chunks=chunks, fletcher32=True, **(_bitshuffle() if compact else {})
    )


def write_texts(group: h5py.Group, name: str, texts: Sequence[str]) -> None:
    """Write `texts` under `name` as fixed-length UTF-8, padded with zero bytes."""
    write_array(group, name, np.array([text.encode() for text in texts], _text_type(texts)))


def write_attributes(group: h5py.Group, values: Mapping[str, Any]) -> None:
    """Write numbers, arrays, texts and tuples of texts as attributes, texts as fixed-length UTF-8."""
    for name, value in values.items():
        if isinstance(value, str):
            group.attrs[name] = np.array(value.encode(), _text_type([value]))
        elif isinstance(value, tuple):
            group.attrs[name] = np.array([text.encode() for text in value], _text_type(value))
        else:
            group.attrs[name] = value


class CheckedFile:
    """A read-only view of such a file, opened at the first read and again in every process that inherits it.

    kind and schema: what the file's attributes `kind` and `schema` must be. remedy: the command
    that makes the file again. Raises, from every method: MissingArtifact (no file), StaleArtifact (another
    schema), CorruptArtifact (all else).
    """

    def __init__(self, path: Path, kind: str, schema: int, remedy: str) -> None:
        self.path = path
        self._kind = kind
        self._schema = schema
        self._remedy = remedy
        self._file: h5py.File | None = None
        self._folder: tuple[str, h5py.h5g.GroupID] | None = None  # the last one that was read from
        self._sliced: dict[str, h5py.Dataset] = {}
        self._checked: dict[str, tuple[tuple[int, ...], np.dtype]] = {}  # for a published file never changes
        self._process = 0
        self._bytes = 0  # of the whole file

    def array(self, name: str) -> np.ndarray:
        """The array under `name`."""
        with self._faults(name):
            found, shape, dtype = self._dataset(name)
            array = np.empty(shape, dtype)
            if array.size:
                found.read(h5py.h5s.ALL, h5py.h5s.ALL, array, found.get_type())
            return array

    def rows(self, name: str, start: int, end: int) -> np.ndarray:
        """array(name)[start:end], the rest unread."""
        with self._faults(name):
            self._open()
            if name not in self._sliced:
                self._sliced[name] = h5py.Dataset(self._dataset(name, None)[0])
            return np.asarray(self._sliced[name][start:end])

    def texts(self, name: str) -> tuple[str, ...]:
        """The texts under `name`."""
        array = self.array(name)
        if array.dtype.kind != "S":
            raise self.corrupt(name, "it holds numbers, not strings")
        with self._faults(name):
            return tuple(text.decode() for text in array.tolist())

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of the array under `name`, its content unread."""
        with self._faults(name):
            return self._dataset(name)[1]

    def has(self, name: str) -> bool:
        """Whether there is an array under `name`, in a folder that exists."""
        with self._faults(name):
            folder, _, last = name.rpartition("/")
            return bool(self._opened(folder, name).links.exists(last.encode()))

    def attribute(self, name: str) -> Any:
        """The file's attribute `name`: a number, an array, a text or a tuple of texts."""
        with self._faults(f"attribute {name}"):
            value = self._open().attrs[name]
            if isinstance(value, np.ndarray):
                return tuple(text.decode() for text in value.tolist()) if value.dtype.kind in "SO" else value
            return value.decode() if isinstance(value, bytes) else value

    @contextmanager
    def refusals(self, where: str) -> Iterator[None]:
        """A DataError inside, about what was read at `where`, means that this file is damaged."""
        try:
            yield
        except DataError as error:
            raise self.corrupt(where, str(error)) from None

    def close(self) -> None:
        """Close the file; a later read opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = self._folder = None
            self._sliced, self._checked = {}, {}

    def corrupt(self, where: str, why: str) -> CorruptArtifact:
        """The error for a fault at `where` in this file."""
        return CorruptArtifact(f"{self.path} is damaged at {where} ({why}); delete it and {self._remedy}")

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None, "_folder": None, "_sliced": {}, "_checked": {}}

    def _open(self) -> h5py.File:
        if self._file is not None and self._process == os.getpid():
            return self._file
        self.close()
        if not self.path.is_file():
            raise MissingArtifact(f"{self.path} is missing; {self._remedy}")
        # A published file never changes, and locks fail on some network file systems.
        with self._faults("its beginning"):
            file = h5py.File(self.path, "r", locking=False)
            self._check_kind(file)
            self._bytes = self.path.stat().st_size
        self._file, self._process = file, os.getpid()
        return file

    def _dataset(
        self, name: str, access: h5py.h5p.PropDAID | None = _READ_ONCE
    ) -> tuple[h5py.h5d.DatasetID, tuple[int, ...], np.dtype]:
        """The array under `name`, its shape and type. HDF5 itself is asked: h5py's groups take as long as
        most arrays' reading, and so do the checks, which the first opening passes for all."""
        folder, _, last = name.rpartition("/")
        group = self._opened(folder, name)
        found = h5py.h5d.open(group, self._own(group, last, name), access)
        if name not in self._checked:
            self._checked[name] = self._check_stored(found, name)
        return found, *self._checked[name]

    def _check_stored(self, found: h5py.h5d.DatasetID, name: str) -> tuple[tuple[int, ...], np.dtype]:
        """Its shape and type: refused where its bytes are not this file's own or are fewer than declared.

        A shard may come from a stranger: a link could read another file of this machine, a declared size
        fill its memory.
        """
        stored_as = found.get_create_plist()
        if stored_as.get_layout() == h5py.h5d.VIRTUAL or stored_as.get_external_count():
            raise self.corrupt(name, "it is no array of this file")
        space = found.get_space()
        filters = {stored_as.get_filter(i)[0] for i in range(stored_as.get_nfilters())}
        is_empty, dtype = space.get_simple_extent_type() == h5py.h5s.NULL, found.dtype
        if is_empty or dtype.kind not in "iufS" or not filters <= _OUR_FILTERS:
            raise self.corrupt(name, "it is of another type or packed in another way than we write")
        shape = space.shape
        declared = math.prod(shape) * dtype.itemsize
        stored = min(found.get_storage_size(), self._bytes)
        chunked = stored_as.get_layout() == h5py.h5d.CHUNKED
        if declared > stored * (_MOST_COMPRESSED if chunked else 1):
            raise self.corrupt(name, f"{declared} bytes are declared, {stored} are there")
        return shape, dtype

    def _opened(self, folder: str, name: str) -> h5py.h5g.GroupID:
        """The group under `folder`, on the way to `name`; the last one stays open."""
        file = self._open()
        if self._folder is None or self._folder[0] != folder:
            found = h5py.h5g.open(file.id, b"/")
            for step in folder.split("/") if folder else ():
                found = h5py.h5g.open(found, self._own(found, step, name))
            self._folder = folder, found
        return self._folder[1]

    def _own(self, group: h5py.h5g.GroupID, step: str, name: str) -> bytes:
        """`step`, on the way to `name`: refused where it is a link to somewhere else; none is followed."""
        if group.links.get_info(step.encode()).type != h5py.h5l.TYPE_HARD:
            raise self.corrupt(name, "it is a link to somewhere else")
        return step.encode()

    def _check_kind(self, file: h5py.File) -> None:
        kind, schema = bytes(file.attrs["kind"]).decode(), int(file.attrs["schema"])
        remedy = f"delete it and {self._remedy}"
        if kind != self._kind:
            raise StaleArtifact(f"{self.path} holds {kind!r}, not {self._kind!r}; {remedy}")
        if schema != self._schema:
            what = f"{self.path} has schema {schema}, this version reads {self._schema}"
            raise StaleArtifact(f"{what}; {remedy}")

    @contextmanager
    def _faults(self, where: str) -> Iterator[None]:
        """HDF5 raises whatever suits it on damaged bytes; all of it means the same to the user."""
        try:
            yield
        except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
            reason = str(error).partition("\n")[0].strip("'\"") or type(error).__name__
            raise self.corrupt(where, reason) from error


def _text_type(texts: Sequence[str]) -> np.dtype:
    return h5py.string_dtype("utf-8", max((len(text.encode()) for text in texts), default=1) or 1)


def _bitshuffle() -> dict[str, Any]:
    return dict(hdf5plugin.Bitshuffle(cname="lz4"))

"""Reading of the HDF5 files that hdf5_writer writes.

Every fault on reading becomes one CorruptArtifact that says what to do. The import of hdf5plugin registers
the compression of compact files.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401
import numpy as np

from lass3d_core.errors import CorruptArtifact, DataError, MissingArtifact, StaleArtifact

# For arrays that are read whole: HDF5 unpacks every chunk in the same memory and keeps none.
_READ_ONCE = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
_READ_ONCE.set_chunk_cache(1, 0, 1.0)

_MAX_COMPRESSION = 300  # LZ4 makes at most 255 bytes of one


class Hdf5Reader:
    """A read-only HDF5 file, opened at the first read and opened again in every process that inherits it.

    kind, schema: the required values of the file's attributes `kind` and `schema`.
    remedy: the command that makes the file again.
    Every method raises MissingArtifact (no file), StaleArtifact (another kind or schema) or CorruptArtifact.
    """

    def __init__(self, path: Path, kind: str, schema: int, remedy: str) -> None:
        self.path = path
        self._kind = kind
        self._schema = schema
        self._remedy = remedy
        self._process = 0  # the one that opened the file
        self._bytes = 0  # size of the file
        self._file: h5py.File | None = None
        self._folder: tuple[str, h5py.h5g.GroupID] | None = None  # the group that was read last
        self._sliced: dict[str, h5py.Dataset] = {}
        self._checked: dict[str, tuple[tuple[int, ...], np.dtype]] = {}

    def array(self, name: str) -> np.ndarray:
        """Read the array `name`."""
        with self._faults(name):
            found, shape, dtype = self._dataset(name)
            array = np.empty(shape, dtype)
            if array.size:
                found.read(h5py.h5s.ALL, h5py.h5s.ALL, array, found.get_type())
            return array

    def rows(self, name: str, start: int, end: int) -> np.ndarray:
        """Read array(name)[start:end] and nothing else."""
        with self._faults(name):
            self._open()
            if name not in self._sliced:
                self._sliced[name] = h5py.Dataset(self._dataset(name, None)[0])
            return np.asarray(self._sliced[name][start:end])

    def texts(self, name: str) -> tuple[str, ...]:
        """Read the texts `name`."""
        array = self.array(name)
        if array.dtype.kind != "S":
            raise self.corrupt(name, "it holds numbers, not strings")
        with self._faults(name):
            return tuple(text.decode() for text in array.tolist())

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of the array `name`; its content is not read."""
        with self._faults(name):
            return self._dataset(name)[1]

    def has(self, name: str) -> bool:
        """Whether the array `name` exists. Its group must exist."""
        with self._faults(name):
            folder, _, last = name.rpartition("/")
            return bool(self._group(folder, name).links.exists(last.encode()))

    def attribute(self, name: str) -> Any:
        """The file's attribute `name`: a number, an array, a text or a tuple of texts."""
        with self._faults(f"attribute {name}"):
            value = self._open().attrs[name]
            if isinstance(value, np.ndarray):
                return tuple(text.decode() for text in value.tolist()) if value.dtype.kind in "SO" else value
            return value.decode() if isinstance(value, bytes) else value

    @contextmanager
    def checks(self, where: str) -> Iterator[None]:
        """Turn a DataError about values that were read at `where` into CorruptArtifact."""
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
        with self._faults("its beginning"):
            # A published file never changes, and locks fail on some network file systems.
            file = h5py.File(self.path, "r", locking=False)
            self._check_kind(file)
            self._bytes = self.path.stat().st_size
        self._file, self._process = file, os.getpid()
        return file

    def _dataset(
        self, name: str, access: h5py.h5p.PropDAID | None = _READ_ONCE
    ) -> tuple[h5py.h5d.DatasetID, tuple[int, ...], np.dtype]:
        """The array `name`, its shape and dtype."""
        # By HDF5's own functions: h5py's groups take as long as most arrays take to read. The checks do too,
        # so each array is checked once.
        folder, _, last = name.rpartition("/")
        group = self._group(folder, name)
        found = h5py.h5d.open(group, self._own_link(group, last, name), access)
        if name not in self._checked:
            self._checked[name] = self._check_stored(found, name)
        return found, *self._checked[name]

    def _check_stored(self, found: h5py.h5d.DatasetID, name: str) -> tuple[tuple[int, ...], np.dtype]:
        """Shape and dtype. Raises CorruptArtifact if the file holds fewer bytes than they declare."""
        shape, dtype, layout = found.get_space().shape, found.dtype, found.get_create_plist()
        if dtype.kind not in "iufS" or layout.get_external_count():
            raise self.corrupt(name, "it holds no numbers or fixed-length texts of this file")
        declared = math.prod(shape) * dtype.itemsize
        stored = min(found.get_storage_size(), self._bytes)
        chunked = layout.get_layout() == h5py.h5d.CHUNKED
        if declared > stored * (_MAX_COMPRESSION if chunked else 1):
            raise self.corrupt(name, f"{declared} bytes are declared, {stored} are there")
        return shape, dtype

    def _group(self, folder: str, name: str) -> h5py.h5g.GroupID:
        """Open the group `folder` on the way to `name`. The last group stays open."""
        file = self._open()
        if self._folder is None or self._folder[0] != folder:
            found = h5py.h5g.open(file.id, b"/")
            for step in folder.split("/") if folder else ():
                found = h5py.h5g.open(found, self._own_link(found, step, name))
            self._folder = folder, found
        return self._folder[1]

    def _own_link(self, group: h5py.h5g.GroupID, step: str, name: str) -> bytes:
        """Check that `step`, on the way to `name`, is no link to another place or file."""
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
        """Turn the many exceptions of HDF5 on damaged bytes into CorruptArtifact."""
        try:
            yield
        except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
            reason = str(error).partition("\n")[0].strip("'\"") or type(error).__name__
            raise self.corrupt(where, reason) from error

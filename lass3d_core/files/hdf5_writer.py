"""Writing of HDF5 files in which every byte that matters has a checksum.

HDF5 notices a flipped byte only if it is asked to: arrays need the fletcher32 filter, metadata the newest
format (`libver="latest"`), and variable-length strings have no checksum. So every array is chunked with
fletcher32 and every text is fixed-length UTF-8. No time stamps are stored: equal content gives equal bytes.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np

# A chunk fits the processor's cache, where HDF5 checks and unpacks it. An array of one chunk takes a fifth
# longer to read, most of it to allocate memory.
_CHUNK_BYTES = 1 << 17

# For an array that grows and is read by rows: smaller, because a whole chunk is read for any row in it.
_ROW_CHUNK_BYTES = 1 << 16

_METADATA_BYTES = 1 << 20


@contextmanager
def create(part: Path) -> Iterator[h5py.File]:
    """Build a file (some 100 MB) in memory and write it to `part`. Use it inside `atomic.atomic_write`."""
    # If the disk is full, HDF5 raises a cascade of errors while it closes the file; a plain write raises one.
    memory = io.BytesIO()
    with h5py.File(memory, "w", libver="latest") as file:
        yield file
    part.write_bytes(memory.getvalue())  # a view would outlive a full disk, and Python 3.13 complains of it


class LargeFile:
    """A new file that grows on the disk, if it is too large for memory. Use it inside `atomic.atomic_write`.

    Space is reserved on the disk before HDF5 writes. A full disk then raises one OSError; HDF5 itself may
    notice it only while it closes the file, and ends the process.
    """

    def __init__(self, part: Path) -> None:
        self._disk = part.open("w+b")
        self.file = h5py.File(self._disk, "w", libver="latest")
        self._reserved = 0
        self._reserve(0)

    def append(self, name: str, rows: np.ndarray) -> None:
        """Append rows (n,D) to the array `name`, which the first call creates."""
        self._reserve(rows.nbytes)
        if name not in self.file:
            most = max(1, _ROW_CHUNK_BYTES // (rows.nbytes // len(rows)))
            tail = rows.shape[1:]
            chunks = (min(len(rows), most), *tail)
            self.file.create_dataset(name, data=rows, maxshape=(None, *tail), chunks=chunks, fletcher32=True)
            return
        dataset = self.file[name]
        dataset.resize(len(dataset) + len(rows), axis=0)
        dataset[-len(rows) :] = rows

    def write_array(self, name: str, array: np.ndarray) -> None:
        """See the function `write_array`."""
        self._reserve(array.nbytes)
        write_array(self.file, name, array)

    def __enter__(self) -> LargeFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self._disk.close()

    def _reserve(self, more: int) -> None:
        """Reserve `more` bytes, plus space for the padding of chunks and for metadata."""
        self._reserved += more
        if hasattr(os, "posix_fallocate"):
            size = self._reserved + self._reserved // 8 + _METADATA_BYTES
            os.posix_fallocate(self._disk.fileno(), 0, size)


def write_array(group: h5py.Group, name: str, array: np.ndarray, compact: bool = False) -> None:
    """Write `array` as `name` with fletcher32. compact: also compress it with bitshuffle-LZ4."""
    if array.size == 0:  # HDF5 has no chunk of size 0, and there is no byte to protect
        group.create_dataset(name, data=array)
        return
    pieces = min(len(array), -(-array.nbytes // _CHUNK_BYTES))
    chunks = (-(-len(array) // pieces), *array.shape[1:])  # equal chunks, so that none is mostly padding
    packing = dict(hdf5plugin.Bitshuffle(cname="lz4")) if compact else {}
    group.create_dataset(name, data=array, chunks=chunks, fletcher32=True, **packing)


def text_array(texts: Sequence[str]) -> np.ndarray:
    """The texts as fixed-length UTF-8, padded with zero bytes."""
    encoded = [text.encode() for text in texts]
    return np.array(encoded, h5py.string_dtype("utf-8", max(map(len, encoded), default=1) or 1))


def write_attributes(group: h5py.Group, values: Mapping[str, Any]) -> None:
    """Write numbers, arrays, texts and tuples of texts as attributes; texts as fixed-length UTF-8."""
    for name, value in values.items():
        if isinstance(value, str):
            group.attrs[name] = text_array([value]).reshape(())
        elif isinstance(value, tuple):
            group.attrs[name] = text_array(value)
        else:
            group.attrs[name] = value

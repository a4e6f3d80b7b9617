"""PCD files of the Point Cloud Library: ascii, binary and binary_compressed.

Ours and not a package: those on the index either need PCL itself or read no compressed files; the format is
a text header and one block of rows.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lass3d_core.errors import DataError

_KINDS = {"F": "f", "I": "i", "U": "u"}


def read_pcd(path: Path) -> dict[str, np.ndarray]:
    """Columns by name, fields of several values as name_0, name_1, ... Raises DataError."""
    content = path.read_bytes()
    try:
        header, start = _header_of(content)
        row, count = _row_type(header), int(header["POINTS"][0])
        body = content[start:]
        match header["DATA"][0].lower():
            case "ascii":
                rows = _from_ascii(body, row, count)
            case "binary":
                rows = _from_binary(body, row, count)
            case "binary_compressed":
                rows = _from_compressed(body, row, count)
            case other:
                raise ValueError(f"DATA {other} is unknown")
    except (KeyError, IndexError) as error:
        raise DataError(f"{path} is no PCD file: its header lacks {error}; convert it") from None
    except (ValueError, TypeError) as error:
        raise DataError(f"{path} is no whole PCD file: {error}; copy it again") from None
    return {name: np.ascontiguousarray(rows[name]) for name in row.names or () if not name.startswith("_")}


def _header_of(content: bytes) -> tuple[dict[str, list[str]], int]:
    """The header's lines by keyword, and where the data begin."""
    header: dict[str, list[str]] = {}
    start = 0
    while "DATA" not in header:
        end = content.find(b"\n", start, start + 10_000)
        if end < 0:
            raise ValueError("its header has no line DATA")
        words = content[start:end].decode("latin-1").split("#")[0].split()
        start = end + 1
        if words:
            header[words[0].upper()] = words[1:]
    return header, start


def _row_type(header: dict[str, list[str]]) -> np.dtype:
    names, sizes, kinds = header["FIELDS"], header["SIZE"], header["TYPE"]
    counts = [int(count) for count in header.get("COUNT", ["1"] * len(names))]
    if not len(names) == len(sizes) == len(kinds) == len(counts):
        raise ValueError("FIELDS, SIZE, TYPE and COUNT differ in length")
    fields = []
    for place, (name, size, kind, count) in enumerate(zip(names, sizes, kinds, counts)):
        name = f"_{place}" if name == "_" else name
        each = [name] if count == 1 else [f"{name}_{part}" for part in range(count)]
        fields += [(one, f"<{_KINDS[kind.upper()]}{int(size)}") for one in each]
    return np.dtype(fields)


def _from_ascii(body: bytes, row: np.dtype, count: int) -> np.ndarray:
    values = np.array(body.split(), np.float64)
    width = len(row.names or ())
    if len(values) != count * width:
        raise ValueError(f"it holds {len(values)} numbers, its header promises {count} x {width}")
    rows = np.empty(count, row)
    for name, column in zip(row.names or (), values.reshape(count, width).T):
        rows[name] = column
    return rows


def _from_binary(body: bytes, row: np.dtype, count: int) -> np.ndarray:
    if len(body) < count * row.itemsize:
        raise ValueError(f"it holds {len(body)} bytes, its header promises {count * row.itemsize}")
    return np.frombuffer(body, row, count)


def _from_compressed(body: bytes, row: np.dtype, count: int) -> np.ndarray:
    """Two sizes, then all columns one after the other, packed by LZF."""
    packed, unpacked = np.frombuffer(body, "<u4", 2).tolist()
    if unpacked != count * row.itemsize or len(body) < 8 + packed:
        raise ValueError(f"it holds {len(body)} bytes, its header promises {8 + packed}")
    columns = _unpack_lzf(body[8 : 8 + packed], unpacked)
    rows = np.empty(count, row)
    start = 0
    for name in row.names or ():
        kind = row[name]
        rows[name] = np.frombuffer(columns, kind, count, start)
        start += kind.itemsize * count
    return rows


def _unpack_lzf(packed: bytes, size: int) -> bytes:
    """The inverse of LibLZF's compression. Raises ValueError if it is not `size` bytes."""
    out = bytearray()
    place = 0
    while place < len(packed):
        control = packed[place]
        place += 1
        if control < 32:  # a run of literals
            out += packed[place : place + control + 1]
            place += control + 1
            continue
        length = control >> 5
        if length == 7:
            length += packed[place]
            place += 1
        back = ((control & 31) << 8) + packed[place] + 1
        place += 1
        begin = len(out) - back
        if begin < 0 or len(out) > size:
            raise ValueError("its compressed data are damaged")
        for offset in range(length + 2):  # may read what it has just written
            out.append(out[begin + offset])
    if len(out) != size:
        raise ValueError("its compressed data are damaged")
    return bytes(out)

"""PLY files: the point clouds of ScanNet, and ours for CloudCompare, Open3D and MeshLab."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lass3d_core.errors import DataError
from lass3d_core.files.atomic import atomic_write

_CODES = {
    "char": "i1",
    "uchar": "u1",
    "short": "i2",
    "ushort": "u2",
    "int": "i4",
    "uint": "u4",
    "float": "f4",
    "double": "f8",
    "int8": "i1",
    "uint8": "u1",
    "int16": "i2",
    "uint16": "u2",
    "int32": "i4",
    "uint32": "u4",
    "float32": "f4",
    "float64": "f8",
}
"""Name of a type in the header -> numpy's, without the byte order."""

_NAMES = {code: name for name, code in reversed(_CODES.items())}

_BYTE_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": "="}

_HEADER_BYTES = 1 << 16
"""No header that anyone writes is longer."""


@dataclass(frozen=True)
class _List:
    """A property whose rows have their own lengths, such as the corners of faces."""

    count: np.dtype
    item: np.dtype


@dataclass
class _Element:
    name: str
    count: int
    properties: dict[str, np.dtype | _List]

    @property
    def has_lists(self) -> bool:
        return any(isinstance(kind, _List) for kind in self.properties.values())

    @property
    def dtype(self) -> np.dtype:
        """Of one row, packed; only of an element without lists."""
        return np.dtype([(name, kind) for name, kind in self.properties.items()])


def read_ply(path: Path) -> dict[str, np.ndarray]:
    """Element name ("vertex") -> structured array (count,) with a field for each property, as in the file.

    Binary of either byte order, or ASCII. An element with list properties (faces) is left out. Raises
    DataError where the file is missing, malformed or shorter than its header says.
    """
    content = _read(path)
    try:
        order, elements, start = _header(content)
        if order == "=":
            return _ascii_elements(content[start:], elements)
        return _binary_elements(content, elements, start)
    except ValueError as error:
        raise DataError(f"{path} is no whole PLY file ({error}); copy it again") from None


def write_ply(
    path: Path,
    points: np.ndarray,
    colours: np.ndarray,
    scalars: Mapping[str, np.ndarray] | None = None,
    comments: Sequence[str] = (),
) -> None:
    """Write a coloured cloud, binary little-endian, whole or not at all. Raises StorageError.

    points (N,3) float32 metres. colours (N,3) uint8 r, g, b. scalars: property name -> (N,) integers of up
    to 32 bits or floats, which viewers show as scalar fields. comments: lines of the header; what is not
    ASCII is escaped. Raises ValueError for another type or length.
    """
    columns = dict(zip("xyz", points.T.astype(np.float32)))
    columns |= dict(zip(("red", "green", "blue"), colours.T.astype(np.uint8)))
    columns |= scalars or {}
    for name, column in columns.items():
        if column.shape != (len(points),) or column.dtype.str[1:] not in _NAMES:
            raise ValueError(f"PLY has no property {name} of shape {column.shape} and type {column.dtype}")
    rows = np.empty(len(points), [(name, column.dtype.newbyteorder("<")) for name, column in columns.items()])
    for name, column in columns.items():
        rows[name] = column
    kinds = [f"property {_NAMES[column.dtype.str[1:]]} {name}" for name, column in columns.items()]
    notes = [f"comment {' '.join(comment.split())}" for comment in comments]
    layout = [f"element vertex {len(rows)}", *kinds, "end_header"]
    header = "\n".join(["ply", "format binary_little_endian 1.0", *notes, *layout, ""])
    with atomic_write(path) as part:
        part.write_bytes(header.encode("ascii", "backslashreplace") + rows.tobytes())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; restore it or mend the manifest") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}; restore it") from None


def _header(content: bytes) -> tuple[str, list[_Element], int]:
    """Byte order, elements, and where the first row begins. Raises ValueError."""
    end = content.find(b"\nend_header", 0, _HEADER_BYTES)
    newline = content.find(b"\n", end + 1, end + 16)
    if not content.startswith(b"ply") or end < 0 or newline < 0:
        raise ValueError("it does not begin with a header from 'ply' to 'end_header'")
    lines = [line.split() for line in content[:end].decode("ascii", "replace").splitlines()[1:]]
    order, elements = "", list[_Element]()
    for words in lines:
        match words:
            case ["format", name, _] if name in _BYTE_ORDERS:
                order = _BYTE_ORDERS[name]
            case ["element", name, count] if count.isascii() and count.isdigit():
                elements.append(_Element(name, int(count), {}))
            case ["property", *kind, name] if order and elements and name not in elements[-1].properties:
                elements[-1].properties[name] = _kind(kind, order)
            case [] | ["comment" | "obj_info", *_]:
                pass
            case _:
                raise ValueError(f"its header has the line {' '.join(words)[:60]!r}")
    if not order or any(not element.properties for element in elements):
        raise ValueError("its header names no format, or an element without properties")
    return order, elements, newline + 1


def _kind(words: Sequence[str], order: str) -> np.dtype | _List:
    match words:
        case [name] if name in _CODES:
            return np.dtype(order + _CODES[name])
        case ["list", count, item] if _CODES.get(count, "f")[0] in "iu" and item in _CODES:
            return _List(np.dtype(order + _CODES[count]), np.dtype(order + _CODES[item]))
    raise ValueError(f"its header has the property type {' '.join(words)[:60]!r}")


def _binary_elements(content: bytes, elements: Sequence[_Element], start: int) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for element in _up_to_last_without_lists(elements):
        if element.has_lists:
            start = _after_lists(content, element, start)
            continue
        size = element.count * element.dtype.itemsize
        if size > len(content) - start:
            raise ValueError(f"it ends inside the {element.count} rows of {element.name!r}")
        found[element.name] = np.frombuffer(content, element.dtype, element.count, start)
        start += size
    return found


def _after_lists(content: bytes, element: _Element, start: int) -> int:
    """Where the rows of an element with lists end; each row's own counts say it."""
    for _ in range(element.count):
        for kind in element.properties.values():
            if isinstance(kind, _List):
                here = content[start : start + kind.count.itemsize]
                length = int(np.frombuffer(here, kind.count, 1)[0]) if len(here) == kind.count.itemsize else 0
                start += kind.count.itemsize + max(length, 0) * kind.item.itemsize
            else:
                start += kind.itemsize
        if start > len(content):
            raise ValueError(f"it ends inside the {element.count} rows of {element.name!r}")
    return start


def _ascii_elements(content: bytes, elements: Sequence[_Element]) -> dict[str, np.ndarray]:
    lines = content.splitlines()
    found: dict[str, np.ndarray] = {}
    start = 0
    for element in _up_to_last_without_lists(elements):
        rows = [line.split() for line in lines[start : start + element.count]]
        if len(rows) < element.count:
            raise ValueError(f"it ends inside the {element.count} rows of {element.name!r}")
        start += element.count
        if not element.has_lists:
            found[element.name] = _from_text(rows, element)
    return found


def _from_text(rows: Sequence[Sequence[bytes]], element: _Element) -> np.ndarray:
    """The rows of an ASCII element; double precision holds every type that PLY has exactly."""
    if any(len(row) != len(element.properties) for row in rows):
        raise ValueError(f"a row of {element.name!r} has not {len(element.properties)} values")
    values = np.array(rows, np.bytes_).reshape(len(rows), -1).astype(np.float64)
    found = np.empty(len(rows), element.dtype)
    for column, (name, kind) in zip(values.T, element.dtype.fields.items()):  # type: ignore[union-attr]
        if kind[0].kind in "iu":
            limits = np.iinfo(kind[0])
            if not ((column >= limits.min) & (column <= limits.max)).all():
                raise ValueError(f"a value of {name!r} does not fit its type")
        found[name] = column
    return found


def _up_to_last_without_lists(elements: Sequence[_Element]) -> Sequence[_Element]:
    """What has to be walked through to read every element without lists; faces commonly stand last."""
    last = max((i for i, element in enumerate(elements) if not element.has_lists), default=-1)
    return elements[: last + 1]

"""Shards of the caption stages: text files of one JSON object per line, with a checksum.

- The first line is the header: schema, stage, shard, fingerprint, record of what the shard was made from.
- Then one line per image: {"image_id": ..., ...} or {"image_id": ..., "error": ...}.
- The last line is the footer: number of images, number of failures, digests, CRC-32 of everything before it.

A digest covers one aspect of the contents, so a later stage depends only on the aspect that it reads: two
shards with different masks and equal phrases have the same digest "phrases".
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lass3d_core.errors import CorruptArtifact, MissingArtifact
from lass3d_core.files.atomic import atomic_write
from lass3d_core.files.fingerprint import Record, as_record, canonical_json, digest
from lass3d_core.files.json_files import parse_json
from preprocess.stages.stage import Failure, Stored

SCHEMA = 1
_FOOTER_BYTES = 1 << 14


@dataclass(frozen=True)
class Header:
    """First line of a shard. record: what the shard was made from. fingerprint: digest of the record."""

    schema: int
    stage: str
    shard: str
    fingerprint: str
    record: Record


@dataclass(frozen=True)
class Footer:
    """Last line of a shard. count: images. failures: images with an error. digests: aspect -> hash."""

    count: int
    failures: int
    digests: Mapping[str, str]
    crc32: int = 0


def content_digest(value: Any) -> str:
    """Digest of a JSON value, 32 hex digits. The order of keys does not matter."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:32]


def write_jsonl(
    path: Path, record: Record, images: Sequence[Mapping[str, Any]], digests: Mapping[str, str]
) -> None:
    """Write a shard by an atomic rename. Equal arguments give equal bytes. Raises StorageError."""
    header = Header(SCHEMA, record["stage"], path.stem, digest(record), record)
    footer = Footer(len(images), sum("error" in image for image in images), digests)
    body = b"".join(map(_line, [asdict(header), *images]))
    with atomic_write(path) as part:
        part.write_bytes(body + _line({"end": True, **asdict(footer), "crc32": _checksum(body, footer)}))


def read_jsonl(path: Path) -> tuple[Header, list[dict[str, Any]], Footer]:
    """Read and check a shard. Raises MissingArtifact; CorruptArtifact, which names file and line."""
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        raise _missing(path) from None
    values = [_parsed(path, f"line {number}", line) for number, line in enumerate(lines, start=1)]
    if not values:
        raise _corrupt(path, "it is empty")
    end = f"line {len(lines)}"
    header, footer = _header(path, values[0]), _footer(path, end, values[-1])
    for number, value in enumerate(values[1:-1], start=2):
        if not isinstance(value, dict) or not isinstance(value.get("image_id"), str):
            raise _corrupt(path, f"line {number} is not the record of an image")
    if len(values) - 2 != footer.count:
        raise _corrupt(path, f"it holds {len(values) - 2} records, but {end} says {footer.count}")
    if _checksum(b"".join(lines[:-1]), footer) != footer.crc32:
        raise _corrupt(path, f"its bytes do not match the checksum in {end}")
    return header, values[1:-1], footer


def read_ends(path: Path) -> tuple[Header, Footer]:
    """Read header and footer and nothing else. Raises MissingArtifact, CorruptArtifact."""
    try:
        with path.open("rb") as file:
            first = file.readline()
            file.seek(max(0, path.stat().st_size - _FOOTER_BYTES))
            last = (file.read().splitlines(keepends=True) or [b""])[-1]
    except FileNotFoundError:
        raise _missing(path) from None
    end = "its last line"
    return _header(path, _parsed(path, "line 1", first)), _footer(path, end, _parsed(path, end, last))


def read_digest(path: Path, aspect: str) -> str:
    """Read the digest of one aspect of a shard. Raises MissingArtifact, CorruptArtifact."""
    _, footer = read_ends(path)
    if aspect not in footer.digests:
        raise _corrupt(path, f"its last line has no digest of the {aspect}")
    return footer.digests[aspect]


def read_record(path: Path) -> Stored:
    """What a shard says about itself. Raises MissingArtifact, CorruptArtifact."""
    header, footer = read_ends(path)
    return header.record, footer.failures


def failures_in(images: Sequence[dict[str, Any]]) -> list[Failure]:
    """The failed ones among the lines of a shard."""
    return [Failure(image["image_id"], image["error"]) for image in images if "error" in image]


def _checksum(body: bytes, footer: Footer) -> int:
    """CRC-32 of the body and of the footer's other fields."""
    others = canonical_json([footer.count, footer.failures, dict(footer.digests)])
    return zlib.crc32(others.encode(), zlib.crc32(body))


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _parsed(path: Path, where: str, line: bytes) -> Any:
    if not line.endswith(b"\n"):
        raise _corrupt(path, f"{where} is cut off")
    try:
        return parse_json(line)
    except ValueError:
        raise _corrupt(path, f"{where} is not JSON") from None


def _header(path: Path, value: Any) -> Header:
    if not isinstance(value, dict) or value.keys() != Header.__dataclass_fields__.keys():
        raise _corrupt(path, "line 1 is not a shard header")
    if value["schema"] != SCHEMA:
        raise _corrupt(path, f"line 1 says schema {value['schema']}, this version reads {SCHEMA}")
    try:
        header = Header(**{**value, "record": as_record(value["record"])})
    except ValueError as error:
        raise _corrupt(path, f"line 1: {error}") from None
    if header.fingerprint != digest(header.record):
        raise _corrupt(path, "the record in line 1 does not belong to its fingerprint")
    return header


def _footer(path: Path, where: str, value: Any) -> Footer:
    if not isinstance(value, dict) or value.pop("end", None) is not True:
        raise _corrupt(path, f"{where} is not the end of a shard; the rest is missing")
    types = {"count": int, "failures": int, "digests": dict, "crc32": int}
    if value.keys() != types.keys() or not all(isinstance(value[key], types[key]) for key in types):
        raise _corrupt(path, f"{where} is not a shard footer")
    return Footer(**value)


def _missing(path: Path) -> MissingArtifact:
    return MissingArtifact(f"{path} is missing; run `make captions`")


def _corrupt(path: Path, what: str) -> CorruptArtifact:
    return CorruptArtifact(f"{path}: {what}; delete the file and run `make captions`")

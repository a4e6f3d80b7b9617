"""Reading of nuScenes' tables, which are JSON lists of records, one record at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from lass3d_core.errors import DataError, reading


def table_of(folder: Path, name: str) -> Path:
    """The file of a table."""
    return folder / f"{name}.json"


def records(path: Path, keys: Collection[str]) -> Iterator[dict[str, Any]]:
    """Yield the records of a table. Only a part of the file is in memory at a time.

    Raises DataError if the file is no list of records, or if a record lacks one of `keys`.
    """
    wanted = set(keys)
    try:
        missing = "unpack nuScenes' tables there, or mend `root` and `version`"
        with reading(path, missing), path.open(encoding="utf-8-sig") as file, _progress(path) as bar:
            for number, record in enumerate(_items(file, bar)):
                lacking = wanted - record.keys() if isinstance(record, dict) else wanted
                if lacking:
                    raise DataError(f'{path}: record {number} lacks "{min(lacking)}"; copy the table again')
                yield record
    except ValueError as error:
        raise DataError(f"{path} is cut off or no list of records in JSON ({error}); copy it again") from None


_BLOCK = 1 << 22  # characters that are read at once; a record has less than a thousand
_BEGINNING = re.compile(r"[^\s,]")  # of an item, or the end of the list


def _items(file: TextIO, bar: tqdm) -> Iterator[Any]:
    """Yield the items of a JSON list. Raises ValueError."""
    decoder = json.JSONDecoder()
    text, at = _read_block(file, bar).lstrip(), 1
    if not text.startswith("["):
        raise ValueError("it does not begin with a list")
    while True:
        found = _BEGINNING.search(text, at)
        at = found.start() if found else len(text)
        if text.startswith("]", at):
            return
        try:
            item, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            more = _read_block(file, bar)
            if not more or len(text) - at > _BLOCK:
                raise ValueError(error.msg) from None
            text, at = text[at:] + more, 0
            continue
        except RecursionError:
            raise ValueError("it is nested too deeply") from None
        yield item


def _progress(path: Path) -> tqdm:
    """A progress bar over the bytes of a file, for large tables."""
    form: dict[str, Any] = {"unit": "B", "unit_scale": True, "leave": False, "delay": 2, "disable": None}
    return tqdm(desc=f"reading {path.name}", total=path.stat().st_size, **form)


def _read_block(file: TextIO, bar: tqdm) -> str:
    text = file.read(_BLOCK)
    bar.update(len(text))
    return text

"""Bytes of the tensors in a tree of dataclasses and tuples."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor


def bytes_of(value: Any) -> int:
    """Bytes of all tensors in `value`; memory that two tensors share counts once."""
    return sum(dict(_memories(value)).values())


def _memories(value: Any) -> list[tuple[int, int]]:
    if isinstance(value, Tensor):
        memory = value.untyped_storage()
        return [(memory.data_ptr(), memory.nbytes())]
    if isinstance(value, tuple):
        return [one for part in value for one in _memories(part)]
    if is_dataclass(value) and not isinstance(value, type):
        return [one for field in fields(value) for one in _memories(getattr(value, field.name))]
    return []

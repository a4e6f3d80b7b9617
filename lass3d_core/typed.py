"""Plain mappings (YAML, JSON, `--set`) into frozen dataclasses, every problem reported by its path.

The dataclass is the schema: a field without a default is required, its annotation is its type, its
`__post_init__` may raise ValueError for a value out of range.
"""

from __future__ import annotations

import dataclasses
import difflib
import enum
import math
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

T = TypeVar("T")


def build(cls: type[T], values: Any, path: str, problems: list[str]) -> T | None:
    """`values` as an instance of the dataclass `cls`; None when anything below `path` is wrong.

    Problems are appended as "path: what is wrong", so that a caller can report all of them together.
    """
    if not isinstance(values, Mapping):
        problems.append(f"{path}: expected keys and values, got {_shown(values)}")
        return None
    before = len(problems)
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}  # type: ignore[arg-type]
    for key in values:
        if key not in fields:
            problems.append(f"{_join(path, key)}: unknown key{nearest(str(key), fields)}")
    for name, field in fields.items():
        if name not in values and _required(field):
            problems.append(f"{_join(path, name)}: missing")
    built = {
        name: convert(hints[name], values[name], _join(path, name), problems)
        for name in fields
        if name in values
    }
    if len(problems) > before:
        return None
    try:
        return cls(**built)
    except ValueError as error:
        problems.append(f"{path or cls.__name__}: {error}")
        return None


def convert(hint: Any, value: Any, path: str, problems: list[str]) -> Any:
    """`value` checked and converted to the annotation `hint`; a mismatch is appended to `problems`."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _convert_union(arguments, value, path, problems)
    if origin is typing.Literal:
        if value not in arguments:
            problems.append(_not_one_of(path, value, arguments))
        return value
    if origin is tuple:
        return _convert_tuple(arguments, value, path, problems)
    if origin in (dict, Mapping) or hint in (dict, Mapping) or str(origin).endswith("abc.Mapping'>"):
        return _convert_mapping(arguments, value, path, problems)
    if dataclasses.is_dataclass(hint):
        return value if isinstance(value, hint) else build(hint, value, path, problems)  # type: ignore[arg-type]
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        known = [member.value for member in hint]
        if value not in known:
            problems.append(_not_one_of(path, value, known))
            return value
        return hint(value)
    return _convert_plain(hint, value, path, problems)


def parse_setting(text: str) -> tuple[tuple[str, ...], Any]:
    """`"method.tau_r=0.8"` as (("method", "tau_r"), 0.8); the value is read as YAML. Raises ValueError."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ValueError(f"{text!r} is not of the form key=value")
    try:
        return tuple(key.strip().split(".")), yaml.safe_load(value)
    except yaml.YAMLError:
        raise ValueError(f"{text!r}: the value is not valid YAML") from None


def replace_at(config: T, keys: tuple[str, ...], value: Any, path: str, problems: list[str]) -> T:
    """A copy of the frozen `config` with its nested field `keys` set to `value`, typed and checked."""
    hints = typing.get_type_hints(type(config))
    name, rest = keys[0], keys[1:]
    here = _join(path, name)
    if name not in hints:
        problems.append(f"{here}: unknown key{nearest(name, hints)}")
        return config
    current = getattr(config, name)
    if rest and dataclasses.is_dataclass(current):
        new = replace_at(current, rest, value, here, problems)
    elif rest:
        problems.append(f"{here}: has no keys below it")
        return config
    else:
        new = convert(hints[name], value, here, problems)
    if problems:
        return config
    try:
        return dataclasses.replace(config, **{name: new})  # type: ignore[type-var]
    except ValueError as error:
        problems.append(f"{here}: {error}")
        return config


def to_json(value: Any) -> Any:
    """The inverse of `build`: dataclasses, enums, paths and tuples as JSON-able values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_json(item) for item in value]
    return value


def nearest(name: str, known: Iterable[Any]) -> str:
    """`"; did you mean x?"` for the known name nearest to `name`, or nothing."""
    matches = difflib.get_close_matches(name, [str(item) for item in known], n=1)
    return f"; did you mean {matches[0]!r}?" if matches else ""


def _convert_union(arguments: tuple[Any, ...], value: Any, path: str, problems: list[str]) -> Any:
    if value is None and type(None) in arguments:
        return None
    options = [argument for argument in arguments if argument is not type(None)]
    complaints: list[list[str]] = []
    for option in options:
        trial: list[str] = []
        converted = convert(option, value, path, trial)
        if not trial:
            return converted
        complaints.append(trial)
    most_detailed = max(complaints, key=len)
    problems.extend(most_detailed)
    return value


def _convert_tuple(arguments: tuple[Any, ...], value: Any, path: str, problems: list[str]) -> Any:
    if not isinstance(value, (list, tuple)):
        problems.append(f"{path}: expected a list, got {_shown(value)}")
        return value
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(convert(arguments[0], item, f"{path}[{i}]", problems) for i, item in enumerate(value))
    if len(value) != len(arguments):
        problems.append(f"{path}: expected {len(arguments)} values, got {len(value)}")
        return value
    return tuple(
        convert(hint, item, f"{path}[{i}]", problems) for i, (hint, item) in enumerate(zip(arguments, value))
    )


def _convert_mapping(arguments: tuple[Any, ...], value: Any, path: str, problems: list[str]) -> Any:
    if not isinstance(value, Mapping):
        problems.append(f"{path}: expected keys and values, got {_shown(value)}")
        return value
    item_hint = arguments[1] if len(arguments) == 2 else Any
    return {str(key): convert(item_hint, item, _join(path, key), problems) for key, item in value.items()}


def _convert_plain(hint: Any, value: Any, path: str, problems: list[str]) -> Any:
    if hint is Any:
        return value
    if hint is Path:
        if isinstance(value, (str, Path)) and str(value):
            return Path(value)
        problems.append(f"{path}: expected a path, got {_shown(value)}")
        return value
    if hint is float:
        return _convert_float(value, path, problems)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        problems.append(f"{path}: expected {_TYPE_WORDS.get(hint, hint.__name__)}, got {_shown(value)}")
    return value


def _convert_float(value: Any, path: str, problems: list[str]) -> Any:
    """A finite number; also written as a text, which is what YAML 1.1 makes of 1e-3 (no dot)."""
    try:
        number = (
            float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else None
        )
    except (ValueError, OverflowError):
        number = None
    if number is None or not math.isfinite(number):
        problems.append(f"{path}: expected a finite number, got {_shown(value)}")
        return value
    return number


_TYPE_WORDS = {int: "a whole number", str: "a text", bool: "true or false"}


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _join(path: str, key: Any) -> str:
    """The path of `key` below `path`; a key that would break the line is quoted."""
    name = str(key) if str(key).isprintable() else repr(str(key))
    return f"{path}.{name}" if path else name


def _not_one_of(path: str, value: Any, known: Sequence[Any]) -> str:
    return f"{path}: {_shown(value)} is not one of {_listed(known)}{nearest(str(value), known)}"


def _listed(items: Iterable[Any]) -> str:
    return ", ".join(str(item) for item in items)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."

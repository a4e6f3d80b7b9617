"""Settings that are checked when they are made: the manifest and a run's configuration are built of them.

A group of settings is a pydantic dataclass, frozen, whose fields carry their bounds:

    @dataclass(frozen=True, config=SETTINGS)
    class EmaConfig:
        alpha: float = Field(default=0.999, ge=0, lt=1)  # horizon of the teacher, Eq. (1)

A check across fields stands in `__post_init__` and raises ValueError. `read` also takes plain dataclasses.
"""

from __future__ import annotations

import dataclasses
import difflib
import enum
import functools
import json
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from lass3d_core.plain_yaml import load_yaml

T = TypeVar("T")

# Strict: a number is no text, 3.0 is no whole number, and true is no number.
SETTINGS = ConfigDict(extra="forbid", allow_inf_nan=False, strict=True)


class WrongSettings(ValueError):
    """All that is wrong with some values. problems: "path: what is wrong", one for each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(" | ".join(problems))
        self.problems = problems


def read(cls: type[T], values: Any, path: str = "", context: Mapping[str, Any] | None = None) -> T:
    """Turn `values`, plain as YAML or JSON gives them, into an instance of the dataclass `cls`.

    path: of `values` in the file, in front of the path of each problem. context: for the validators of `cls`.
    Raises WrongSettings.
    """
    try:
        plain = to_json(values)
        # Strict pydantic takes a list for a tuple, and a text for a path, only from JSON.
        text = json.dumps([plain], default=repr)
        adapter = _adapter(cls)  # type: ignore[arg-type]
        return adapter.validate_json(text, context=dict(context or {}))[0]
    except ValidationError as error:
        found = dict(_problem(one, cls, plain) for one in error.errors(include_url=False))
    except RecursionError:
        found = {("", ""): "is nested too deeply"}
    problems = [_joined(": ", _joined(".", path, place), words) for (place, _), words in found.items()]
    raise WrongSettings(problems)


def with_settings(config: T, settings: Iterable[str], cls: type[T] | None = None) -> T:
    """Copy `config` with every "key.key=value" of `settings` in place; a value is YAML.

    cls: what `config` is checked against, its own class by default. Raises WrongSettings.
    """
    values, problems = to_json(config), list[str]()
    for setting in settings:
        try:
            keys, value = parse_setting(setting)
            _put(values, keys, value)
        except ValueError as error:
            problems.append(str(error))
    try:
        changed = read(cls or type(config), values)
    except WrongSettings as error:
        problems += error.problems
    if problems:
        raise WrongSettings(problems)
    return changed


def parse_setting(text: str) -> tuple[tuple[str, ...], Any]:
    """Split `"method.tau_r=0.8"` into (("method", "tau_r"), 0.8); the value is YAML. Raises ValueError."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ValueError(f"{text!r} is not of the form key=value")
    try:
        return tuple(key.strip().split(".")), load_yaml(value)
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}") from None


def to_json(value: Any) -> Any:
    """The inverse of `read`: dataclasses, enums, paths and tuples as values that JSON has."""
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
    """`"; did you mean 'x'?"` for the known name nearest to `name`, or nothing."""
    matches = difflib.get_close_matches(name, [str(item) for item in known], n=1)
    return f"; did you mean {matches[0]!r}?" if matches else ""


@functools.cache
def _adapter(cls: Any) -> TypeAdapter[Any]:
    # In a tuple, because pydantic lends a configuration to plain dataclasses below another type alone.
    return TypeAdapter(tuple[cls], config=SETTINGS)


def _put(values: dict[str, Any], keys: tuple[str, ...], value: Any) -> None:
    """Set the value at `keys`. An unknown key is made: `read` reports it. Raises ValueError."""
    for depth, key in enumerate(keys[:-1], start=1):
        values = values.setdefault(key, {})
        if not isinstance(values, dict):
            raise ValueError(f"{'.'.join(keys[:depth])}: has no keys below it")
    values[keys[-1]] = value


_WORDS = {  # pydantic's type of an error: our words, filled with its input and its context
    "missing": "missing",
    "dataclass_type": "expected keys and values, got {input}",
    "dict_type": "expected keys and values, got {input}",
    "tuple_type": "expected a list, got {input}",
    "string_type": "expected a text, got {input}{quotes}",
    "path_type": "expected a path, got {input}",
    "bool_type": "expected true or false, got {input}",
    "int_type": "expected a whole number, got {input}",
    "float_type": "expected a finite number, got {input}",
    "finite_number": "expected a finite number, got {input}",
    "literal_error": "{input} is not one of {known}{nearest}",
    "enum": "{input} is not one of {known}{nearest}",
    "unexpected_keyword_argument": "unknown key{nearest}",
    "greater_than": "must be above {gt:g}, got {input}",
    "greater_than_equal": "must be at least {ge:g}, got {input}",
    "less_than": "must be below {lt:g}, got {input}",
    "less_than_equal": "must be at most {le:g}, got {input}",
    "too_short": "needs {min_length} or more values, got {actual_length}",
    "too_long": "expected {max_length} values, got {actual_length}",
    "value_error": "{error}",
}


def _problem(error: ErrorDetails, cls: Any, values: Any) -> tuple[tuple[str, str], str]:
    """Where pydantic found something wrong, as "key.key[0]", of which kind, and what, in our words."""
    kind, value, where = error["type"], error["input"], error["loc"][1:]  # [0] is the tuple of `_adapter`
    if kind == "missing" and isinstance(where[-1], int):  # the last one to be missing is reported last
        return (_path(values, where[:-1]), kind), f"expected {where[-1] + 1} values, got {len(value)}"
    quotes = "" if isinstance(value, (dict, list)) else "; put it in quotes"
    filling = {"input": _shown(value), "quotes": quotes, **error.get("ctx", {})}
    if kind == "unexpected_keyword_argument":
        filling["nearest"] = nearest(str(where[-1]), _fields_at(cls, where[:-1]))
    if kind in ("literal_error", "enum"):
        known = [one.strip("'") for one in filling["expected"].replace(" or ", ", ").split(", ")]
        filling |= {"known": ", ".join(known), "nearest": nearest(str(value), known)}
    return (_path(values, where), kind), _WORDS[kind].format(**filling) if kind in _WORDS else error["msg"]


def _path(values: Any, where: tuple[int | str, ...]) -> str:
    """The place `where` in `values` as "key.key[0]", without pydantic's names for what is no key."""
    path = ""
    for part in where:
        if isinstance(values, list) and isinstance(part, int):
            path, values = f"{path}[{part}]", values[part]
        elif isinstance(values, dict) and (part in values or part != "[key]"):
            name = part if str(part).isprintable() else repr(part)
            path, values = f"{path}.{name}".lstrip("."), values.get(part)
    return path


def _fields_at(hint: Any, where: tuple[int | str, ...]) -> list[str]:
    """The keys of the dataclass at `where` below the annotation `hint`."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(owner := origin or hint):
        if not where:
            return [field.name for field in dataclasses.fields(owner)]
        inner = typing.get_type_hints(owner).get(str(where[0]))
        return _fields_at(arguments[0] if isinstance(inner, TypeVar) else inner, where[1:])
    below = where if origin in (typing.Union, types.UnionType) else where[1:]
    return [name for argument in arguments for name in _fields_at(argument, below)]


def _joined(mark: str, *parts: str) -> str:
    return mark.join(part for part in parts if part)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."

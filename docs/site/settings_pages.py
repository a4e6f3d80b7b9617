"""The settings reference, made of the classes that check the settings: key, default, values and the comment.

A group of settings is a pydantic dataclass (lass3d_core/settings.py). Its docstring stands above its table.
The comment of a field stands behind it, or on the lines above it.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import json
import re
import tokenize
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_type_hints

from pydantic import TypeAdapter
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticUserError
from pydantic_core import PydanticUndefined

from lass3d_core.manifest.schema import DatasetSpec, Manifest
from lass3d_core.settings import SETTINGS, to_json
from preprocess.lvm import ADAPTERS
from train.config import RunConfig
from train.methods import METHODS
from train.presets import PRESETS


class Group(NamedTuple):
    """A class of settings and the key below which a run or the manifest has it; "" for the top."""

    prefix: str
    settings: type
    default: Any  # an instance, or None where there is none


class Row(NamedTuple):
    """One setting."""

    key: str
    default: str
    values: str
    comment: str


def run_settings(_: Path) -> str:
    """The settings of a run, but for those of the methods."""
    of_run = [group for group in groups("", RunConfig) if not group.prefix.startswith("method")]
    return "\n\n".join(_section(group, "###") for group in of_run)


def method_settings(_: Path) -> str:
    """The settings of every method, below `method`."""
    parts = []
    for name, (settings, method) in METHODS.items():
        first = (inspect.getdoc(inspect.getmodule(method)) or "").split("\n")[0]
        parts.append(f"### `METHOD={name}`\n\n{_text(first)}")
        parts += [
            _section(group, "####", with_title=bool(i)) for i, group in enumerate(groups("method", settings))
        ]
    return "\n\n".join(parts)


def manifest_settings(_: Path) -> str:
    """The keys of data_manifest.yaml."""
    found = {group.prefix: group for group in groups("", Manifest)}
    of_data = [
        group._replace(prefix=f"datasets.NAME.{group.prefix}".rstrip("."))
        for group in groups("", DatasetSpec)
    ]
    # What a data set replaces has the same keys as the manifest's own.
    repeated = tuple(
        f"datasets.NAME.{key}" for key in ("image_captions", "entities", "text_embeddings", "pairs")
    )
    own = [group for group in of_data if not group.prefix.startswith(repeated)]
    return "\n\n".join(_section(group, "###") for group in (*found.values(), *own))


def model_settings(_: Path) -> str:
    """The parameters of every language-vision model, below `params`."""
    parts = []
    for stage, models in ADAPTERS.items():
        for name, (settings, _adapter) in models.items():
            parts.append(f"### `{stage}: {{name: {name}}}`")
            parts += [
                _section(group, "####", with_title=bool(i))
                for i, group in enumerate(groups("params", settings))
            ]
    return "\n\n".join(parts)


def presets(_: Path) -> str:
    """What each preset changes, with the paper's method; then what it changes for other methods."""
    parts = []
    for name, preset in PRESETS.items():
        config = preset("DATASET", "lass3d", 10.0, 0)
        changed = _differences(
            to_json(config), to_json(RunConfig("DATASET", name, 10.0, 0, METHODS["lass3d"][0]()))
        )
        rows = [f"| `{key}` | `{_plain(value)}` |" for key, value in changed if key != "note"]
        first = (inspect.getdoc(preset) or "").split("\n\n")[0].removesuffix(" Raises UnknownName.")
        parts.append(f"### `PRESET={name}`\n\n{_text(first)}\n\n{_text(config.note)}")
        parts.append("\n".join(["| with `METHOD=lass3d` | value |", "|---|---|", *rows]))
        others = list(_of_other_methods(preset))
        if others:
            parts.append("\n".join(["| with another method | setting | value |", "|---|---|---|", *others]))
    return "\n\n".join(parts)


def _of_other_methods(preset: Any) -> Iterator[str]:
    for name, (settings, _) in METHODS.items():
        if name == "lass3d":
            continue
        changed = _differences(to_json(preset("DATASET", name, 10.0, 0).method), to_json(settings()))
        if changed:
            keys = "<br>".join(f"`method.{key}`" for key, _ in changed)
            values = "<br>".join(f"`{_plain(value)}`" for _, value in changed)
            yield f"| `{name}` | {keys} | {values} |"


def groups(prefix: str, settings: type, default: Any = None) -> Iterator[Group]:
    """The group itself, then those below it, depth first."""
    instance = default if default is not None else _instance(settings)
    yield Group(prefix, settings, instance)
    hints = get_type_hints(settings)
    for field in dataclasses.fields(settings):
        below = _group_in(hints[field.name])
        if below is not None:
            inner = getattr(instance, field.name, None) if instance is not None else _given(field)
            inner = inner if dataclasses.is_dataclass(inner) else None
            yield from groups(f"{prefix}.{field.name}".lstrip("."), below, inner)


def rows(group: Group) -> list[Row]:
    """The settings of a group that have a value, in the order of the class."""
    schema, comments, hints = (
        _schema(group.settings),
        comments_of(group.settings),
        get_type_hints(group.settings),
    )
    found = []
    for field in dataclasses.fields(group.settings):
        if _group_in(hints[field.name]) is not None and not _is_optional(hints[field.name]):
            continue
        key = f"{group.prefix}.{field.name}".lstrip(".")
        described = schema.get(field.name, {})
        default = _default(group.default, field)
        found.append(Row(key, default, _values(described, hints[field.name]), comments.get(field.name, "")))
    return found


@functools.cache
def comments_of(settings: type) -> dict[str, str]:
    """Field -> the comment behind it, or on the lines above it; also of the fields of the bases."""
    found: dict[str, str] = {}
    for cls in reversed(settings.__mro__):
        if dataclasses.is_dataclass(cls) and cls is not object:
            found |= _comments_in(inspect.getsource(cls))
    return found


def _comments_in(source: str) -> dict[str, str]:
    source = inspect.cleandoc("\n" + source)
    comments = {
        token.start[0]: (token.string.lstrip("# ").strip(), token.line.strip().startswith("#"))
        for token in tokenize.generate_tokens(StringIO(source).readline)
        if token.type == tokenize.COMMENT and not token.string.startswith(("# noqa", "# type:"))
    }
    found = {}
    for node in ast.parse(source).body[0].body:  # type: ignore[attr-defined]
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        behind = [
            comments[line][0] for line in range(node.lineno, (node.end_lineno or 0) + 1) if line in comments
        ]
        above: list[str] = []
        line = node.lineno - 1
        while line in comments and comments[line][1]:
            above.insert(0, comments[line][0])
            line -= 1
        found[node.target.id] = " ".join(above + behind)
    return found


def _section(group: Group, heading: str, with_title: bool = True) -> str:
    title = f"`{group.prefix}`" if group.prefix else "At the top"
    text = inspect.cleandoc(group.settings.__doc__ or "")  # its own, not that of its base
    lines = ["| key | default | values | meaning |", "|---|---|---|---|"]
    lines += [f"| `{row.key}` | {row.default} | {row.values} | {_cell(row.comment)} |" for row in rows(group)]
    parts = [f"{heading} {title}"] if with_title else []
    if not text.startswith(f"{group.settings.__name__}("):  # the docstring that `dataclass` makes itself
        parts.append(_text(text))
    return "\n\n".join([*parts, "\n".join(lines)]) if len(lines) > 2 else "\n\n".join(parts)


def _group_in(hint: Any) -> type | None:
    """The class of settings in an annotation: itself, or beside None."""
    for one in (hint, *get_args(hint)):
        if isinstance(one, type) and dataclasses.is_dataclass(one):
            return one if one is hint or _is_optional(hint) else None
    return None


def _is_optional(hint: Any) -> bool:
    return type(None) in get_args(hint)


def _instance(settings: type) -> Any:
    try:
        return settings()
    except (TypeError, ValueError):  # it has a field without a default
        return None


def _default(instance: Any, field: dataclasses.Field[Any]) -> str:
    if instance is not None:
        return f"`{_plain(to_json(getattr(instance, field.name)))}`"
    default = _given(field)
    return "required" if default is dataclasses.MISSING else f"`{_plain(to_json(default))}`"


def _given(field: dataclasses.Field[Any]) -> Any:
    """The default that stands in the class; MISSING if there is none."""
    default = field.default
    if default is dataclasses.MISSING and field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    default = getattr(default, "default", default)  # of pydantic's Field
    return dataclasses.MISSING if default is PydanticUndefined else default


def _plain(value: Any) -> str:
    """A value as YAML in one line."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str):
        return value or '""'
    return json.dumps(value)


def _differences(values: dict[str, Any], defaults: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in values.items():
        name, default = f"{prefix}{key}", defaults.get(key)
        if isinstance(value, dict) and isinstance(default, dict):
            found += _differences(value, default, f"{name}.")
        elif value != default:
            found.append((name, value))
    return found


@functools.cache
def _schema(settings: type) -> dict[str, Any]:
    """Field -> its JSON schema, with what it refers to put in place."""
    try:
        whole = TypeAdapter(settings, config=None).json_schema()
    except (PydanticInvalidForJsonSchema, PydanticUserError):
        whole = TypeAdapter(tuple[settings], config=SETTINGS).json_schema()  # type: ignore[valid-type]
        whole = {**whole["$defs"][settings.__name__], "$defs": whole["$defs"]}
    known = whole.get("$defs", {})

    def resolved(node: Any) -> Any:
        if isinstance(node, dict):
            if "$ref" in node:
                return resolved(known[node["$ref"].rpartition("/")[2]])
            return {key: resolved(value) for key, value in node.items() if key != "$defs"}
        return [resolved(one) for one in node] if isinstance(node, list) else node

    properties: dict[str, Any] = resolved(whole).get("properties", {})
    return properties


def _values(schema: dict[str, Any], hint: Any) -> str:
    """The values that a setting takes, in words."""
    if _group_in(hint) is not None:
        return "the keys of its group, or `null`"
    return _in_words(schema) or "any"


def _in_words(schema: dict[str, Any]) -> str:
    if "const" in schema:
        return f"`{_plain(schema['const'])}`"
    if "enum" in schema:
        return ", ".join(f"`{_plain(one)}`" for one in schema["enum"])
    if "anyOf" in schema or "oneOf" in schema:
        words = [_in_words(one) for one in schema.get("anyOf") or schema["oneOf"]]
        return " or ".join(dict.fromkeys(word for word in words if word))
    kind = schema.get("type")
    if kind in ("integer", "number"):
        return ", ".join(["whole number" if kind == "integer" else "number", *_bounds(schema)])
    if kind == "array":
        return _list_in_words(schema)
    if kind == "object":
        return "keys and values"
    return {"boolean": "`true`, `false`", "string": "text", "null": "`null`"}.get(str(kind), "")


def _bounds(schema: dict[str, Any]) -> Iterator[str]:
    words = {
        "minimum": "at least",
        "exclusiveMinimum": "above",
        "maximum": "at most",
        "exclusiveMaximum": "below",
    }
    for key, word in words.items():
        if key in schema:
            yield f"{word} {schema[key]:g}"


def _list_in_words(schema: dict[str, Any]) -> str:
    if "prefixItems" in schema:
        words = [_in_words(one) for one in schema["prefixItems"]]
        return f"list of {len(words)}: " + "; ".join(dict.fromkeys(words))
    least = f", {schema['minItems']} or more" if "minItems" in schema else ""
    return f"list of: {_in_words(schema.get('items', {})) or 'values'}{least}"


def _cell(comment: str) -> str:
    return _text(comment).replace("\n", " ").replace("|", "\\|")


def _text(words: str) -> str:
    """A docstring or a comment as Markdown: what Markdown would read in it is escaped."""
    paragraphs = re.sub(r"\n(?=(?:Decision|`?\w+`?(?:, `?\w+`?)*): )", "\n\n", words)
    return re.sub(r"(?<!`)([<>*_\[\]])(?![^`]*`(?:[^`]*`[^`]*`)*[^`]*$)", r"\\\1", paragraphs)

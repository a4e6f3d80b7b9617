"""The comment `<!-- code: FILE NAME -->`, alone on a line: the source of a function, a class, or a file."""

from __future__ import annotations

import ast
import re
from pathlib import Path

_MARK = re.compile(r"^<!-- code: (?P<path>\S+)(?: (?P<name>\S+))? -->$", re.MULTILINE)


def marks(markdown: str) -> list[tuple[str, str | None]]:
    """File and name of every comment of a page."""
    return [(found["path"], found["name"]) for found in _MARK.finditer(markdown)]


def filled(markdown: str, root: Path) -> str:
    """The page with the code in place of the comments: a function folded, a whole file open."""
    return _MARK.sub(lambda found: _shown(root, found["path"], found["name"]), markdown)


def source_of(root: Path, path: str, name: str) -> str:
    """The lines of `name` ("Safm.forward") in a file. Raises KeyError if it is not there."""
    text = (root / path).read_text(encoding="utf-8")
    node: ast.AST = ast.parse(text)
    for part in name.split("."):
        named = {
            child.name: child
            for child in ast.iter_child_nodes(node)
            if isinstance(child, (ast.FunctionDef, ast.ClassDef))
        }
        if part not in named:
            raise KeyError(f"{path} has no {name}")
        node = named[part]
    assert isinstance(node, (ast.FunctionDef, ast.ClassDef))
    start = min([node.lineno, *(one.lineno for one in node.decorator_list)])
    lines = text.splitlines()[start - 1 : node.end_lineno]
    indent = len(lines[0]) - len(lines[0].lstrip())
    return "\n".join(line[indent:] for line in lines)


def _shown(root: Path, path: str, name: str | None) -> str:
    if name is None:
        language = "yaml" if path.endswith((".yaml", ".yml")) else path.rpartition(".")[2]
        text = (root / path).read_text(encoding="utf-8").rstrip()
        return f'```{language} title="{path}"\n{text}\n```'
    lines = ["```python", *source_of(root, path, name).splitlines(), "```"]
    body = "\n".join(f"    {line}".rstrip() for line in lines)
    return f'??? example "The whole of `{name}`, {path}"\n\n{body}\n'

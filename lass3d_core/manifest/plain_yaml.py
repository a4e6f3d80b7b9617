"""YAML as plain values, from a file that may be of a stranger: nothing is executed, and nothing grows.

Aliases let a kilobyte of YAML stand for a gigabyte of values, so it is the written-out size that counts.
"""

from __future__ import annotations

from typing import Any

import yaml

_MOST_NODES = 1_000_000


def load_yaml(text: str) -> Any:
    """The values in `text`. Raises ValueError with one line that says what is wrong, and where."""
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        if _written_out(node, {}) > _MOST_NODES:
            raise ValueError(f"not valid YAML: its aliases stand for more than {_MOST_NODES} values")
        return _constructed(loader, node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise ValueError(f"not valid YAML{where}: {reason}") from None
    except RecursionError:
        raise ValueError("not valid YAML: it is nested too deeply") from None


def _constructed(loader: yaml.SafeLoader, node: yaml.Node) -> Any:
    """The values of `node`; a date that no calendar has is a ValueError of Python's."""
    try:
        return loader.construct_document(node)
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"not valid YAML: {error}") from None


def _written_out(node: yaml.Node, known: dict[int, int]) -> int:
    """How many nodes there are with every alias written out. Raises ValueError for one inside itself."""
    if id(node) not in known:
        known[id(node)] = 0  # while it is being counted
        parts = node.value if isinstance(node, yaml.CollectionNode) else ()
        inner = [one for part in parts for one in (part if isinstance(part, tuple) else (part,))]
        known[id(node)] = 1 + sum(_written_out(one, known) for one in inner)
    elif not known[id(node)]:
        raise ValueError("not valid YAML: an alias stands inside what it stands for")
    return known[id(node)]

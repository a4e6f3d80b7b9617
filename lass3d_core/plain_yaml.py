"""YAML that people write: a key that stands twice is an error, and what looks like a name is one.

Numbers are those of YAML 1.2: 1e-3 is one. 010, 2013_05_28 and 12:30, which YAML 1.1 counts in other bases,
are texts. A key is always a text: a data set may be called 2024 or `no`.
"""

from __future__ import annotations

import re
from typing import Any

import yaml


def load_yaml(text: str) -> Any:
    """Plain values from `text`. Raises ValueError: one line that says what is wrong, and in which line."""
    try:
        return _Loader(text).get_single_data()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) or str(error).partition("\n")[0]
        reason += "; indent with spaces" if "'\\t'" in reason else ""
        raise ValueError(f"not valid YAML{where}: {reason}") from None
    except RecursionError:
        raise ValueError("not valid YAML: it is nested too deeply") from None
    except (ValueError, TypeError, AttributeError) as error:  # of a tag that does not fit, such as !!int x
        raise ValueError(f"not valid YAML: {error}") from None


class _Loader(yaml.SafeLoader):
    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        # Checked before `<<` is expanded: there, a key may stand a second time to replace the first.
        node = super().compose_mapping_node(anchor)
        first: dict[str, int] = {}
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in first:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value!r} stands twice, first at line {first[key.value]}; "
                    "delete one of them",
                    problem_mark=key.start_mark,
                )
            first[key.value] = key.start_mark.line + 1
            if key.tag in _NO_TEXT:
                key.tag = "tag:yaml.org,2002:str"
        return node


_NO_TEXT = {f"tag:yaml.org,2002:{kind}" for kind in ("bool", "int", "float", "null")}
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)$")
_FLOAT = re.compile(
    r"[-+]?((0|[1-9][0-9]*)\.[0-9]*([eE][-+]?[0-9]+)?|\.[0-9]+([eE][-+]?[0-9]+)?|(0|[1-9][0-9]*)[eE][-+]?[0-9]+"
    r"|\.(inf|Inf|INF))$|\.(nan|NaN|NAN)$"
)
# Numbers are taken anew. A date stays a text: no setting is a date.
_REPLACED = {f"tag:yaml.org,2002:{kind}" for kind in ("timestamp", "int", "float")}
_Loader.yaml_implicit_resolvers = {
    first: [one for one in resolvers if one[0] not in _REPLACED]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", _INT, list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))

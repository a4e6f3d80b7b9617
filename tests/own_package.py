"""What `pip install` of a package with entry points leaves, without pip."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lass3d_core import plugins


def install(folder: Path, groups: Mapping[str, Mapping[str, str]]) -> None:
    """Write the metadata of a package into `folder`, a part of the path. groups: group -> name -> object."""
    metadata = folder / "my_lass3d-0.1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-lass3d\nVersion: 0.1.0\n")
    lines = []
    for group, named in groups.items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in named.items())]
    (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")
    forget()


def forget() -> None:
    """Let the next question look for packages again."""
    plugins.names.cache_clear()
    plugins.load.cache_clear()

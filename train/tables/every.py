"""The tables that `make table` knows."""

from __future__ import annotations

from lass3d_core.errors import UnknownName
from lass3d_core.settings import nearest
from train.tables import ours, paper
from train.tables.rows import Table

TABLES = {**paper.TABLES, **ours.TABLES}


def table_called(name: str) -> Table:
    """The table `name`, one of TABLES. Raises UnknownName."""
    if name not in TABLES:
        raise UnknownName(f"table {name!r} does not exist; known: {', '.join(TABLES)}{nearest(name, TABLES)}")
    return TABLES[name]

"""What files call the same thing: an intensity, a colour."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

INTENSITY = "intensity"
COLOURS = ("red", "green", "blue")

NAMES_OF_ONE_THING: dict[str, tuple[str, ...]] = {
    INTENSITY: (
        *("intensity", "remission", "reflectance", "reflectivity", "i"),
        *("scalar_intensity", "scalar_remission", "scalar_reflectance"),
    ),
    "red": ("red", "r", "diffuse_red"),
    "green": ("green", "g", "diffuse_green"),
    "blue": ("blue", "b", "diffuse_blue"),
}
"""A thing -> its names, in lower case."""


def column_named(name: str, columns: Iterable[str]) -> str | None:
    """The column called `name`, in any case, or by another name of the same thing; None if there is none."""
    lower = {column.lower(): column for column in columns}
    thing = thing_of(name)
    same = NAMES_OF_ONE_THING[thing] if thing else ()
    return next((lower[one] for one in (name.lower(), *same) if one in lower), None)


def thing_of(name: str) -> str | None:
    """`intensity`, `red`, `green` or `blue`, if `name`, in any case, is one of its names."""
    return next((thing for thing, names in NAMES_OF_ONE_THING.items() if name.lower() in names), None)


def colour_scale(columns: Mapping[str, np.ndarray]) -> float:
    """What the colours of a file are divided by to lie in [0,1]: 1 for floats, else 255 or 65535.

    Decision: 16-bit colours that reach 255 at most, in red, green and blue, are 8-bit ones. LAS has 16 bits
    for a colour, and many programs write 8-bit values into them.
    """
    found = [columns[name] for colour in COLOURS if (name := column_named(colour, columns)) is not None]
    whole = [column for column in found if column.dtype.kind in "iu"]
    if not whole:
        return 1.0
    most = max((int(column.max()) for column in whole if len(column)), default=0)
    return 255.0 if most <= 255 else 65535.0

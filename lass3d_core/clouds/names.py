"""What files call the same thing: an intensity, a colour."""

from __future__ import annotations

from collections.abc import Iterable

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
    same = next((names for names in NAMES_OF_ONE_THING.values() if name.lower() in names), ())
    return next((lower[one] for one in (name.lower(), *same) if one in lower), None)

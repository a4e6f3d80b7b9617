"""The manifest's `classes`: the classes of a data set, where they are not the official ones of its layout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic.dataclasses import dataclass

from lass3d_core.settings import SETTINGS

LONGEST_NAME = 60  # of a class, in characters: it stands in tables and legends
MOST_CLASSES = 254  # train ids are bytes, and 255 is ignore


def _one_or_several(ids: Any) -> Any:
    return (ids,) if isinstance(ids, int) else tuple(ids) if isinstance(ids, list) else ids


def _printable(name: str) -> str:
    if not name.strip() or not name.isprintable() or len(name) > LONGEST_NAME:
        raise ValueError(f"{name[:20]!r} is no name of a class: 1 to {LONGEST_NAME} printable characters")
    return name


RawIds = Annotated[tuple[Annotated[int, Field(ge=0)], ...], BeforeValidator(_one_or_several)]
ClassName = Annotated[str, AfterValidator(_printable)]
Colour = tuple[Annotated[int, Field(ge=0, le=255)], ...]


@dataclass(frozen=True, config=SETTINGS)
class ClassesSpec:
    """Classes of one's own. Without `ids` they are the official ones of the layout.

    ids: name -> raw ids, one or several; a file of predictions gets the first.
    ignore: raw ids that are left out of training and figures.
    unknown: a raw id that is in neither list is refused, or ignored too.
    colours: name -> red, green, blue; chosen where they are absent.
    synonyms: name -> further words for it, by which the audit and LASS3D+ know what a phrase names.
    """

    ids: Mapping[ClassName, RawIds] = field(default_factory=dict)
    ignore: tuple[int, ...] = ()
    unknown: Literal["refuse", "ignore"] = "refuse"
    colours: Mapping[str, Colour] = field(default_factory=dict)
    synonyms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        listed = [raw for raws in self.ids.values() for raw in raws]
        twice = [raw for raw, times in Counter([*listed, *self.ignore]).items() if times > 1]
        if twice:
            raise ValueError(f"the raw id {twice[0]} stands more than once; an id has one meaning")
        empty = [name for name, raws in self.ids.items() if not raws]
        if empty:
            raise ValueError(f"the class {empty[0]!r} has no raw id; give one, or leave the class out")
        if len(self.ids) > MOST_CLASSES:
            raise ValueError(f"{len(self.ids)} classes are more than {MOST_CLASSES}")
        wrong = [name for name, colour in self.colours.items() if len(colour) != 3]
        if wrong:
            raise ValueError(f"the colour of {wrong[0]!r} must be red, green and blue, 0 to 255 each")

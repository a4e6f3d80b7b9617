"""One spelling for the phrases of language-vision models, so that equal things get one text row.

Decision: the paper gives no rule. Models answer "A car", "the car." and "<phrase>car</phrase>" for the same
thing. A word piece ("##ing"), an empty answer, or a word for the picture itself names no thing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

NAMES_OF_THE_PICTURE = frozenset({"image", "picture", "photo", "scene", "view"})
"""Phrases that name the whole image, and so would say nothing about a point."""

_MARKUP = re.compile(r"<[^<>]*>")
_QUOTES = re.compile(r"[\"`“”]|(?<!\w)'|'(?!\w)")  # an apostrophe inside a word stays
_ARTICLE = re.compile(r"^(?:an?|the)\s+")
_EDGES = " .,;:!?()[]{}"


def normalise(phrase: str) -> str | None:
    """Drop capitals, markup, quotes, outer punctuation and articles; None if the phrase names no thing."""
    bare = _QUOTES.sub(" ", _MARKUP.sub(" ", phrase)).lower()
    text = " ".join(bare.split()).strip(_EDGES)
    while (shorter := _ARTICLE.sub("", text).lstrip(_EDGES)) != text:
        text = shorter
    names_a_thing = any(letter.isalnum() for letter in text) and "##" not in text
    return text if names_a_thing and text not in NAMES_OF_THE_PICTURE | {"a", "an", "the"} else None


def normalise_all(phrases: Iterable[str]) -> tuple[str, ...]:
    """The distinct normalised phrases, in the order of their first occurrence."""
    found = (normalise(phrase) for phrase in phrases)
    return tuple(dict.fromkeys(phrase for phrase in found if phrase is not None))

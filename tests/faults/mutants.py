"""Damaged copies of good files: bytes flipped, cut, repeated or replaced; in texts also unexpected words."""

from __future__ import annotations

import random
import re

_WORDS = b"nan inf -1 0 1.5 99999999999999999999 null true [] {} ~ .. *a \xff\xfe \x00 2024-13-45".split(b" ")
_TOKEN = re.compile(rb"[\w.+-]+")


def mutant(whole: bytes, rng: random.Random, text: bool) -> bytes:
    """`whole` after one to three mutations; text: words are replaced too."""
    for _ in range(rng.randint(1, 3)):
        whole = _replaced_word(whole, rng) if text and rng.random() < 0.6 else _mutated(whole, rng)
    return whole


def _mutated(whole: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(whole) + 1) if rng.random() < 0.5 else rng.randrange(min(len(whole), 600) + 1)
    length = rng.choice((1, 4, 16, rng.randint(1, max(1, len(whole)))))
    before, middle, after = whole[:start], whole[start : start + length], whole[start + length :]
    flipped = bytes(byte ^ (1 << rng.randrange(8)) for byte in middle[:4]) + middle[4:]
    return rng.choice(
        (
            before,
            before + after,
            before + middle + middle + after,
            before + flipped + after,
            before + rng.choice((b"\x00", b"\xff")) * len(middle) + after,
        )
    )


def _replaced_word(whole: bytes, rng: random.Random) -> bytes:
    tokens = list(_TOKEN.finditer(whole[: 1 << 16]))
    if not tokens:
        return whole + rng.choice(_WORDS)
    token = rng.choice(tokens)
    return whole[: token.start()] + rng.choice(_WORDS) + whole[token.end() :]

"""Damaged files of good ones: bytes flipped, cut, doubled, replaced; in texts, values that no one expects."""

from __future__ import annotations

import random
import re

_EXTREME = (b"\x00", b"\xff", b"\x7f", b"\x80", b"\x01")

_WORDS = (
    *(b"nan", b"inf", b"-inf", b"1e999", b"-1", b"0", b"1.5", b"99999999999999999999", b"9" * 5000, b"0x10"),
    *(
        b"",
        b"null",
        b"true",
        b"[]",
        b"{}",
        b'""',
        b'"\\ud800"',
        b"[" * 3000,
        b"\xff\xfe",
        b"\x00",
        b"\xe2\x80\xa8",
    ),
    *(
        b"..",
        b"../../x",
        b"/etc/passwd",
        b"*a",
        b"&a [*a]",
        b"!!python/object:os.system",
        b"2024-13-45",
        b"~",
    ),
)

_TOKEN = re.compile(rb"[\w.+-]+")


def mutant(whole: bytes, rng: random.Random, text: bool) -> bytes:
    """`whole` after one to three mutations; text: words are replaced too."""
    for _ in range(rng.randint(1, 3)):
        whole = _replaced_word(whole, rng) if text and rng.random() < 0.6 else _mutated(whole, rng)
    return whole


def _mutated(whole: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(whole) + 1) if rng.random() < 0.5 else rng.randrange(min(len(whole), 600) + 1)
    length = rng.choice((1, 2, 4, 8, 16, rng.randint(1, max(1, len(whole)))))
    before, middle, after = whole[:start], whole[start : start + length], whole[start + length :]
    match rng.randrange(6):
        case 0:
            return before + bytes(byte ^ (1 << rng.randrange(8)) for byte in middle[:4]) + middle[4:] + after
        case 1:
            return before
        case 2:
            return before + after
        case 3:
            return before + middle + middle + after
        case 4:
            return before + rng.choice(_EXTREME) * len(middle) + after
        case _:
            return before + rng.randbytes(min(length, 64)) + middle + after


def _replaced_word(whole: bytes, rng: random.Random) -> bytes:
    tokens = list(_TOKEN.finditer(whole[: 1 << 16]))
    if not tokens:
        return whole + rng.choice(_WORDS)
    token = rng.choice(tokens)
    return whole[: token.start()] + rng.choice(_WORDS) + whole[token.end() :]

"""Text files are read in one way; what cannot be read is one line that names file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from lass3d_core.errors import DataError
from lass3d_core.files.text_lines import Line, at, numbers, text_lines


@pytest.mark.parametrize(
    "content",
    [
        b"one\ntwo 2\n",
        b"\xef\xbb\xbfone\ntwo 2",
        b"one\r\ntwo 2\r\n",
        b"one\rtwo 2\r",
        b"one # a comment\n  two 2\t# another\n# a third",
    ],
)
def test_a_byte_order_mark_line_ends_and_comments_are_no_content(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(content)
    assert text_lines(path) == [Line(1, "one"), Line(2, "two 2")]


def test_lines_are_counted_as_an_editor_counts(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes("# what\r\n\r\na\u2028b\x0c\nc#d\n".encode())
    assert text_lines(path) == [Line(3, "a\u2028b"), Line(4, "c#d")]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"])
def test_another_encoding_is_one_line(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes("für 00\n01\n".encode(encoding))
    with pytest.raises(DataError, match=r"list\.txt is no UTF-8 text .*; save it as UTF-8$") as caught:
        text_lines(path)
    assert ("UTF-16" in str(caught.value)) == encoding.startswith("utf-")


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"list\.txt does not exist; write one"):
        text_lines(tmp_path / "list.txt", "write one")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1 0,5", "'0,5' has a decimal comma, write 0.5; mend it"),
        ("-1,5e3 2", "'-1,5e3' has a decimal comma, write -1.5e3"),
        ("1 nan", "'nan' is no finite number"),
        ("1e400 1", "'1e400' is no finite number"),
        ("1_0 1", "'1_0' is no number"),
        ("1, 2", "'1,' is no number"),
        ("\u0661 2", "is no number"),
        ("1 2 3", "the size needs 2 numbers, found 3"),
        ("", "the size needs 2 numbers, found 0"),
    ],
)
def test_what_is_no_number_is_named_with_its_line(text: str, why: str) -> None:
    with pytest.raises(DataError) as caught:
        numbers(text.split(), at(Path("a.txt"), Line(7, text)), 2, "mend it", "the size")
    assert str(caught.value).startswith("a.txt, line 7: ") and why in str(caught.value)


def test_infinity_may_be_asked_for() -> None:
    assert numbers(["-inf", "1e400", "2"], "a", None, "", finite=False).tolist() == [
        -float("inf"),
        float("inf"),
        2,
    ]

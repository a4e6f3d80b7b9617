"""Every text in a template is escaped, and a forgotten value is an error."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import UndefinedError

from train.report.render import environment, render

_PRINTABLE = st.text(st.characters(blacklist_categories=("Cs", "Cc")))


class _Paragraph(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.title, self.words, self.tags = "", "", 0
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags, self.title = self.tags + 1, dict(attrs).get("title") or ""

    def handle_data(self, data: str) -> None:
        self.words += data


@settings(max_examples=50, deadline=None)
@given(text=_PRINTABLE, value=_PRINTABLE)
def test_any_text_and_attribute_reads_back_as_it_was(text: str, value: str) -> None:
    template = environment().from_string('<p title="{{ value }}">{{ text }}</p>')
    read = _Paragraph(template.render(text=text, value=value))
    assert (read.tags, read.title, read.words) == (1, value, text)


def test_no_text_closes_a_json_script() -> None:
    values = {"phrase": "</script><script>alert('x')</script><!--"}
    written = environment().from_string("{{ values|tojson }}").render(values=values)
    assert "<" not in written
    assert json.loads(written) == values


def test_a_value_that_is_not_given_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="chart"):
        render("chart.html")

from __future__ import annotations

import json
from xml.etree import ElementTree

from hypothesis import given, settings
from hypothesis import strategies as st

from train.report.markup import Markup, element, join, json_script

_PRINTABLE = st.text(st.characters(blacklist_categories=("Cs", "Cc")))


@settings(max_examples=50, deadline=None)
@given(text=_PRINTABLE, value=_PRINTABLE)
def test_any_text_and_attribute_reads_back_as_it_was(text: str, value: str) -> None:
    parsed = ElementTree.fromstring(element("p", text, title=value))
    assert (parsed.text or "") == text
    assert parsed.get("title") == value


def test_markup_is_put_in_as_it_is_and_text_is_escaped() -> None:
    assert element("p", "<b>", Markup("<b>x</b>")) == "<p>&lt;b&gt;<b>x</b></p>"


def test_attribute_names_lose_their_last_underscore_and_gain_hyphens() -> None:
    written = element("td", class_="a", aria_label="b", colspan=2, hidden=True, title=None, checked=False)
    assert written == '<td class="a" aria-label="b" colspan="2" hidden="hidden"></td>'


def test_elements_without_content_close_themselves() -> None:
    assert element("img", src="data:,") == '<img src="data:,"/>'
    assert element("canvas") == "<canvas></canvas>"


def test_nothing_is_left_out_of_a_join() -> None:
    assert join(None, "<", None, Markup("<br/>")) == "&lt;<br/>"


def test_no_text_closes_a_json_script() -> None:
    values = {"phrase": "</script><script>alert(1)</script><!--"}
    written = json_script(values, class_="cloud")
    inside = written.removeprefix('<script type="application/json" class="cloud">').removesuffix("</script>")
    assert "<" not in inside
    assert json.loads(inside) == values

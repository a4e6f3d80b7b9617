from __future__ import annotations

import json
import re
from dataclasses import replace

from lass3d_core.viewer.clouds import PicturedCloud, viewer_of
from lass3d_core.viewer.html import script, viewer_html, viewer_style
from tests.lass3d_core.viewer.conftest import COLOURS, NAMES


def html(*clouds: PicturedCloud) -> str:
    return viewer_html(viewer_of(clouds, NAMES, COLOURS))


def test_names_and_phrases_cannot_write_html(pictured: PicturedCloud) -> None:
    drawn = html(replace(pictured, name="<i>a</i>"))
    assert "<i>" not in drawn and "<b>wall" not in drawn and "&lt;b&gt;wall" in drawn
    assert drawn.count("</script>") == drawn.count("<script") == 3
    packed = re.search(r'class="cloud">(.*?)</script>', drawn, re.DOTALL)
    assert packed is not None and json.loads(packed[1])["phrases"] == ["a </script> wall", "a lamp"]


def test_the_viewer_fetches_nothing(pictured: PicturedCloud) -> None:
    text = html(pictured) + viewer_style()
    assert "://" not in text and "url(" not in text
    assert not re.search(r"@import|fetch\(|XMLHttpRequest|import\(|innerHTML|eval\(", text)


def test_the_script_shares_no_name_with_others() -> None:
    assert script().startswith('(() => {\n"use strict";') and script().rstrip().endswith("})();")


def test_a_page_says_what_it_has(pictured: PicturedCloud) -> None:
    drawn = html(pictured, replace(pictured, name="b", truth=None))
    assert "no truth" in drawn and "% right" in drawn and 'class="photo"' in drawn and "900 points" in drawn
    bare = html(PicturedCloud("a", pictured.points, pictured.prediction, pictured.confidence))
    assert "no truth" not in bare and 'class="photo"' not in bare and 'data-mode="truth"' not in bare


def test_an_old_browser_and_one_without_scripts_say_so(pictured: PicturedCloud) -> None:
    drawn = html(pictured)
    assert "<noscript>" in drawn and "This browser cannot show the point clouds" in drawn

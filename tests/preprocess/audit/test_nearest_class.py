from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from preprocess.audit import nearest_class
from preprocess.audit.nearest_class import nearest_classes


def test_a_phrase_has_the_class_whose_name_has_the_most_similar_row(
    finished_street: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = {"sedan": (3, 0.1), "tarmac": (0.2, 1), "car": (1, 0), "road": (0, 9)}
    table = {text: np.array(row, np.float16) for text, row in rows.items()}
    monkeypatch.setattr(nearest_class, "phrase_rows", lambda _: table)
    found, remark = nearest_classes(finished_street.project, ("road", "car"))
    assert (found["sedan"], found["tarmac"], found["car"]) == ({1}, {0}, {1}) and not remark


def test_class_names_that_are_no_phrase_are_encoded(finished_street: Any) -> None:
    names = ("vegetation", "car", "traffic-sign", "Guard_Rail")
    found, remark = nearest_classes(finished_street.project, names)
    assert not remark
    assert all(found[phrase] == {1} for phrase in ("car", "sedan") if phrase in found)
    assert {"car", "sedan"} & found.keys()


def test_another_encoder_than_the_tables_judges_nothing(street: Any) -> None:
    street.set(text_embeddings__params__dim=32)
    found, remark = nearest_classes(street.project, ("gnu", "car"))
    assert found == {} and "another encoder" in remark


def test_weights_that_are_not_here_are_not_downloaded(street: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    street.set(text_embeddings={"name": "hf_text", "params": {"weights": "nobody/nothing"}})
    monkeypatch.setattr(nearest_class, "encoder_changes", lambda *_: "")
    monkeypatch.setattr(nearest_class, "load_encoder", lambda _: pytest.fail("loaded"))
    found, remark = nearest_classes(street.project, ("gnu", "car"))
    assert found == {}
    assert remark == "the encoder's weights nobody/nothing are not on this machine; run `make weights`"


@pytest.mark.parametrize("content", [None, b"no table"])
def test_without_a_text_table_nothing_is_judged(street: Any, content: bytes | None) -> None:
    path = street.artifacts / "text_embeddings.h5"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    found, remark = nearest_classes(street.project, ("car",))
    assert found == {} and "text_embeddings.h5" in remark

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lass3d_core.files.names import is_plain, is_plain_path, shortened


@pytest.mark.parametrize("name", ["00", "scene0000_00", "v1.0-trainval", "Straße", "-x"])
def test_names_of_folders_are_plain(name: str) -> None:
    assert is_plain(name) and is_plain_path(f"{name}/000123")


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".hidden", "a/b", "a\\b", "a b", "a\n", "/etc", "~x", "x" * 101]
)
def test_what_leads_elsewhere_is_not(name: str) -> None:
    assert not is_plain(name)
    assert not is_plain_path(f"00/{name}/000001") or name == "a/b"


@given(name=st.text(alphabet="a./-_\0 ~", max_size=12))
def test_a_plain_path_stays_below_its_folder(name: str) -> None:
    if is_plain_path(name):
        assert (Path("/top") / name).resolve().is_relative_to("/top")


def test_a_path_below_the_folder_is_shortened_and_another_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shortened(Path("/top/runs/a"), Path("/top")) == Path("runs/a")
    assert shortened(Path("/elsewhere/a"), Path("/top")) == Path("/elsewhere/a")
    monkeypatch.chdir("/usr")
    assert shortened(Path("/usr/bin")) == Path("bin") and shortened(Path("bin")) == Path("bin")

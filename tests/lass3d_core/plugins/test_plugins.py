from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lass3d_core import plugins
from lass3d_core.errors import BackendUnavailable
from tests.own_package import forget, install
from train.methods import METHODS, config_type


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path in which packages can be installed."""
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    forget()


def test_names_are_known_without_loading_what_they_name(packages: Path) -> None:
    install(packages, {"lass3d.methods": {"mine": "not_there:METHOD"}})
    assert plugins.names("methods") == ("mine",) and plugins.names("readers") == ()


def test_a_package_that_cannot_be_loaded_is_named(packages: Path) -> None:
    install(packages, {"lass3d.methods": {"mine": "not_there:METHOD"}})
    with pytest.raises(
        BackendUnavailable, match=r"mine of the entry points lass3d\.methods cannot be loaded from not_there"
    ):
        config_type("mine")


def test_a_name_of_ours_cannot_be_taken(packages: Path) -> None:
    install(packages, {"lass3d.methods": {"lass3d": "not_there:METHOD"}})
    assert config_type("lass3d") is METHODS["lass3d"][0]

"""What `make doctor` says, and its exit status."""

from __future__ import annotations

import shutil
from importlib import metadata
from typing import Any

import pytest
from packaging.requirements import Requirement

from preprocess.doctor import packages
from preprocess.doctor.machine import SPARSE_BACKENDS
from preprocess.doctor.models import PACKAGES
from preprocess.lvm import ADAPTERS


def lines_of(street: Any, capfd: Any, status: int) -> dict[str, tuple[str, str]]:
    """What -> (mark, detail) of every line printed."""
    capfd.readouterr()
    assert street.run("doctor") == status
    printed, errors = capfd.readouterr()
    assert errors == ""
    rows = [line.split(None, 1) for line in printed.splitlines()]
    cells = [(mark, *rest.split("  ", 1)) for mark, rest in rows]
    return {what: (mark, detail.strip()) for mark, what, detail in cells}


def test_a_healthy_project_is_all_ok(street: Any, capfd: Any) -> None:
    lines = lines_of(street, capfd, status=0)
    assert {mark for what, (mark, _) in lines.items() if what not in SPARSE_BACKENDS} == {"ok"}
    data = f"semantickitti in {street.folder / 'data'}; 19 classes; features: remission"
    assert lines["data set street"][1] == data
    assert lines["train"][1] == "6 scans, 6 with a label file, 6 images; opened a scan of 1 of 1 sequence"
    assert lines["numpy"][1] == metadata.version("numpy")
    assert lines["torchsparse"][0] == "note"  # optional, and not to be imported without a GPU
    assert "free for" in lines["disk"][1] and "GPU" in lines and "python" in lines


def test_street_that_is_not_written_yet_needs_nothing(untouched_street: Any, capfd: Any) -> None:
    shutil.rmtree(untouched_street.folder / "data")
    mark, detail = lines_of(untouched_street, capfd, status=0)["data set street"]
    assert mark == "ok" and "make captions writes it" in detail


def test_absent_data_is_named_with_what_is_missing(street: Any, capfd: Any) -> None:
    street.set(datasets__street__simulate=None)
    shutil.rmtree(street.sequences / "01")
    mark, detail = lines_of(street, capfd, status=2)["data set street"]
    assert mark == "FIX" and "01" in detail


def test_absent_weights_are_named_with_the_key_that_names_them(street: Any, capfd: Any) -> None:
    street.set(text_embeddings={"name": "hf_text", "params": {"weights": "/no/where"}})
    mark, detail = lines_of(street, capfd, status=2)["hf_text weights"]
    assert mark == "FIX"
    assert detail == "/no/where does not exist; mend text_embeddings.params.weights in the manifest"


def test_empty_folder_of_weights_is_named(street: Any, capfd: Any) -> None:
    (street.folder / "model").mkdir()
    street.set(text_embeddings={"name": "hf_text", "params": {"weights": str(street.folder / "model")}})
    mark, detail = lines_of(street, capfd, status=2)["hf_text weights"]
    assert mark == "FIX" and detail.startswith(f"{street.folder / 'model'} is empty")


def test_weights_that_are_there_are_measured(street: Any, capfd: Any) -> None:
    (street.folder / "model").mkdir()
    (street.folder / "model" / "a.bin").write_bytes(bytes(1500))
    street.set(text_embeddings={"name": "hf_text", "params": {"weights": str(street.folder / "model")}})
    capfd.readouterr()
    street.run("doctor")
    assert f"1.5 kB in {street.folder / 'model'}" in capfd.readouterr().out


def test_absent_gpu_that_the_manifest_asks_for_is_named(street: Any, capfd: Any) -> None:
    street.set(text_embeddings={"name": "hf_text", "params": {"run": {"device": "cuda:77"}}})
    capfd.readouterr()
    assert street.run("doctor") == 2
    assert "FIX   GPU" in (printed := capfd.readouterr().out)
    assert "text_embeddings asks for cuda:77" in printed


def test_full_disk_is_named(street: Any, capfd: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(street.folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10_000))
    mark, detail = lines_of(street, capfd, status=2)["disk"]
    assert mark == "FIX" and detail.startswith("10.0 kB free") and "`artifacts`" in detail


def test_a_model_that_needs_a_newer_package_than_the_extra_says_so(
    street: Any, capfd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = packages.version
    monkeypatch.setattr(packages, "version", lambda name: "4.57.6" if name == "transformers" else own(name))
    street.set(entities={"name": "sam3", "params": {}})
    mark, detail = lines_of(street, capfd, status=2)["transformers"]
    assert mark == "FIX" and detail.startswith("4.57.6, needs >=5; ")


def test_every_model_with_weights_names_its_packages_and_each_is_in_the_extra() -> None:
    stages = ("image_captions", "entities", "text_embeddings")
    models = {name for stage in stages for name in ADAPTERS[stage]}
    assert set(PACKAGES) == models - {"palette", "hashing"}
    declared = [Requirement(line) for line in metadata.requires("lass3d") or ()]
    marked = [one for one in declared if one.marker]
    extras = [{"extra": name} for name in ("lvm", "lvm-paper", "segmenter")]
    extra = {one.name for one in marked if any(one.marker and one.marker.evaluate(each) for each in extras)}
    assert {package for packages in PACKAGES.values() for package in packages} <= extra

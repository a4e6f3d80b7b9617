"""The whole path of both programs with the paper's models, tiny and of random weights, without a network.

Also: which stages are redone if a model is swapped.
"""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import train.__main__
from lass3d_core.files.shards import ShardReader
from preprocess.stages.entities import entities_in
from preprocess.stages.image_captions import captions_in
from tests.text_tables import read_text_table

pytest.importorskip("groundingdino", reason="needs the [lvm-paper] extra: make setup-lvm-paper")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Importing from timm.models.layers:FutureWarning"),
    pytest.mark.filterwarnings("ignore:torch.meshgrid:UserWarning"),
    pytest.mark.filterwarnings("ignore:The `device` argument is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:`torch.cuda.amp.autocast:FutureWarning"),
]

SETTINGS = (
    "schedule.steps=6",
    "schedule.validate_every=6",
    "schedule.checkpoint_every=6",
    "net.stem=4",
    "net.encoder=[6, 6, 6]",
    "net.decoder=[6, 6, 6]",
)
"""A run of the demo preset that takes seconds."""

WORDS = ["street", "house", "tree", "truck", "vehicle", "grass", "fence", "pole", "sky", "sidewalk"]
"""Asked for beside the captions' phrases, so that two detectors of random weights find different ones."""

FRAME = "000000"


@pytest.fixture(scope="module", autouse=True)
def unreachable_network() -> Iterator[None]:
    """Every look-up and connection outside this machine fails, and fails the tests."""
    asked: list[Any] = []
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def local_connect(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
            asked.append(address)
            raise OSError("the network is unreachable")
        connect(self, address)

    def local_look_up(host: Any, *arguments: Any, **named: Any) -> Any:
        if host not in (None, "127.0.0.1", "::1", "localhost"):
            asked.append(host)
            raise OSError("the network is unreachable")
        return look_up(host, *arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setattr(socket.socket, "connect", local_connect)
        patch.setattr(socket, "getaddrinfo", local_look_up)
        yield
    assert asked == []


@pytest.fixture(scope="module")
def finished(
    finished_street: Any, paper_models: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """The simulated street, captioned and paired by the paper's models. Not to be changed: take `street`."""
    folder = tmp_path_factory.mktemp("paper") / "street"
    shutil.copytree(finished_street.folder, folder, ignore=shutil.ignore_patterns("artifacts"))
    street = type(finished_street)(folder)
    street.set(**paper_models)
    street.set(entities__vocabulary="both", entities__fixed=WORDS, caption_splits=["train", "val", "test"])
    assert street.run("captions") == 0
    assert street.run("pairs") == 0
    return street


@pytest.fixture
def street(finished: Any, tmp_path: Path) -> Any:
    """A copy with every stage done."""
    shutil.copytree(finished.folder, tmp_path / "copy")
    return type(finished)(tmp_path / "copy")


def states(street: Any, capfd: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Stage -> what `status` says of it, behind its size."""
    capfd.readouterr()
    assert street.run("status") == 0
    _, *rows = capfd.readouterr().out.splitlines()
    return {row.split()[0]: row.split("B  ")[1] for row in rows}


def redone(street: Any) -> set[str]:
    """The stages that write when captions and pairs are brought up to date; each must write every file."""

    def inodes() -> dict[str, int]:
        return {name: (street.artifacts / name).stat().st_ino for name in street.content()}

    before = inodes()
    assert street.run("captions") == 0 and street.run("pairs") == 0
    after = inodes()
    assert set(before) == set(after)
    written = {stage_of(name) for name in after if before[name] != after[name]}
    kept = {stage_of(name) for name in after if before[name] == after[name]}
    assert not written & kept
    return written


def stage_of(name: str) -> str:
    return name.split("/")[0].removesuffix(".h5")


def trained(manifest: Path, ratio: str, *more: str) -> dict[str, Any]:
    """The metrics of a short run of LASS3D on what `manifest` names."""
    settings = [word for setting in (*SETTINGS, *more) for word in ("--set", setting)]
    run = ["run", "--manifest", str(manifest), "--ratio", ratio, "--preset", "demo", *settings]
    assert train.__main__.main(run) == 0
    (metrics,) = manifest.parent.glob("runs/*/*/metrics-val.json")
    return json.loads(metrics.read_text())


def test_every_image_is_captioned_and_its_masks_cover_points(finished: Any) -> None:
    for name in ("00-000", "00-001", "01-000", "02-000"):
        captions = captions_in(finished.artifacts / "image_captions" / f"{name}.jsonl")
        found = entities_in(finished.artifacts / "entities" / f"{name}.jsonl")
        assert all(captions.values()) and captions.keys() == found.keys()
        assert any(entities for entities in found.values())
        pairs = ShardReader(finished.artifacts / "pairs" / f"{name}.h5")
        scans = [pairs.read(scan_id).pairs for scan_id in pairs.scan_ids]
        assert all((scan.image >= 0).any() for scan in scans)
        assert any((scan.entity >= 0).any() for scan in scans)


def test_the_table_holds_clip_rows_of_every_caption_and_phrase(finished: Any) -> None:
    table = read_text_table(finished.artifacts / "text_embeddings.h5")
    assert table.phrases and (table.image_caption >= 0).all()
    assert table.phrase_rows.shape == (len(table.phrases), 24)
    assert np.allclose(np.linalg.norm(table.phrase_rows.astype(np.float32), axis=1), 1, atol=1e-3)
    assert (np.diff(table.caption_offsets) > 3).all()


def test_nothing_is_redone_without_a_change(street: Any) -> None:
    assert redone(street) == set()


def test_lass3d_trains_on_what_the_models_said(street: Any) -> None:
    metrics = trained(street.manifest, "50", "data.voxel_m=0.5")
    assert 0 <= metrics["miou_official"] <= 1


def test_another_detector_redoes_what_its_masks_touch_and_no_caption(
    street: Any, hf_grounded_sam_params: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    before = read_text_table(street.artifacts / "text_embeddings.h5")
    street.set(entities__name="hf_grounded_sam", entities__params=hf_grounded_sam_params)
    found = states(street, capfd)
    assert found["image_captions"] == "fresh (4 shards)"
    assert found["entities"].startswith("stale (4 of 4): detector: grounded_sam -> hf_grounded_sam; ")
    assert found["text_embeddings"] == "waits for entities, which it reads"
    assert found["pairs"] == "waits for entities, which it reads"
    assert redone(street) == {"entities", "text_embeddings", "pairs"}
    after = read_text_table(street.artifacts / "text_embeddings.h5")
    assert set(after.phrases) - set(before.phrases)
    assert np.array_equal(after.caption_rows, before.caption_rows)
    assert all(state.startswith("fresh") for state in states(street, capfd).values())


def test_another_text_encoder_redoes_the_table_alone(
    street: Any, tiny_sentence_encoder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    street.set(
        text_embeddings__name="hf_text", text_embeddings__params={"weights": str(tiny_sentence_encoder)}
    )
    found = states(street, capfd)
    why = found.pop("text_embeddings")
    assert why.startswith("stale (1 of 1): encoder: open_clip -> hf_text; ")
    assert all(state.startswith("fresh") for state in found.values())
    assert redone(street) == {"text_embeddings"}
    table = read_text_table(street.artifacts / "text_embeddings.h5")
    assert table.phrase_rows.shape[1] == 32
    assert trained(street.manifest, "50", "data.voxel_m=0.5")["miou_official"] >= 0


@pytest.mark.samples
def test_a_real_frame_goes_the_whole_path(
    finished: Any, samples: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = samples / "pandaset_as_semantickitti" / "sequences"
    for sequence in ("00", "01"):
        for file in (f"velodyne/{FRAME}.bin", f"labels/{FRAME}.label", f"image_2/{FRAME}.png", "calib.txt"):
            target = tmp_path / "data" / "sequences" / sequence / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / sequence / file, target)
    shutil.copyfile(finished.manifest, tmp_path / "data_manifest.yaml")
    real = type(finished)(tmp_path)
    splits = {"train": ["00"], "val": ["01"]}
    real.set(datasets={"street": {"reader": "semantickitti", "root": "data", "splits": splits}})
    assert real.run("captions") == 0 and real.run("pairs") == 0
    scan = ShardReader(real.artifacts / "pairs" / "00-000.h5").read(f"00/{FRAME}")
    assert (scan.pairs.image >= 0).any() and (scan.pairs.entity >= 0).any()
    metrics = trained(
        real.manifest, "100", "data.labelled_scans=1", "data.unlabelled_scans=0", "data.voxel_m=1.0"
    )
    assert 0 <= metrics["miou_official"] <= 1

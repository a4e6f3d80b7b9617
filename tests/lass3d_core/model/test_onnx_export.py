from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import lass3d_core
from lass3d_core.errors import DataError
from lass3d_core.model import onnx_export
from lass3d_core.model.card import ModelCard
from lass3d_core.model.onnx_export import INPUTS, OUTPUT, differing, export_onnx, main, range_inputs
from lass3d_core.model.predict import Model
from lass3d_core.nets.range_view import RangeImageConfig
from tests.lass3d_core.model.conftest import CARD, write_tiny_model

NET = replace(CARD.network, view="range", image=RangeImageConfig(32, 512))
RANGE_CARD = replace(CARD, network=NET, query=None, voxel_m=0.05, reach_m=100.0)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return lass3d_core.load(write_tiny_model(tmp_path_factory.mktemp("model") / "m.safetensors", RANGE_CARD))


@pytest.fixture(scope="module")
def onnx_path(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "m.onnx"
    export_onnx(model, path)
    return path


def test_the_graph_has_the_names_and_the_card(onnx_path: Path) -> None:
    program = onnx.load(onnx_path)
    assert tuple(one.name for one in program.graph.input) == INPUTS
    assert [one.name for one in program.graph.output] == [OUTPUT]
    metadata = {one.key: one.value for one in program.metadata_props}
    assert ModelCard.from_json(metadata["lass3d"]) == RANGE_CARD


def test_another_number_of_voxels_gets_the_labels_of_predict(
    model: Model, onnx_path: Path, cloud: np.ndarray
) -> None:
    for points in (cloud, cloud[:2], np.concatenate([cloud, cloud * 2])):
        assert_same_labels(model, onnx_path, points[:, :3], points[:, 3].clip(0, 1))


@pytest.mark.samples
@pytest.mark.parametrize(
    ("name", "columns", "scale"),
    [
        ("kitti/velodyne_000008.bin", 4, 1),
        ("semantickitti/sequences/08/velodyne/000000.bin", 4, 1),
        ("pandaset_as_semantickitti/sequences/00/velodyne/000000.bin", 4, 1),
        ("nuscenes/LIDAR_TOP.bin", 5, 255),
    ],
)
def test_real_scans_get_the_labels_of_predict(
    model: Model, onnx_path: Path, samples: Path, name: str, columns: int, scale: float
) -> None:
    scan = np.fromfile(samples / name, np.float32).reshape(-1, columns)
    assert_same_labels(model, onnx_path, scan[:, :3], scan[:, 3] / scale)


def assert_same_labels(model: Model, path: Path, points: np.ndarray, features: np.ndarray) -> None:
    inputs, voxel = range_inputs(model, points, features)
    logits = onnxruntime.InferenceSession(path).run([OUTPUT], inputs)[0][voxel]
    expected = model.predict(points, features, probabilities=True)
    assert not differing(logits, np.log(np.maximum(expected.probabilities, 1e-30))).any()
    assert np.allclose(torch.from_numpy(logits).softmax(dim=1), expected.probabilities, atol=1e-3)


def test_a_small_lead_is_a_tie() -> None:
    expected = np.array([[5.0, 4.99999, 0], [5, 4, 0], [5, 4, 0]], np.float32)
    found = np.array([[5.0, 5.00001, 0], [4, 5, 0], [5.1, 4, 0]], np.float32)
    assert differing(found, expected).tolist() == [False, True, False]


def test_other_labels_than_pytorch_leave_no_file(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_export, "differing", lambda found, expected: np.ones(len(found), bool))
    with pytest.raises(DataError, match="otherwise than PyTorch, so no file was written"):
        export_onnx(model, tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_another_segmenter_is_refused(model: Model, tmp_path: Path) -> None:
    other = Model(model.card, torch.nn.ModuleDict({"segmenter": torch.nn.Identity()}))
    with pytest.raises(DataError, match="a model of the method supervised cannot become an ONNX file"):
        export_onnx(other, tmp_path / "m.onnx")


def test_the_voxel_view_is_refused_in_one_line(
    model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(model_path), str(tmp_path / "m.onnx")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "lass3d_core.load" in said and "SET=net.view=range" in said
    assert not (tmp_path / "m.onnx").exists()


def test_a_folder_and_the_model_itself_are_no_place_for_the_file(
    model_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = model_path.read_bytes()
    for into in (model_path, model_path.parent):
        assert main([str(model_path), str(into)]) == 2
        assert "name another file" in capsys.readouterr().err
    assert model_path.read_bytes() == before


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_one_line(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    model = write_tiny_model(tmp_path / "m.safetensors", RANGE_CARD)
    assert main([str(model), str(tmp_path / "m.onnx")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"needs the package {package}" in said
    assert "pip install 'lass3d[onnx]'" in said
    assert not (tmp_path / "m.onnx").exists()

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import lass3d_core
from lass3d_core.errors import DataError, Lass3dError, MissingArtifact
from lass3d_core.model.network import make_network
from lass3d_core.model.predict import Model, network_input
from tests.lass3d_core.model.conftest import CARD, write_tiny_model

ROOT = Path(__file__).parents[3]


@pytest.fixture
def model(model_path: Path) -> Model:
    return lass3d_core.load(model_path)


def test_labels_and_confidences_are_the_softmax_by_hand(model: Model, cloud: np.ndarray) -> None:
    points, features = cloud[:, :3], cloud[:, 3:]
    seen = features.astype(np.float16).astype(np.float32)  # what a shard keeps of them
    given = network_input(points, seen, CARD.voxel_m, False, CARD.network.levels)
    with torch.inference_mode():
        logits = model._network["segmenter"](given.features, given.pyramid)[given.inverse]
    expected = torch.exp(logits / 2) / torch.exp(logits / 2).sum(dim=1, keepdim=True)  # the temperature is 2
    prediction = model.predict(points, features, probabilities=True)
    assert np.array_equal(prediction.labels, logits.argmax(dim=1).numpy())
    assert np.allclose(prediction.probabilities, expected.numpy(), atol=1e-6)
    assert np.allclose(prediction.confidence, expected.max(dim=1).values.numpy(), atol=1e-6)
    assert len(np.unique(prediction.labels)) > 1
    assert prediction.labels.dtype == np.uint8 and prediction.confidence.dtype == np.float32


def test_the_temperature_changes_no_label(model: Model, cloud: np.ndarray) -> None:
    low = torch.tensor(1.9500001668930054)
    high = torch.nextafter(low, torch.tensor(2.0))
    assert low < high and low / 1.9 == high / 1.9

    class Segmenter(torch.nn.Module):
        def forward(self, features: torch.Tensor, pyramid: object) -> torch.Tensor:
            return torch.stack([low, high, low]).expand(len(features), 3)

    warm = Model(replace(CARD, temperature=1.9), torch.nn.ModuleDict({"segmenter": Segmenter()}))
    assert (warm.predict(cloud[:, :3], cloud[:, 3]).labels == 1).all()


def test_maps_that_are_built_where_they_are_used_change_nothing(
    model: Model, cloud: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = model.predict(cloud[:, :3], cloud[:, 3])
    monkeypatch.setattr(Model, "_on_gpu", True)
    found = model.predict(cloud[:, :3], cloud[:, 3])
    assert np.array_equal(found.labels, expected.labels)
    assert np.array_equal(found.confidence, expected.confidence)


def test_tensors_come_back_for_tensors(model: Model, cloud: np.ndarray) -> None:
    arrays = model.predict(cloud[:, :3], cloud[:, 3])
    tensors = model.predict(torch.from_numpy(cloud[:, :3]), torch.from_numpy(cloud[:, 3]))
    assert isinstance(tensors.labels, torch.Tensor)
    assert np.array_equal(tensors.labels.numpy(), arrays.labels)
    assert np.array_equal(tensors.confidence.numpy(), arrays.confidence)


def test_the_order_of_the_points_is_kept(model: Model, cloud: np.ndarray) -> None:
    order = np.random.default_rng(1).permutation(len(cloud))
    straight = model.predict(cloud[:, :3], cloud[:, 3]).labels
    shuffled = model.predict(cloud[order, :3], cloud[order, 3]).labels
    assert (shuffled == straight[order]).mean() > 0.99  # means of a voxel are rounded in another order


def test_float64_far_from_the_origin_keeps_its_digits_from_the_corner(
    tmp_path: Path, cloud: np.ndarray
) -> None:
    model = lass3d_core.load(write_tiny_model(tmp_path / "m.safetensors", replace(CARD, from_corner=True)))
    here = cloud[:, :3].astype(np.float64)
    # At a map's coordinates float32 has steps of half a metre.
    there = here + np.array([500_000, 5_000_000, 100])
    assert (model.predict(there, cloud[:, 3]).labels == model.predict(here, cloud[:, 3]).labels).mean() > 0.99


def test_tiles_label_nearly_as_one_pass_does(model: Model) -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform([-9, -9, -1], [9, 9, 1], (6000, 3)).astype(np.float32)
    features = rng.uniform(0, 1, 6000).astype(np.float32)
    whole = model.predict(points, features, probabilities=True)
    tiled = model.predict(points, features, probabilities=True, most_points=1000)
    assert np.allclose(tiled.probabilities.sum(axis=1), 1, atol=1e-5)
    assert (tiled.labels == whole.labels).mean() > 0.9


def test_augmentation_averages_the_probabilities_of_its_views(model: Model, cloud: np.ndarray) -> None:
    points, features = cloud[:, :3], cloud[:, 3]
    mirrored = points * np.float32([1, -1, 1])
    views = [model.predict(view, features, probabilities=True) for view in (points, mirrored)]
    mean = (views[0].probabilities + views[1].probabilities) / 2
    found = model.predict(points, features, probabilities=True, tta=2)
    assert np.allclose(found.probabilities, mean, atol=1e-6)
    assert np.array_equal(found.labels, mean.argmax(axis=1))


def test_a_query_is_a_cosine(model: Model, cloud: np.ndarray) -> None:
    similarity = model.query("a wall", cloud[:, :3], cloud[:, 3])
    assert similarity.shape == (600,) and np.abs(similarity).max() <= 1 + 1e-6
    other = model.query("a lamp", cloud[:, :3], cloud[:, 3], encode=lambda text: 3 * np.eye(5)[0])
    assert np.allclose(similarity, other, atol=1e-6)  # the same direction as the row in the file


def test_a_query_that_cannot_be_answered_says_why(model: Model, cloud: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(MissingArtifact, match=r"no row of the text 'a cat' \(it holds: a wall\); give"):
        model.query("a cat", cloud[:, :3], cloud[:, 3])
    with pytest.raises(DataError, match="a row of 2 numbers; hashing has 5"):
        model.query("a cat", cloud[:, :3], cloud[:, 3], encode=lambda text: np.zeros(2))
    without = lass3d_core.load(write_tiny_model(tmp_path / "m.safetensors", replace(CARD, query=None)))
    with pytest.raises(MissingArtifact, match="no head for queries"):
        without.query("a wall", cloud[:, :3], cloud[:, 3])


def test_devices_that_are_not_there_are_one_line(model: Model) -> None:
    with pytest.raises(DataError, match="device 'nonsense' cannot be used"):
        model.to("nonsense")


@pytest.mark.parametrize(("argument", "value"), [("tta", 0), ("most_points", 0)])
def test_counts_below_one_are_refused(model: Model, cloud: np.ndarray, argument: str, value: int) -> None:
    with pytest.raises(DataError, match=argument):
        model.predict(cloud[:, :3], cloud[:, 3], **{argument: value})


def test_a_range_view_predicts_too(tmp_path: Path, cloud: np.ndarray) -> None:
    net = replace(CARD.network, view="range", image=replace(CARD.network.image, height=16, width=64))
    card = replace(CARD, network=net, query=None)
    model = lass3d_core.load(write_tiny_model(tmp_path / "m.safetensors", card))
    assert len(model.predict(cloud[:, :3], cloud[:, 3]).labels) == len(cloud)


def test_another_backend_must_be_known(model_path: Path) -> None:
    with pytest.raises(Lass3dError, match="nonsense"):
        lass3d_core.load(model_path, backend="nonsense")


def test_a_fresh_process_needs_neither_program_nor_shards(model_path: Path, tmp_path: Path) -> None:
    code = (
        "import sys, numpy as np, lass3d_core\n"
        f"model = lass3d_core.load({str(model_path)!r})\n"
        "model.predict(np.zeros((3, 3)), np.zeros(3))\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'train', 'preprocess', 'h5py'}))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT)},
    )
    assert (run.stdout.strip(), run.stderr) == ("[]", "")


def test_importing_the_package_loads_no_torch() -> None:
    code = "import sys, lass3d_core; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_the_card_of_a_fresh_network_fits_its_weights() -> None:
    assert make_network(CARD).keys() == {"segmenter", "query_head"}

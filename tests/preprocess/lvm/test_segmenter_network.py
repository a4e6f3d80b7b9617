"""Files of networks: what is opened, and the one line for what is not."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from lass3d_core.errors import BackendUnavailable, CorruptArtifact, DataError
from preprocess.lvm.segmenter_network import open_network, threads
from tests.preprocess.lvm.tiny_segmenters import write_onnx, write_tflite


def test_an_onnx_network_says_its_form_and_runs(tmp_path: Path) -> None:
    network = open_network(write_onnx(tmp_path / "a.onnx", size_hw=None))
    assert (network.input.shape, network.input.dtype) == ((1, 3, None, None), np.float32)
    image = np.random.default_rng(0).random((1, 3, 4, 6), np.float32)
    assert np.allclose(network.run(image), 20 * image, rtol=1e-5)


def test_a_tflite_network_says_its_form_with_its_steps_and_runs(tmp_path: Path) -> None:
    network = open_network(write_tflite(tmp_path / "a.tflite", size_hw=(4, 6)))
    form = network.input
    assert (form.shape, form.dtype, form.zero) == ((1, 4, 6, 3), np.uint8, 128)
    assert form.scale == pytest.approx(0.1) and str(form) == "1 x 4 x 6 x 3 of uint8"
    image = np.random.default_rng(0).permutation(72).reshape(1, 4, 6, 3).astype(np.uint8)
    assert np.array_equal(network.run(image), image.argmax(axis=3))


def test_a_network_writes_nothing_to_the_terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    open_network(write_tflite(tmp_path / "a.tflite"))
    open_network(write_onnx(tmp_path / "a.onnx"))
    print("still here", file=sys.stderr)
    assert capfd.readouterr() == ("", "still here\n")


@pytest.mark.parametrize("name", ["none.onnx", "none.tflite", "."])
def test_a_file_that_is_not_there_is_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(BackendUnavailable, match=r"there is no file .*; mend `weights`"):
        open_network(tmp_path / name)


@pytest.mark.parametrize("name", ["street.pth", "street.pb", "street"])
def test_a_file_of_another_kind_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"weights")
    with pytest.raises(DataError, match=r"neither \.onnx nor \.tflite; export the network"):
        open_network(tmp_path / name)


@pytest.mark.parametrize("kind", ["onnx", "tflite"])
@pytest.mark.parametrize("damage", ["empty", "text", "cut off", "of the other kind"])
def test_a_damaged_network_is_one_line(tmp_path: Path, kind: str, damage: str) -> None:
    onnx, tflite = write_onnx(tmp_path / "a.onnx"), write_tflite(tmp_path / "a.tflite")
    path, other = (onnx, tflite) if kind == "onnx" else (tflite, onnx)
    content = {"empty": b"", "text": b"# street\n" * 9, "cut off": path.read_bytes()[:-90]}
    path.write_bytes(content.get(damage, other.read_bytes()))
    with pytest.raises(CorruptArtifact, match=r"a\.\w+ is not an? \w+ file, or is damaged \(") as caught:
        open_network(path)
    assert "\n" not in str(caught.value)


def test_a_network_of_several_inputs_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has 2 inputs, and a segmenter has one, the image"):
        open_network(write_onnx(tmp_path / "a.onnx", extra_input=True))


@pytest.mark.parametrize(
    ("kind", "module", "package"),
    [("onnx", "onnxruntime", "onnxruntime"), ("tflite", "ai_edge_litert.interpreter", "ai-edge-litert")],
)
def test_a_missing_package_is_one_line_with_the_extra_that_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, module: str, package: str
) -> None:
    (tmp_path / f"a.{kind}").write_bytes(b"network")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(BackendUnavailable, match=rf"needs {package} .*lass3d\[segmenter\]"):
        open_network(tmp_path / f"a.{kind}")


def test_an_input_that_a_network_cannot_take_is_one_line(tmp_path: Path) -> None:
    for path in (write_onnx(tmp_path / "a.onnx"), write_tflite(tmp_path / "a.tflite")):
        with pytest.raises(DataError, match=r"cannot be run on an input of 1 x 7 of float64 \(") as caught:
            open_network(path).run(np.zeros((1, 7)))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("wanted", "count"), [(None, 1), ("4", 4), ("0", 1), ("many", 1), ("", 1)])
def test_a_network_takes_as_many_threads_as_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, wanted: str | None, count: int
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if wanted is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", wanted)
    assert threads() == count

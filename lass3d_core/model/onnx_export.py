"""A range-view model as an ONNX file, which runs without Python and PyTorch.

    python -m lass3d_core.model.onnx_export MODEL INTO

The file takes the voxels of one scan with their places in the range image, and gives their logits.
`range_inputs` makes these inputs. Its steps are voxelise (lass3d_core/sparse/voxels.py) and range_view
(lass3d_core/nets/range_view.py); a program in another language repeats them.
Letters: N points, M voxels, F features, P pixels, C classes.
"""

from __future__ import annotations

import argparse
import copy
import importlib
import logging
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from lass3d_core.errors import BackendUnavailable, DataError, exit_status
from lass3d_core.files.atomic import atomic_write
from lass3d_core.model.predict import Model, load
from lass3d_core.nets.range_unet import RangeUNet
from lass3d_core.nets.range_view import RangeView, range_view
from lass3d_core.nets.segmenter import Segmenter

INPUTS = ("features", "distance", "behind", "pixel", "nearest")
"""features (M,3+F) float32: mean x, y, z in metres, and mean features of each voxel.
distance, behind (M,) float32: see RangeView. pixel (M,), nearest (P,) int64: see RangeView.
"""

OUTPUT = "logits"
"""(M,C) float32, already divided by the temperature. A softmax gives calibrated probabilities."""

CARD = "lass3d"
"""Key of the card's JSON in the metadata of the ONNX file, as in the model file."""

OPSET = 18
TIE = 1e-4
"""Logits that differ by less are a tie, in units of the largest logit."""


class _FromView(nn.Module):
    """The graph of the file: everything after `range_view`."""

    def __init__(self, segmenter: Segmenter, temperature: float) -> None:
        super().__init__()
        self.segmenter = segmenter
        self.temperature = temperature

    def forward(
        self, features: Tensor, distance: Tensor, behind: Tensor, pixel: Tensor, nearest: Tensor
    ) -> Tensor:
        view = RangeView(1, pixel, nearest, distance, behind)
        backbone = cast(RangeUNet, self.segmenter.backbone)
        logits: Tensor = self.segmenter.classifier(self.segmenter.adapter(backbone.from_view(features, view)))
        return logits / self.temperature


def export_onnx(model: Model, path: Path) -> None:
    """Write `model` to the ONNX file `path`, if onnxruntime gives the labels that PyTorch gives.

    Raises DataError for a model of the voxel view, for a method with another segmenter, and for other labels;
    then no file is written.
    Raises BackendUnavailable if a package is missing, StorageError if the disk cannot be written.
    """
    _require_range_view(model)
    onnx, _, runtime = (_package(name) for name in ("onnx", "onnxscript", "onnxruntime"))
    segmenter = model.network["segmenter"]
    if not isinstance(segmenter, Segmenter):
        raise DataError(
            f"a model of the method {model.card.origin.method} cannot become an ONNX file: its segmenter "
            "has more parts than backbone, adapter and classifier; use it in Python (lass3d_core.load)"
        )
    # A copy, because the graph is made on the CPU and the model may be elsewhere.
    graph = _FromView(copy.deepcopy(segmenter).cpu(), model.card.temperature).eval()
    program = _exported(graph, _random_inputs(model, 5000))
    onnx.helper.set_model_props(program, {CARD: model.card.to_json()})
    content = program.SerializeToString()
    # Another number of voxels than the graph was made with.
    _require_same_labels(runtime, content, graph, _random_inputs(model, 3000))
    with atomic_write(path) as part:
        part.write_bytes(content)


def range_inputs(
    model: Model, points: np.ndarray, features: np.ndarray | None = None
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The inputs of the ONNX file for one scan, by name, and the voxel (N,) int64 of each point.

    points (N,3), features (N,F): as `Model.predict` takes them, and checked as there.
    Row `voxel[i]` of the logits belongs to point i.
    """
    _require_range_view(model)
    given = model.network_input(points, features)
    view = range_view(given.features[:, :3], given.pyramid.coords[0][:, 0], model.card.network.image)
    tensors = (given.features, view.distance, view.behind, view.pixel, view.nearest)
    return {name: tensor.numpy() for name, tensor in zip(INPUTS, tensors)}, given.inverse.numpy()


def differing(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Rows of logits (M,C) whose largest class differs, ties left out; (M,) bool."""
    label, other = expected.argmax(axis=1), found.argmax(axis=1)
    rows = np.arange(len(expected))
    lead = expected[rows, label] - expected[rows, other]
    return lead > TIE * np.abs(expected).max(initial=1)


def _require_range_view(model: Model) -> None:
    if model.card.network.view != "range":
        raise DataError(
            "a model of the voxel view cannot become an ONNX file: ONNX has no operator for sparse "
            "convolutions over a changing set of voxels; use it in Python (lass3d_core.load), or train "
            "another with SET=net.view=range"
        )


def _package(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise BackendUnavailable(
            f"the ONNX export needs the package {name} ({error}); pip install 'lass3d[onnx]'"
        ) from None


def _random_inputs(model: Model, count: int) -> dict[str, np.ndarray]:
    """Inputs of `count` random points around the sensor, with features of the range that the model learnt."""
    random = np.random.default_rng(0)
    spread = model.card.reach_m * np.array([0.2, 0.2, 0.02])
    points = random.normal(scale=spread, size=(count, 3)).astype(np.float32)
    columns = [random.uniform(one.low, one.high, len(points)) for one in model.card.features]
    features = np.stack(columns, axis=1) if columns else None
    return range_inputs(model, points, features)[0]


def _exported(graph: nn.Module, inputs: Mapping[str, np.ndarray]) -> Any:
    voxels = torch.export.Dim("voxels", min=2)
    shapes = {name: None if name == "nearest" else {0: voxels} for name in INPUTS}
    with _quiet_exporter():
        # Exported first by itself: torch.onnx.export would fix M without a word if it cannot be dynamic.
        traced = torch.export.export(
            graph,
            tuple(torch.from_numpy(inputs[name]) for name in INPUTS),
            dynamic_shapes=shapes,
            strict=False,
        )
        program = torch.onnx.export(
            traced,
            input_names=INPUTS,
            output_names=(OUTPUT,),
            dynamic_shapes=shapes,
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def _require_same_labels(
    runtime: ModuleType, content: bytes, graph: nn.Module, inputs: Mapping[str, np.ndarray]
) -> None:
    session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
    found = session.run([OUTPUT], dict(inputs))[0]
    with torch.inference_mode():
        expected = graph(*(torch.from_numpy(inputs[name]) for name in INPUTS)).numpy()
    if wrong := int(differing(found, expected).sum()):
        raise DataError(
            f"onnxruntime labels {wrong} of {len(expected)} random voxels otherwise than PyTorch, so no file "
            "was written; try other versions of torch, onnxscript and onnxruntime"
        )


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Silence what the exporter says of itself: a missing torchvision, and calls of its own that are old."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r".*LeafSpec.* is deprecated", FutureWarning)
            warnings.filterwarnings("ignore", r"# The axis name: voxels will not be used", UserWarning)
            yield
    finally:
        logger.setLevel(level)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0, 2 for an error that the user can mend, 130 for Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m lass3d_core.model.onnx_export",
        description="Write a range-view model as an ONNX file.",
    )
    parser.add_argument("model", type=Path, help="a model.safetensors, as training and `make model` write it")
    parser.add_argument("into", type=Path, help="the ONNX file to write")
    given = parser.parse_args(arguments)

    def export() -> None:
        if given.into.is_dir() or given.into.resolve() == given.model.resolve():
            raise DataError(f"{given.into} is a folder or the model itself; name another file for the result")
        export_onnx(load(given.model), given.into)
        print(f"wrote {given.into}; onnxruntime and PyTorch give the same labels")

    return exit_status(export, "run the same command again")


if __name__ == "__main__":
    sys.exit(main())

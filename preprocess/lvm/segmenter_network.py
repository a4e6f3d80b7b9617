"""The network of `segmenter`: an ONNX or a TFLite file with one input, run on the CPU.

Decision: one thread, unless OMP_NUM_THREADS says otherwise, because the stages run one process per core.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from lass3d_core.errors import BackendUnavailable, CorruptArtifact, DataError
from preprocess.lvm.load_errors import brief

NAME = "segmenter"
_REMEDY = 'run `make setup`, or pip install "lass3d[segmenter]"'


@dataclass(frozen=True)
class TensorSpec:
    """The form of a tensor. shape: None for a side that is free.

    scale, zero: a quantised value q stands for scale * (q - zero). scale is 0 if the tensor is not quantised.
    """

    shape: tuple[int | None, ...]
    dtype: np.dtype[Any]
    scale: float = 0.0
    zero: int = 0

    def __str__(self) -> str:
        sides = " x ".join("?" if side is None else str(side) for side in self.shape)
        return f"{sides} of {self.dtype}"


class Network(Protocol):
    """A network with one input. output: what its first output is; its shape is known after a run alone."""

    input: TensorSpec
    output: TensorSpec

    def run(self, tensor: np.ndarray) -> np.ndarray:
        """The first output for an input of the form `input`. Raises DataError if it cannot be run."""


def open_network(path: Path) -> Network:
    """Open the network in the file `path`, by its suffix.

    Raises BackendUnavailable if the file or the package that runs it is missing, CorruptArtifact if the file
    is not what its suffix says, DataError for another suffix or a network with several inputs.
    """
    kinds: dict[str, type[_Onnx] | type[_Lite]] = {".onnx": _Onnx, ".tflite": _Lite}
    if not path.is_file():
        raise BackendUnavailable(f"{NAME}: there is no file {path}; mend `weights` in the manifest")
    if path.suffix.lower() not in kinds:
        raise DataError(f"{NAME}: {path} is neither .onnx nor .tflite; export the network to one of them")
    return kinds[path.suffix.lower()](path)


class _Onnx:
    """A network that onnxruntime runs."""

    def __init__(self, path: Path) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise BackendUnavailable(f"{NAME}: {path.name} needs onnxruntime ({error}); {_REMEDY}") from None
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what matters is raised as an error
        options.intra_op_num_threads = threads()
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # of many kinds
            raise _no_network(path, "an ONNX", error) from None
        self._path = path
        given = _only_input(self._session.get_inputs(), path)
        self._input, self._output = given.name, self._session.get_outputs()[0].name
        self.input = TensorSpec(tuple(map(_side, given.shape)), _onnx_dtype(given.type, path))
        of_output = self._session.get_outputs()[0]
        self.output = TensorSpec(tuple(map(_side, of_output.shape)), _onnx_dtype(of_output.type, path))

    def run(self, tensor: np.ndarray) -> np.ndarray:
        """See `Network`."""
        try:
            return np.asarray(self._session.run([self._output], {self._input: tensor})[0])
        except Exception as error:
            raise _not_run(self._path, tensor, error) from None


class _Lite:
    """A network that LiteRT runs, formerly TensorFlow Lite."""

    def __init__(self, path: Path) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise BackendUnavailable(
                f"{NAME}: {path.name} needs ai-edge-litert ({error}); {_REMEDY}"
            ) from None
        try:
            with _without_stderr():
                self._lite = Interpreter(str(path), num_threads=threads())
                self._lite.allocate_tensors()
        except Exception as error:  # ValueError or RuntimeError
            raise _no_network(path, "a TFLite", error) from None
        self._path = path
        given, of_output = (
            _only_input(self._lite.get_input_details(), path),
            self._lite.get_output_details()[0],
        )
        self._input, self._output = given["index"], of_output["index"]
        self.input, self.output = _lite_spec(given), _lite_spec(of_output)
        self._allocated = tuple(given["shape"])

    def run(self, tensor: np.ndarray) -> np.ndarray:
        """See `Network`."""
        try:
            if tensor.shape != self._allocated:
                self._lite.resize_tensor_input(self._input, tensor.shape)
                self._lite.allocate_tensors()
                self._allocated = tensor.shape
            self._lite.set_tensor(self._input, tensor)
            self._lite.invoke()
            return np.asarray(self._lite.get_tensor(self._output))
        except Exception as error:
            raise _not_run(self._path, tensor, error) from None


def threads() -> int:
    """The threads of one network: OMP_NUM_THREADS, or 1."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, int(wanted)) if wanted.isdecimal() else 1


@contextmanager
def _without_stderr() -> Iterator[None]:
    """Drop what is written to stderr: LiteRT writes a line of its own there, and no setting stops it."""
    sys.stderr.flush()
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def _only_input(inputs: list[Any], path: Path) -> Any:
    if len(inputs) != 1:
        raise DataError(f"{NAME}: {path} has {len(inputs)} inputs, and a segmenter has one, the image")
    return inputs[0]


def _side(side: Any) -> int | None:
    """A side of an ONNX shape, which is a name, or None, if it is free."""
    return side if isinstance(side, int) and side > 0 else None


def _onnx_dtype(kind: str, path: Path) -> np.dtype[Any]:
    """The NumPy type of "tensor(float)"."""
    name = kind.removeprefix("tensor(").removesuffix(")")
    try:
        return np.dtype({"float": "float32", "double": "float64"}.get(name, name))
    except TypeError:
        raise DataError(f"{NAME}: {path} has a tensor of {kind}, which is no image or map") from None


def _lite_spec(details: dict[str, Any]) -> TensorSpec:
    scale, zero = details["quantization"]
    shape = tuple(None if side < 0 else int(side) for side in details["shape_signature"])
    return TensorSpec(shape, np.dtype(details["dtype"]), float(scale), int(zero))


def _no_network(path: Path, kind: str, error: Exception) -> CorruptArtifact:
    return CorruptArtifact(f"{NAME}: {path} is not {kind} file, or is damaged ({brief(error)})")


def _not_run(path: Path, tensor: np.ndarray, error: Exception) -> DataError:
    form = TensorSpec(tensor.shape, tensor.dtype)
    return DataError(f"{NAME}: {path} cannot be run on an input of {form} ({brief(error)})")

"""Networks of a few hundred bytes that call a pixel red, green or blue by its largest channel."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

Head = Literal["logits", "probabilities", "classes"]
LABELS: list[Any] = ["brick", ["grass", "lawn", "plant"], ["sky"]]
RED, GREEN, BLUE = (200, 20, 20), (20, 200, 20), (20, 20, 200)


def params(weights: Path, **changes: Any) -> dict[str, Any]:
    """The parameters of `segmenter` for a network of floats from 0 to 1."""
    return {"weights": str(weights), "labels": LABELS, "pixels": "0..1", "min_pixels": 1} | changes


def picture(height: int = 24, width: int = 36) -> np.ndarray:
    """Blue above, green below, and a red square of a quarter of the height in the middle of the green."""
    image = np.empty((height, width, 3), np.uint8)
    image[: height // 2], image[height // 2 :] = BLUE, GREEN
    image[height // 2 : height // 2 + height // 4, width // 2 : width // 2 + height // 4] = RED
    return image


def write_onnx(
    path: Path,
    head: Head = "logits",
    size_hw: tuple[int, int] | None = (24, 36),
    channels_last: bool = False,
    is_bytes: bool = False,
    extra_input: bool = False,
    half: bool = False,
) -> Path:
    """Write a network of one 1 x 1 convolution. size_hw: None leaves it open. half: of the output."""
    onnx = pytest.importorskip("onnx")
    make, kinds = onnx.helper, onnx.TensorProto
    height, width = size_hw or ("height", "width")
    shape = [1, height, width, 3] if channels_last else [1, 3, height, width]
    nodes, last = [], "image"

    def then(op: str, *more: str, **attributes: Any) -> None:
        nonlocal last
        nodes.append(make.make_node(op, [last, *more], [f"{op}_{len(nodes)}"], **attributes))
        last = nodes[-1].output[0]

    if is_bytes:
        then("Cast", to=kinds.FLOAT)
    if channels_last:
        then("Transpose", perm=[0, 3, 1, 2])
    then("Conv", "kernel", strides=[2, 2] if half else [1, 1])
    if head == "probabilities":
        then("Softmax", axis=1)
    if head == "classes":
        then("ArgMax", axis=1, keepdims=0)
    elif channels_last:
        then("Transpose", perm=[0, 2, 3, 1])
    gain = np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1) * (0.1 if is_bytes else 20)
    kernel = onnx.numpy_helper.from_array(gain, "kernel")
    inputs = [make.make_tensor_value_info("image", kinds.UINT8 if is_bytes else kinds.FLOAT, shape)]
    if extra_input:
        inputs.append(make.make_tensor_value_info("scale", kinds.FLOAT, [1]))
    found = make.make_tensor_value_info(last, kinds.INT64 if head == "classes" else kinds.FLOAT, None)
    graph = make.make_graph(nodes, "tiny", inputs, [found], [kernel])
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    return path


def write_tflite(path: Path, head: Head = "classes", size_hw: tuple[int, int] = (24, 36)) -> Path:
    """Write a quantised network of one operation, ARG_MAX or SOFTMAX, over the bytes of the image."""
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated", reason="needs ai-edge-litert")
    import flatbuffers

    def tensor(name: str, kind: int, shape: list[int], buffer: int, scale: float = 0.0, zero: int = 0) -> Any:
        one = schema.TensorT()
        one.name, one.type, one.shape, one.buffer = name, kind, shape, buffer
        if scale:
            one.quantization = schema.QuantizationParametersT()
            one.quantization.scale, one.quantization.zeroPoint = [scale], [zero]
        return one

    types, operators = schema.TensorType, schema.BuiltinOperator
    sides = [1, *size_hw]
    image = tensor("image", types.UINT8, [*sides, 3], 1, 0.1, 128)
    operator, code = schema.OperatorT(), schema.OperatorCodeT()
    operator.outputs, operator.opcodeIndex = [2], 0
    axis = tensor("axis", types.INT32, [], 2)
    if head == "classes":
        operator.inputs, code.builtinCode = [0, 1], operators.ARG_MAX
        operator.builtinOptionsType = schema.BuiltinOptions.ArgMaxOptions
        operator.builtinOptions = schema.ArgMaxOptionsT()
        operator.builtinOptions.outputType = types.INT64
        output = tensor("classes", types.INT64, sides, 3)
    else:
        operator.inputs, code.builtinCode = [0], operators.SOFTMAX
        operator.builtinOptionsType = schema.BuiltinOptions.SoftmaxOptions
        operator.builtinOptions = schema.SoftmaxOptionsT()
        operator.builtinOptions.beta = 1.0
        output = tensor("shares", types.UINT8, [*sides, 3], 3, 1 / 256)
    code.deprecatedBuiltinCode = code.builtinCode
    graph, model = schema.SubGraphT(), schema.ModelT()
    graph.tensors, graph.operators, graph.inputs, graph.outputs = [image, axis, output], [operator], [0], [2]
    buffers = [schema.BufferT() for _ in range(4)]
    buffers[2].data = np.frombuffer(np.int32(3).tobytes(), np.uint8)
    model.version, model.operatorCodes, model.subgraphs, model.buffers = 3, [code], [graph], buffers
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path

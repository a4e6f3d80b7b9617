"""From the output of a network to the class and the probability of each pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lass3d_core.errors import BackendUnavailable
from preprocess.lvm.params import SegmenterParams
from preprocess.lvm.segmenter_network import TensorSpec
from preprocess.lvm.segmenter_output import UNKNOWN, Classified, ClassOutput

LABELS = ("road", "car", "sky")
IDS = np.array([[0, 0, 1, 1], [2, 2, 0, 1]])


def read(
    answer: np.ndarray,
    size_hw: tuple[int, int] = (4, 8),
    box: tuple[int, int, int, int] = (0, 0, 40, 20),
    scale: tuple[float, int] = (0.0, 0),
    **params: Any,
) -> Classified:
    """What is read from an output for an image of size_hw in `box` of an input of 20 x 40."""
    chosen = SegmenterParams("street.onnx", **{"labels": LABELS, **params})
    spec = TensorSpec(answer.shape, answer.dtype, *scale)
    return ClassOutput(spec, len(chosen.labels), chosen)(answer, box, (20, 40), size_hw)


def logits_of(ids: np.ndarray, gain: float = 9.0, count: int = 3) -> np.ndarray:
    """Logits (1,C,h,w) that are `gain` for the class of each pixel, else 0."""
    return (gain * (ids == np.arange(count)[:, None, None])).astype(np.float32)[None]


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "float32"])
@pytest.mark.parametrize("axes", [(0,), (0, 1), (0, 3)])
def test_a_map_of_classes_is_found_by_its_shape_and_enlarged_by_the_nearest(
    dtype: str, axes: tuple[int, ...]
) -> None:
    seen = read(np.expand_dims(IDS.astype(dtype), axes))
    assert np.array_equal(seen.classes, IDS.repeat(2, axis=0).repeat(2, axis=1))
    assert seen.probability is None and seen.classes.dtype == np.int16


@pytest.mark.parametrize("channels_last", [False, True])
def test_logits_become_the_likeliest_class_with_its_probability(channels_last: bool) -> None:
    logits = logits_of(IDS)
    seen = read(np.moveaxis(logits, 1, 3) if channels_last else logits, size_hw=(2, 4))
    assert np.array_equal(seen.classes, IDS)
    assert seen.probability is not None
    assert np.allclose(seen.probability, np.exp(9) / (np.exp(9) + 2), atol=1e-6)


def test_probabilities_are_taken_as_they_are() -> None:
    shares = np.full((1, 3, 2, 4), 0.15, np.float32)
    shares[:, 1] = 0.7
    seen = read(shares)
    assert seen.probability is not None
    assert (seen.classes == 1).all() and np.allclose(seen.probability, 0.7)
    softened = read(shares, output="logits", min_probability=0.0).probability
    assert softened is not None and np.allclose(softened, np.exp(0.7) / (np.exp(0.7) + 2 * np.exp(0.15)))


@pytest.mark.parametrize(("dtype", "zero"), [("uint8", 0), ("int8", -128)])
def test_quantised_scores_are_read_by_their_steps(dtype: str, zero: int) -> None:
    steps = np.full((1, 2, 4, 3), 32 + zero).astype(dtype)
    steps[..., 2] = 192 + zero
    seen = read(steps, scale=(1 / 256, zero))
    assert seen.probability is not None
    assert (seen.classes == 2).all() and np.allclose(seen.probability, 0.75)


def test_the_enlarged_probability_lies_between_those_of_the_pixels_around() -> None:
    shares = np.zeros((1, 3, 1, 2), np.float32)
    shares[0, :2, 0] = [[0.9, 0.3], [0.1, 0.7]]
    seen = read(shares, size_hw=(1, 8), min_probability=0.0)
    assert seen.classes.tolist() == [[0, 0, 0, 0, 0, 1, 1, 1]]
    assert seen.probability is not None
    assert seen.probability[0, 0] == pytest.approx(0.9) and seen.probability[0, 7] == pytest.approx(0.7)
    assert 0.5 < seen.probability[0, 3] < 0.7


def test_a_pixel_below_the_least_probability_is_of_no_class() -> None:
    logits = logits_of(IDS, gain=1.0) - 1  # 0.58 for the likeliest
    assert (read(logits, size_hw=(2, 4), min_probability=0.5).classes == IDS).all()
    assert (read(logits, size_hw=(2, 4), min_probability=0.6).classes == UNKNOWN).all()


@pytest.mark.parametrize("head", ["classes", "logits"])
def test_only_the_part_of_the_output_that_holds_the_image_counts(head: str) -> None:
    ids = np.zeros((10, 20), np.int64)
    ids[2:8, 5:15] = 1
    ids[2:5, 5:10] = 2
    output = ids[None] if head == "classes" else logits_of(ids, 50.0)
    seen = read(output, size_hw=(12, 20), box=(10, 4, 30, 16))
    assert np.array_equal(seen.classes[1:5, 1:9], np.full((4, 8), 2))
    assert np.array_equal(seen.classes[7:11, 11:19], np.ones((4, 8)))
    assert 0 not in seen.classes[1:-1, 1:-1]


@pytest.mark.parametrize("nothing", [255, -1])
def test_the_ids_of_no_class_are_unknown(nothing: int) -> None:
    ids = IDS.copy()
    ids[0, 0] = nothing
    assert read(ids[None], size_hw=(2, 4)).classes[0].tolist() == [UNKNOWN, 0, 1, 1]


def test_classes_before_the_first_label_are_unknown() -> None:
    words = {"labels": ("car", "sky"), "first_id": 1}
    assert read(IDS[None], size_hw=(2, 4), **words).classes.tolist() == (IDS - 1).tolist()
    assert read(logits_of(IDS), size_hw=(2, 4), **words).classes.tolist() == (IDS - 1).tolist()


@pytest.mark.parametrize(
    ("output", "params", "words"),
    [
        (
            np.zeros((1, 21, 2, 4), np.float32),
            {},
            "1 x 21 x 2 x 4 of float32: `labels` names 3 classes, 0 to 2",
        ),
        (np.zeros((1, 3, 2, 8), np.float32), {"first_id": 1}, "`labels` names 3 classes, 1 to 3"),
        (np.zeros((2, 3, 2, 4), np.float32), {}, "2 x 3 x 2 x 4 of float32"),
        (np.zeros((1, 1000), np.float32), {}, "1 x 1000 of float32"),
        (np.full((1, 2, 4), 3), {}, "class 3, and `labels` names 3 classes, 0 to 2"),
        (np.full((1, 1, 2, 4), 151.0, np.float32), {"first_id": 1}, "class 151, and"),
        (np.full((1, 1, 2, 4), 0.4, np.float32), {}, "fractions of one class"),
        (np.zeros((1, 2, 4), np.int64), {"output": "logits"}, "that is classes, and not logits"),
        (np.zeros((1, 3, 2, 4), np.float32), {"output": "classes"}, "that is scores, and not classes"),
        (logits_of(IDS), {"output": "probabilities"}, "probabilities lie between 0 and 1"),
        (np.full((1, 3, 2, 4), np.nan, np.float32), {}, "not finite"),
        (np.full((1, 3, 2, 4), -np.inf, np.float32), {}, "not finite"),
    ],
)
def test_an_output_that_does_not_fit_the_labels_ends_the_run(
    output: np.ndarray, params: dict[str, Any], words: str
) -> None:
    with pytest.raises(BackendUnavailable, match=rf"segmenter: street\.onnx answers with .*{words}"):
        read(output, **params)

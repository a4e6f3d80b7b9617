"""`segmenter` as captioner and as detector, on tiny networks of both kinds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lass3d_core.errors import BackendUnavailable, DataError
from lass3d_core.files.images import read_image
from lass3d_core.files.masks import decode
from lass3d_core.manifest.schema import LvmSpec
from lass3d_core.records import FilePart
from preprocess.lvm import identity_of, load_captioner, load_detector
from tests.preprocess.lvm.tiny_segmenters import params, picture, write_onnx, write_tflite

WRITERS: dict[str, Callable[[Path], Path]] = {"onnx": write_onnx, "tflite": write_tflite}


@pytest.fixture(params=WRITERS)
def network(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """The parameters of a network of either kind."""
    weights = WRITERS[request.param](tmp_path / f"street.{request.param}")
    return params(weights) if request.param == "onnx" else params(weights, pixels=None)


def test_a_caption_names_what_is_seen_in_the_order_of_the_area(network: dict[str, Any]) -> None:
    (caption,) = load_captioner(LvmSpec("segmenter", network)).caption([picture()])
    assert caption.text == "sky, grass and brick"
    assert [(one.phrase, one.box_xyxy) for one in caption.phrases] == [
        ("sky", (0.0, 0.0, 36.0, 12.0)),
        ("grass", (0.0, 12.0, 36.0, 24.0)),
        ("brick", (18.0, 12.0, 24.0, 18.0)),
    ]


def test_a_detector_answers_with_the_phrases_that_it_is_asked_for(network: dict[str, Any]) -> None:
    asked = ["wall of brick", "a green lawn", "spaceship", "plant"]
    (found,) = load_detector(LvmSpec("segmenter", network)).detect([picture()], [asked])
    assert {one.phrase for one in found} == {"a green lawn", "wall of brick"}
    (lawn,) = [one for one in found if one.phrase == "a green lawn"]
    image = picture()
    assert np.array_equal(decode(lawn.mask), (image == (20, 200, 20)).all(axis=2))
    assert lawn.box_xyxy == (0.0, 12.0, 36.0, 24.0)


def test_nothing_is_found_by_words_that_the_network_does_not_know(network: dict[str, Any]) -> None:
    detector = load_detector(LvmSpec("segmenter", network))
    assert detector.detect([picture(), picture()], [["spaceship", "tower"], []]) == [[], []]


def test_an_image_alone_and_in_a_batch_gets_the_same_answer(network: dict[str, Any]) -> None:
    images = [picture(), picture(48, 50), picture(30, 100)[::-1].copy()]
    captioner, detector = (load(LvmSpec("segmenter", network)) for load in (load_captioner, load_detector))
    together = captioner.caption(images)
    assert together == [captioner.caption([image])[0] for image in images]
    words = [[one.phrase for one in caption.phrases] for caption in together]
    alone = [detector.detect([image], [asked])[0] for image, asked in zip(images, words)]
    assert detector.detect(images, words) == alone and all(alone)


def test_a_score_is_the_mean_probability_and_a_map_of_classes_has_one_for_all(tmp_path: Path) -> None:
    def scores(weights: Path, **changes: Any) -> set[float]:
        detector = load_detector(LvmSpec("segmenter", params(weights, **changes)))
        return {one.score for one in detector.detect([picture()], [["sky", "grass", "brick"]])[0]}

    assert scores(write_tflite(tmp_path / "a.tflite"), pixels=None) == {0.5}
    assert scores(write_onnx(tmp_path / "a.onnx", "classes")) == {0.5}
    logits = np.array([20, 20, 200]) / 255 * 20
    sure = np.exp(logits).max() / np.exp(logits).sum()
    assert max(scores(write_onnx(tmp_path / "b.onnx"))) == pytest.approx(sure, abs=1e-5)


def test_regions_that_are_too_small_or_too_unsure_are_not_found(tmp_path: Path) -> None:
    weights = write_onnx(tmp_path / "a.onnx")

    def phrases(**changes: Any) -> set[str]:
        (found,) = load_detector(LvmSpec("segmenter", params(weights, **changes))).detect([image], [asked])
        return {one.phrase for one in found}

    image, asked = picture(), ["sky", "grass", "brick"]
    image[12:, :10] = (110, 114, 108)  # hardly green
    assert phrases() == {"sky", "grass", "brick"}
    assert phrases(min_pixels=37) == {"sky", "grass"}
    assert phrases(min_probability=1.0) == set()
    (found,) = load_detector(LvmSpec("segmenter", params(weights))).detect([image], [["grass"]])
    assert not decode(found[0].mask)[:, :9].any()


def test_classes_without_a_word_are_never_named(tmp_path: Path) -> None:
    weights = write_onnx(tmp_path / "a.onnx", "classes")
    unnamed = params(weights, labels=[[], "grass", []])
    (caption,) = load_captioner(LvmSpec("segmenter", unnamed)).caption([picture()])
    assert caption.text == "grass"
    background = params(weights, labels=["grass", "sky"], first_id=1)
    (caption,) = load_captioner(LvmSpec("segmenter", background)).caption([picture()])
    assert caption.text == "sky and grass"


def test_an_image_of_nothing_known_gets_a_caption_without_phrases(tmp_path: Path) -> None:
    nothing = params(write_onnx(tmp_path / "a.onnx"), labels=["brick", [], []])
    (caption,) = load_captioner(LvmSpec("segmenter", nothing)).caption([picture()[:10]])
    assert caption.text == "nothing in particular" and caption.phrases == ()


def test_two_classes_of_one_word_are_named_once(tmp_path: Path) -> None:
    same = params(write_onnx(tmp_path / "a.onnx"), labels=["plant", "plant", "sky"])
    (caption,) = load_captioner(LvmSpec("segmenter", same)).caption([picture()])
    assert sorted(caption.text.split(" and ")) == ["plant", "sky"]


@pytest.mark.parametrize("labels", [["road", "car"], [f"thing {number}" for number in range(19)]])
def test_labels_of_another_number_are_refused_when_the_network_is_loaded(
    tmp_path: Path, labels: list[str]
) -> None:
    wrong = params(write_onnx(tmp_path / "a.onnx"), labels=labels)
    with pytest.raises(BackendUnavailable, match=rf"`labels` names {len(labels)} classes, 0 to"):
        load_captioner(LvmSpec("segmenter", wrong))


def test_class_ids_beyond_the_labels_end_the_run_and_fail_no_image(tmp_path: Path) -> None:
    captioner = load_captioner(
        LvmSpec("segmenter", params(write_onnx(tmp_path / "a.onnx", "classes"), labels=["brick", "grass"]))
    )
    with pytest.raises(
        BackendUnavailable, match=r"answers with class 2, and `labels` names 2 classes, 0 to 1"
    ):
        captioner.caption([picture()])


@pytest.mark.parametrize(("word", "place"), [("scene", 1), ("!", 1)])
def test_a_label_that_names_no_thing_is_refused(tmp_path: Path, word: str, place: int) -> None:
    labels = ["brick", ["grass", word], "sky"]
    with pytest.raises(DataError, match=rf"labels\[{place}\]: '{word}' names no thing"):
        load_captioner(LvmSpec("segmenter", params(write_onnx(tmp_path / "a.onnx"), labels=labels)))


def test_weights_are_known_by_their_content_and_not_by_their_name(tmp_path: Path) -> None:
    def identity(weights: Path) -> Any:
        return identity_of("entities", LvmSpec("segmenter", params(weights)))

    first, second = write_onnx(tmp_path / "a.onnx"), write_onnx(tmp_path / "b.onnx")
    before = identity(first)
    assert before == identity(second)
    assert identity(write_onnx(first, "classes")) != before
    (tmp_path / "b.onnx.data").write_bytes(b"tensors of the network")
    assert identity(second) != before
    assert identity(tmp_path / "none.onnx")["weights"] == "absent"


def test_another_training_under_the_same_name_redoes_captions_and_what_reads_them(
    street: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = write_onnx(tmp_path / "street.onnx")
    model = {"name": "segmenter", "params": params(weights, min_pixels=64)}
    street.set(image_captions=model, entities=model | {"vocabulary": "captions"})
    assert street.run("captions") == 0 and street.run("pairs") == 0
    capsys.readouterr()
    assert street.run("captions") == 0 and "to make" not in capsys.readouterr().out
    write_onnx(weights, "classes")
    assert street.run("status") == 0
    assert "captioner params weights: " in capsys.readouterr().out


def test_every_real_frame_is_described_by_a_trained_network(samples: Path, models: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")
    (weights,) = models.glob("*cityscapes*.tflite")
    frames = [*samples.glob("*/sequences/*/image_2/*0.png"), *samples.glob("*/image*.png")]
    known = {"weights": str(weights), "labels": "cityscapes"}
    captioner = load_captioner(LvmSpec("segmenter", known))
    captions = captioner.caption([read_image(FilePart(frame)) for frame in frames])
    assert len(captions) >= 9
    for caption in captions:
        assert {"road", "vegetation"} <= {one.phrase for one in caption.phrases}


def test_an_image_of_one_pixel_and_a_very_wide_one_are_described(network: dict[str, Any]) -> None:
    captioner = load_captioner(LvmSpec("segmenter", network))
    dot, strip = captioner.caption([picture()[:1, :1].copy(), picture()[11:13].copy()])
    assert dot.text == "sky" and strip.text == "sky, grass and brick"

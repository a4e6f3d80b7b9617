"""The page of real, tiny runs: trained, evaluated and written as the command line does it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
from PIL import Image

from lass3d_core.errors import CorruptArtifact, MissingArtifact
from lass3d_core.files.masks import encode
from lass3d_core.labels import IGNORE
from lass3d_core.manifest.reading import read_manifest
from lass3d_core.records import Camera, FilePart, ImageFile, PairedScan, View
from train.__main__ import main
from train.data.paired_scans import PairedScans
from train.report.page import predictor, write_report
from train.report.reproduce import settings
from train.report.runs import read_run

_HOSTILE = "<script>alert('caption')</script>"
_IN_ANOTHER_LOOK = "seen in a mirror"
_SHORT = (
    "schedule.steps=4",
    "schedule.validate_every=2",
    "net.stem=4",
    "net.encoder=[6,6,6]",
    "net.decoder=[6,6,6]",
)
_VOID = {"meta", "img", "br", "input", "line", "path", "circle", "rect"}


class TinyProject(Protocol):
    root: Path
    artifacts: Path

    def run(self, name: str) -> Path: ...

    def arguments(self, command: str, *more: str) -> list[str]: ...

    def training(self, *more: str, method: str = ..., settings: tuple[str, ...] = ...) -> list[str]: ...


class Pictures:
    """A data set whose pictures lie in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def images(self, scan_id: str) -> tuple[ImageFile, ...]:
        return (ImageFile(f"{scan_id}/image", self._file(scan_id)),)

    def views(self, scan_id: str) -> tuple[View, ...]:
        eye = Camera(np.array([[20.0, 0, 16], [0, 20, 12], [0, 0, 1]]), np.eye(4), (24, 32))
        return (View(f"{scan_id}/image", self._file(scan_id), eye),)

    def _file(self, scan_id: str) -> FilePart:
        return FilePart(self.folder / f"{scan_id.replace('/', '-')}.png")


class Page(HTMLParser):
    """What a browser would make of a page: its elements, whether they nest, what it would fetch, its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.images_without_words = 0
        self.ids: list[str] = []
        self.words = ""
        self.feed(text)
        self.words = " ".join(self.words.split())
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.addresses += [
            named[name] or "" for name in ("src", "href", "action", "poster", "data") if name in named
        ]
        self.images_without_words += tag == "img" and not named.get("alt")
        self.ids += [named["id"] or ""] if "id" in named else []
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.words += data


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TinyProject]:
    """Filled by the first test that needs a trained project, so that it is trained once."""
    return {}


@pytest.fixture
def project(
    tiny: TinyProject, trained: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> TinyProject:
    """A tiny project with three finished runs and captions and entities for its training images."""
    if not trained:
        _train(tiny, "supervised", _SHORT)
        _train(tiny, "lass3d", (*_SHORT, "method.pe_form=single_pass"))
        _train(tiny, "lass3d", (*_SHORT, "method.captions=none", "method.pe=false"), "--tag", "dumb")
        _say_something(tiny)
        trained["root"] = tmp_path_factory.mktemp("trained") / "project"
        shutil.copytree(tiny.root, trained["root"])
    else:
        shutil.rmtree(tiny.root)
        shutil.copytree(trained["root"], tiny.root)
    return tiny


def _train(project: TinyProject, method: str, settings: tuple[str, ...], *more: str) -> None:
    assert main(project.training(*more, method=method, settings=settings)) == 0


def _say_something(project: TinyProject) -> None:
    """Pictures, captions and entities of the training images, the last one failed."""
    mask = np.zeros((24, 32), bool)
    mask[:, :9] = True
    ids = [f"0/{index}/image" for index in range(10)]
    captions: list[dict] = [
        {
            "image_id": i,
            "text": f"A wall {_HOSTILE}.",
            "phrases": [{"phrase": "wall", "box_xyxy": [0, 0, 9, 9]}],
            "raw": "",
        }
        for i in ids
    ]
    captions[-1] = {"image_id": ids[-1], "error": "cannot be read"}
    entity = {
        "phrase": "a <i>wall</i>",
        "score": 0.75,
        "box_xyxy": [0, 0, 9, 24],
        "mask": encode(mask).counts,
    }
    again = {**entity, "phrase": _IN_ANOTHER_LOOK, "look": "mirrored"}
    entities = [{"image_id": i, "size_hw": [24, 32], "entities": [entity, again]} for i in ids]
    for stage, records in (("image_captions", captions), ("entities", entities)):
        lines = [{"schema": 1, "stage": stage}, *records, {"end": True}]
        (project.artifacts / stage).mkdir()
        (project.artifacts / stage / "0-000.jsonl").write_text(
            "".join(json.dumps(line) + "\n" for line in lines)
        )
    (project.root / "pictures").mkdir()
    for index, scan in enumerate([*(f"0-{index}" for index in range(10)), "2-0"]):
        Image.fromarray(np.full((24, 32, 3), 20 * index, np.uint8)).save(
            project.root / f"pictures/{scan}.png"
        )


def _page(project: TinyProject, run: str = "lass3d-demo-r20-s0", **options: object) -> str:
    written = write_report(project.run(run), project.artifacts, **options)
    assert written == project.run(run) / "report.html"
    return written.read_text(encoding="utf-8")


def test_the_page_is_whole_nests_and_fetches_nothing(project: TinyProject) -> None:
    text = _page(project, dataset=Pictures(project.root / "pictures"))
    page = Page(text)
    assert page.addresses and all(address.startswith("data:image/") for address in page.addresses)
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|import\(", text)
    assert "://" not in text
    assert "default-src 'none'" in text
    assert page.images_without_words == 0
    assert len(page.ids) == len(set(page.ids))
    assert len(text) < 6_000_000


def test_every_section_has_something_to_say(project: TinyProject) -> None:
    page = Page(_page(project, dataset=Pictures(project.root / "pictures")))
    assert page.ids == ["results", "learning", "clouds", "images", "pairing", "setup", "again"]
    for words in (
        "on tiny",
        "mean IoU, test",
        "Eq. (9)",
        "Prediction",
        "A wall",
        "points with an entity",
    ):
        assert words in page.words


def test_the_page_names_the_models_of_the_words_and_warns_of_stand_ins_on_real_data(
    project: TinyProject,
) -> None:
    unknown = Page(_page(project)).words
    assert "a model that is not recorded here wrote" in unknown and "language-vision" not in unknown
    record = {"stage": "", "schema": 1, "params": {"captioner": "palette"}, "inputs": {}, "upstream": {}}
    captions = project.artifacts / "image_captions" / "0-000.jsonl"
    _, *lines = captions.read_text().splitlines(keepends=True)
    captions.write_text("".join([json.dumps({"record": record}) + "\n", *lines]))
    manifest, dataset = read_manifest(project.manifest)
    simulated = manifest.datasets[dataset]
    words = Page(_page(project, spec=simulated)).words
    assert "the caption that palette wrote" in words and "Warning" not in words
    words = Page(_page(project, spec=replace(simulated, simulate=None))).words
    assert "Warning: palette (image_captions) is a stand-in" in words


def test_captions_and_phrases_cannot_write_html(project: TinyProject) -> None:
    text = _page(project, dataset=Pictures(project.root / "pictures"))
    assert _HOSTILE not in text and "<i>wall</i>" not in text
    assert _HOSTILE in Page(text).words.replace("’", "'")


def test_what_another_look_at_an_image_found_is_not_drawn_again(project: TinyProject) -> None:
    assert _IN_ANOTHER_LOOK not in _page(project)


def test_the_point_clouds_are_predicted_by_the_runs_own_checkpoint(project: TinyProject) -> None:
    run, scans = read_run(project.run("lass3d-demo-r20-s0")), PairedScans.open(project.artifacts)
    predict = predictor(run, scans)
    right = counted = 0
    for scan_id in scans.labelled_scans("test"):
        scan = scans.read(scan_id)
        counts = scan.labels != IGNORE
        found = predict(scan)
        right += int((found.labels == scan.labels)[counts].sum())
        assert found.confidence.shape == scan.labels.shape and found.confidence.min() >= 1 / 3
        counted += int(counts.sum())
    assert right / counted == pytest.approx(run.metrics["test"].accuracy)


def test_the_camera_image_stands_beside_the_cloud_that_has_one(project: TinyProject) -> None:
    def clouds(page: str) -> list[dict]:
        return [json.loads(one) for one in re.findall(r'class="cloud">(.*?)</script>', page)]

    first, second = clouds(_page(project, dataset=Pictures(project.root / "pictures")))
    assert [photo["name"] for photo in first["photos"]] == ["image"] and second["photos"] == []
    assert {"confidence", "truth", "text", "seen"} <= first.keys() and "seen" not in second
    without = _page(project)
    assert 'class="photo"' not in without and all(not one["photos"] for one in clouds(without))


def test_the_text_is_compared_with_the_labels_of_labelled_scans_alone(project: TinyProject) -> None:
    """All ten training scans have labels, and the run used those of two."""
    words = Page(_page(project)).words
    assert "Counted over 10 training scans. Labels were read in the 2 labelled scans alone." in words
    # In the tiny scans every phrase lies on one class.
    assert "points on the main class of their phrase100.0" in words


def test_what_departs_from_the_paper_stands_out(project: TinyProject) -> None:
    assert "method.alpha0.95 paper: 0.999" in Page(_page(project)).words
    found = {entry.key: entry for entry in settings(read_run(project.run("lass3d-demo-r20-s0")).config)}
    assert found["method.alpha"].papers == "0.999" and found["method.tau_r"].papers is None


def test_the_peak_memory_stands_beside_the_environment(project: TinyProject) -> None:
    log = (project.root / "runs/tiny/lass3d-demo-r20-s0/log.csv").read_text().splitlines()
    last = log[-1].split(",")[log[0].split(",").index("peak_memory_gib")]
    assert f"{float(last):.2f} GiB" in _page(project)


def test_pictures_that_nobody_finds_are_said_to_be_missing(project: TinyProject) -> None:
    assert "not recorded" in Page(_page(project)).words
    assert "does not exist" in Page(_page(project, dataset=Pictures(project.root / "elsewhere"))).words


def test_without_captions_and_entities_the_page_says_so(project: TinyProject) -> None:
    shutil.rmtree(project.artifacts / "image_captions")
    shutil.rmtree(project.artifacts / "entities")
    words = Page(_page(project)).words
    assert "No caption for this image." in words and "No entities found." in words


def test_a_failed_image_is_shown_without_a_caption(project: TinyProject) -> None:
    assert "No caption for this image." in Page(_page(project)).words


def test_without_weights_the_page_says_why_there_are_no_clouds(project: TinyProject) -> None:
    shutil.rmtree(project.run("lass3d-demo-r20-s0") / "checkpoints")
    (project.run("lass3d-demo-r20-s0") / "model.safetensors").unlink()
    page = Page(_page(project))
    assert "No point clouds" in page.words
    assert "mean IoU, test" in page.words


def test_a_run_that_was_not_evaluated_says_so(project: TinyProject) -> None:
    for split in ("val", "test"):
        (project.run("lass3d-demo-r20-s0") / f"metrics-{split}.json").unlink()
    assert "No split was evaluated" in Page(_page(project)).words


def test_a_run_without_text_says_that_it_used_none(project: TinyProject) -> None:
    assert "This run used none of the text." in Page(_page(project, "lass3d-demo-r20-s0-dumb")).words
    assert "This run used none of the text." in Page(_page(project, "supervised-demo-r20-s0")).words
    assert "This run used none of the text." not in Page(_page(project)).words


def test_runs_of_the_demo_are_compared(project: TinyProject) -> None:
    names = {"supervised only": "supervised-demo-r20-s0", "LASS3D": "lass3d-demo-r20-s0"}
    listed = {title: str(project.run(name)) for title, name in names.items()} | {
        "gone": str(project.run("gone"))
    }
    (project.root / "runs" / "tiny" / "demo.json").write_text(json.dumps(listed))
    own = read_run(project.run("lass3d-demo-r20-s0")).metrics["test"].miou_absent_dropped
    other = read_run(project.run("supervised-demo-r20-s0")).metrics["test"].miou_absent_dropped
    better = "better" if own > other else "worse"
    gap = f"is {100 * abs(own - other):.1f} points {better} than supervised only"
    assert gap in Page(_page(project)).words
    assert "points better than" not in Page(_page(project, "lass3d-demo-r20-s0-dumb")).words


def test_the_commands_lead_to_the_run(project: TinyProject, capsys: pytest.CaptureFixture[str]) -> None:
    words = Page(_page(project, "lass3d-demo-r20-s0-dumb")).words
    assert "make train DATASET=tiny METHOD=lass3d PRESET=demo RATIO=20 SEED=0 TAG=dumb SET='" in words
    (settings,) = set(re.findall(r"SET='([^']*)'", words))
    again = [word for setting in settings.split() for word in ("--set", setting)]
    assert "method.captions=none" in settings and "net.encoder=[6,6,6]" in settings
    choice = ["--method", "lass3d", "--ratio", "20", "--preset", "demo", "--tag", "dumb"]
    assert main(project.arguments("run", *choice, *again)) == 0
    assert "trained before" in capsys.readouterr().out


def test_the_page_is_the_same_when_it_is_written_again(project: TinyProject) -> None:
    assert _page(project) == _page(project)


def test_a_page_may_be_written_elsewhere(project: TinyProject, tmp_path: Path) -> None:
    out = tmp_path / "pages" / "a.html"
    assert write_report(project.run("supervised-demo-r20-s0"), project.artifacts, out) == out
    assert out.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_scans_without_labels_leave_the_page_without_clouds(
    project: TinyProject, rewrite_tiny: Callable[..., None]
) -> None:
    def without_labels(scan: PairedScan) -> PairedScan:
        labels = None if scan.scan_id[0] in "12" else scan.labels
        return PairedScan(scan.scan_id, scan.points, scan.features, labels, scan.pairs)

    rewrite_tiny(project, without_labels)
    assert "no test or validation scan has labels" in Page(_page(project)).words


def test_a_folder_without_a_run_and_a_damaged_shard_are_named(project: TinyProject) -> None:
    with pytest.raises(MissingArtifact, match=r"config\.json"):
        write_report(project.run("nothing"), project.artifacts)
    shard = project.artifacts / "image_captions" / "0-000.jsonl"
    shard.write_text(shard.read_text() + "{cut")
    with pytest.raises(CorruptArtifact, match="line 13"):
        write_report(project.run("lass3d-demo-r20-s0"), project.artifacts)

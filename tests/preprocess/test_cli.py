"""The command line: what it prints, its exit statuses, and one clear line for everything that is wrong."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from lass3d_core.files.lock import only_one
from preprocess.__main__ import main

Line = Callable[[], str]


def test_a_second_run_does_nothing_and_says_so_in_one_line_per_stage(street: Any, capfd: Any) -> None:
    before = {path: path.stat().st_mtime_ns for path in street.artifacts.rglob("*.[jh]*")}
    assert street.run("captions") == 0 and street.run("pairs") == 0
    printed, errors = capfd.readouterr()
    *stages, train, val, test = printed.splitlines()
    assert stages == [
        "image_captions: fresh (4 shards)",
        "entities: fresh (4 shards)",
        "text_embeddings: fresh (1 shard)",
        "pairs: fresh (4 shards)",
    ]
    assert train.startswith("train: 6 scans, 6 with labels, 6 with images; ")
    assert val.startswith("val: 2 scans, ") and test.startswith("test: 2 scans, ")
    assert errors == ""
    after = {path: path.stat().st_mtime_ns for path in street.artifacts.rglob("*.[jh]*")}
    assert {path for path in after if after[path] != before.get(path)} <= {street.artifacts / "inputs.json"}


def test_captions_write_a_simulated_street_that_is_not_there(
    street: Any, finished_street: Any, capfd: Any
) -> None:
    shutil.rmtree(street.folder / "data")
    shutil.rmtree(street.artifacts)
    assert street.run("captions") == 0
    assert "street: 10 scans written" in capfd.readouterr().out
    assert street.run("pairs") == 0
    assert street.content() == finished_street.content()


def test_a_line_says_what_was_written_where(street: Any, capfd: Any) -> None:
    street.set(pairs__min_score=0.4)
    assert street.run("pairs") == 0
    first, second, *_ = capfd.readouterr().out.splitlines()
    assert first == "pairs: 4 of 4 shards to make: pairs min_score: 0.3 -> 0.4"
    assert second.startswith("pairs: wrote 4 shards (10 scans in ") and second.endswith(
        f"to {street.artifacts / 'pairs'}"
    )


def test_texts_that_were_cut_are_counted(street: Any, capfd: Any) -> None:
    street.set(text_embeddings__params__context=3)
    assert street.run("captions") == 0
    assert "text_embeddings: 8 texts were cut" in capfd.readouterr().out


def test_what_the_demo_asks_is_encoded_once(street: Any, capfd: Any) -> None:
    for said in ("wrote 1 text to ", "nothing to embed: 1 text known already"):
        assert street.run("embed", "--demo") == 0
        assert capfd.readouterr().out.startswith(said)


@pytest.mark.parametrize("arguments", [(), ("--limit", "1"), ("--only", "text_embeddings")])
def test_captions_by_stand_ins_of_data_that_are_not_simulated_warn_once(
    street: Any, capfd: Any, arguments: tuple[str, ...]
) -> None:
    street.set(datasets__street__simulate=None)
    assert street.run("captions", *arguments) == 0
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("warning: ") and "hashing (text_embeddings)" in line and "set street" in line
    assert ("palette (image_captions, entities)" in line) == ("--only" not in arguments)


def test_a_preview_by_stand_ins_of_data_that_are_not_simulated_warns_once(street: Any, capfd: Any) -> None:
    street.set(datasets__street__simulate=None, image_captions__name="palette")
    assert street.run("preview", str(street.sequences / "00" / "image_2" / "000000.png")) == 0
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("warning: palette (image_captions, entities)")


def test_only_one_stage_is_run_when_asked(untouched_street: Any) -> None:
    assert untouched_street.run("captions", "--only", "image_captions") == 0
    assert sorted(path.name for path in untouched_street.artifacts.iterdir()) == [
        ".lock",
        "image_captions",
        "inputs.json",
    ]


def test_status_is_a_table(street: Any, capfd: Any) -> None:
    street.set(text_embeddings__params__dim=32)
    (street.artifacts / "pairs" / "01-000.h5").unlink()
    assert street.run("status") == 0
    head, *rows = capfd.readouterr().out.splitlines()
    assert head == f"street, artifacts in {street.artifacts}"
    assert [row.split()[0] for row in rows] == ["image_captions", "entities", "text_embeddings", "pairs"]
    assert [row.split("B  ")[1] for row in rows] == [
        "fresh (4 shards)",
        "fresh (4 shards)",
        "stale (1 of 1): encoder params dim: 64 -> 32",
        "partial (3 of 4)",
    ]


def test_status_without_data_says_what_to_run(untouched_street: Any, capfd: Any) -> None:
    shutil.rmtree(untouched_street.folder / "data")
    assert untouched_street.run("status") == 0
    assert capfd.readouterr().out.rstrip().endswith("run `make street`")


def test_audit_counts_points_and_draws_them(street: Any, capfd: Any) -> None:
    assert street.run("audit") == 0
    lines = capfd.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines[:3]] == ["train", "val", "test"]
    assert lines[0].startswith("train: 6 scans, 6 with labels, ") and "with a phrase" in lines[0]
    assert lines[-1] == f"audit.json and 6 pictures written to {street.artifacts / 'audit'}"
    pictures = sorted(street.artifacts.glob("audit/*.png"))
    assert len(pictures) == 6
    with Image.open(pictures[0]) as picture:
        assert picture.size[0] >= 960


def test_audit_needs_pairs_that_are_up_to_date(street: Any, one_line: Line) -> None:
    street.set(pairs__min_score=0.4)
    assert street.run("audit") == 2
    assert "run `make captions pairs`" in one_line()


def test_pairs_before_captions_name_what_is_missing(untouched_street: Any, one_line: Line) -> None:
    assert untouched_street.run("pairs") == 2
    assert one_line() == "error: pairs needs entities, which is missing; run `make captions`"


def test_pairs_of_other_entities_name_what_is_stale(street: Any, one_line: Line) -> None:
    street.set(entities__params__min_pixels=30)
    assert street.run("pairs") == 2
    assert one_line() == "error: pairs needs entities, which is not up to date; run `make captions`"


def test_a_half_written_shard_is_made_again(street: Any, finished_street: Any, capfd: Any) -> None:
    path = street.artifacts / "entities" / "00-001.jsonl"
    path.write_bytes(path.read_bytes()[:-100])
    assert street.run("captions") == 0
    assert "entities: 1 of 4 shards to make: its last line is cut off" in capfd.readouterr().out
    assert street.content() == finished_street.content()


def test_a_damaged_pair_shard_is_made_again(street: Any, finished_street: Any, capfd: Any) -> None:
    path = street.artifacts / "pairs" / "00-001.h5"
    path.write_bytes(path.read_bytes()[:4000])
    assert street.run("pairs") == 0
    assert "pairs: 1 of 4 shards to make: " in capfd.readouterr().out
    assert street.content() == finished_street.content()


def test_a_flipped_byte_in_a_shard_that_is_read_is_named(street: Any, one_line: Line) -> None:
    path = street.artifacts / "entities" / "00-001.jsonl"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    street.set(pairs__min_score=0.4)
    assert street.run("pairs") == 2
    assert str(path) in (line := one_line()) and "delete the file and run `make captions`" in line


def test_a_missing_image_is_named(street: Any, one_line: Line) -> None:
    path = street.sequences / "01" / "image_2" / "000001.png"
    path.unlink()
    street.set(datasets__street__simulate=None)
    assert street.run("captions") == 2
    assert str(path) in one_line()


@pytest.mark.parametrize(
    ("file", "damage", "message"),
    [
        ("velodyne/000001.bin", lambda content: content[:-3], "is cut off"),
        ("velodyne/000001.bin", lambda content: b"", "is empty"),
        ("velodyne/000001.bin", lambda content: b"\xff" * 16 + content[16:], "NaN"),
        ("labels/000001.label", lambda content: content[:-4], "needs"),
        ("labels/000001.label", lambda content: b"\xfe\x7f\0\0" + content[4:], "unknown class id"),
        ("calib.txt", lambda content: content.replace(b"Tr", b"Xx"), 'has no line "Tr"'),
    ],
)
def test_a_damaged_input_of_pairs_is_named(
    street: Any, one_line: Line, file: str, damage: Callable[[bytes], bytes], message: str
) -> None:
    path = street.sequences / "01" / file
    content = damage(path.read_bytes())
    street.set(datasets__street__simulate=None)
    path.write_bytes(content)
    assert street.run("pairs") == 2
    assert str(path) in (line := one_line()) and message in line
    assert (street.artifacts / "pairs" / "00-000.h5").exists(), "what was done is kept"


def test_an_image_of_no_known_kind_is_named(street: Any, one_line: Line) -> None:
    path = street.sequences / "01" / "image_2" / "000001.png"
    path.write_text("not an image")
    assert street.run("captions") == 2
    assert str(path) in one_line()


def test_a_second_process_is_refused(street: Any, one_line: Line) -> None:
    with only_one(street.artifacts):
        assert street.run("captions") == 2
        line = one_line()
        assert f"process {os.getpid()} on " in line
        assert f"is already at work on {street.artifacts}; wait for it or end it" in line
    assert street.run("captions") == 0


def test_artifacts_that_cannot_be_written_are_named(street: Any, one_line: Line) -> None:
    street.set(artifacts=str(street.manifest / "below_a_file"))
    assert street.run("captions") == 2
    assert "cannot write" in one_line()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_named(street: Any, one_line: Line) -> None:
    street.set(pairs__min_score=0.4)
    folder = street.artifacts / "pairs"
    folder.chmod(0o500)
    try:
        assert street.run("pairs") == 2
        assert "permission denied" in one_line()
    finally:
        folder.chmod(0o700)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"default": "nowhere"}, "there is no data set 'nowhere' (known: street)"),
        ({"pairs__min_scor": 0.2}, "pairs.min_scor: unknown key; did you mean 'min_score'?"),
        ({"pairs__min_score": 2.0}, "pairs.min_score: must be at most 1, got 2.0"),
        ({"image_captions__name": "palete"}, "did you mean 'palette'?"),
        ({"text_embeddings__params__dimm": 3}, "text_embeddings.params.dimm: unknown key"),
        ({"max_failures": 7}, "max_failures: must be at most 1, got 7"),
    ],
)
def test_a_wrong_manifest_is_named(
    street: Any, one_line: Line, changes: dict[str, Any], message: str
) -> None:
    street.set(**changes)
    assert street.run("status") == 2
    assert message in one_line()


def test_a_real_data_set_cannot_be_simulated(street: Any, one_line: Line) -> None:
    street.set(datasets__street__simulate=None)
    assert street.run("simulate") == 2
    assert "is not simulated" in one_line()


def test_a_wrong_labelled_list_is_named(street: Any, one_line: Line) -> None:
    (street.folder / "one.txt").write_text("00/999999\n")
    street.set(datasets__street__labelled={"protocol": "lists", "lists": {"1": "one.txt"}})
    assert street.run("pairs") == 2
    assert "one.txt" in (line := one_line()) and "00/999999" in line


def test_the_flags_are_few(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["captions", "--help"]) == 0
    flags = {word.strip(",") for word in capsys.readouterr().out.split() if word.startswith("--")}
    assert flags == {"--help", "--manifest", "--dataset", "--only", "--limit"}

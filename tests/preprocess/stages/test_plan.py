"""What a change of the manifest or of a file touches, stage by stage."""

from __future__ import annotations

import json
from typing import Any

import pytest
from PIL import Image

from lass3d_core.files.shards import ShardReader
from lass3d_core.records import NONE
from preprocess.stages.jsonl_shards import read_jsonl, write_jsonl
from preprocess.stages.plan import STAGES, plan
from preprocess.status import state_of, status
from tests.text_tables import read_text_table

FIXED = {"entities__vocabulary": "fixed", "entities__fixed": ["road", "car", "house"]}


def states(street: Any) -> dict[str, str]:
    return {name: state_of(plan(street.project, stage)) for name, stage in STAGES.items()}


def redone(street: Any, *commands: str) -> set[str]:
    """The stages whose files change content or time when the commands run."""

    def stamps() -> dict[str, tuple[int, bytes]]:
        content = street.content()
        return {name: ((street.artifacts / name).stat().st_ino, text) for name, text in content.items()}

    before = stamps()
    for command in commands:
        assert street.run(command) == 0
    after = stamps()
    changed = {name for name in after if before.get(name) != after[name]}
    return {name.split("/")[0].removesuffix(".h5") for name in changed if not name.endswith("index.json")}


def test_everything_is_fresh_after_a_run(finished_street: Any) -> None:
    assert states(finished_street) == {
        "image_captions": "fresh (4 shards)",
        "entities": "fresh (4 shards)",
        "text_embeddings": "fresh (1 shard)",
        "pairs": "fresh (4 shards)",
    }


def test_nothing_is_redone_without_a_change(street: Any) -> None:
    assert redone(street, "captions", "pairs") == set()


@pytest.mark.parametrize(
    ("change", "stage", "reason"),
    [
        ({"pairs__min_score": 0.5}, "pairs", "pairs min_score: 0.3 -> 0.5"),
        ({"pairs__overlap": "highest_score"}, "pairs", "pairs overlap: smallest_area -> highest_score"),
        ({"pairs__visibility": "none"}, "pairs", "pairs visibility: zbuffer -> none"),
        ({"compact": True}, "pairs", "compact: false -> true"),
        ({"text_embeddings__params__dim": 32}, "text_embeddings", "encoder params dim: 64 -> 32"),
    ],
)
def test_a_change_touches_its_own_stage_alone(
    street: Any, change: dict[str, Any], stage: str, reason: str
) -> None:
    street.set(**change)
    found = states(street)
    assert reason in found.pop(stage)
    assert all(state.startswith("fresh") for state in found.values())
    assert redone(street, "captions", "pairs") == {stage}
    assert all(state.startswith("fresh") for state in states(street).values())


def test_another_captioner_touches_what_uses_its_phrases(street: Any) -> None:
    street.set(image_captions__params__seed=1)
    found = states(street)
    assert found["image_captions"] == "stale (4 of 4): captioner params seed: 0 -> 1"
    assert found["entities"] == "waits for image_captions, which it reads"
    assert redone(street, "captions", "pairs") == set(STAGES)


def test_another_captioner_leaves_masks_of_fixed_words_alone(street: Any) -> None:
    street.set(**FIXED)
    assert redone(street, "captions", "pairs") == {"entities", "text_embeddings", "pairs"}
    street.set(image_captions__params__seed=1)
    found = states(street)
    assert found["entities"].startswith("fresh") and found["pairs"].startswith("fresh")
    assert redone(street, "captions", "pairs") == {"image_captions", "text_embeddings"}


def test_another_sentence_with_the_same_phrases_leaves_the_entities_alone(street: Any) -> None:
    path = sorted(street.artifacts.glob("image_captions/*.jsonl"))[0]
    header, images, footer = read_jsonl(path)
    images[0]["text"] = "something else with the same phrases"
    write_jsonl(path, header.record, images, {**footer.digests, "texts": "0" * 32})
    found = states(street)
    assert found["entities"].startswith("fresh") and found["pairs"].startswith("fresh")
    assert found["text_embeddings"] == "stale (1 of 1): image_captions 00-000 was redone"


def test_a_stage_redone_with_the_same_result_redoes_nothing_after_it(street: Any) -> None:
    path = street.sequences / "00" / "image_2" / "000000.png"
    Image.open(path).save(path, compress_level=1)  # other bytes, the same pixels
    assert redone(street, "captions", "pairs") == {"image_captions", "entities"}


def test_a_changed_image_redoes_its_shards_alone(street: Any) -> None:
    path = street.sequences / "01" / "image_2" / "000000.png"
    image = Image.open(path).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    image.save(path)
    found = states(street)
    changed = "1 of 2 input files changed (first: sequences/01/image_2/000000.png)"
    assert found["image_captions"] == f"stale (1 of 4): {changed}"
    before = street.content()
    assert street.run("captions") == 0 and street.run("pairs") == 0
    after = street.content()
    touched = {name for name in after if before[name] != after[name]}
    assert touched >= {"image_captions/01-000.jsonl", "entities/01-000.jsonl", "pairs/01-000.h5"}
    assert not any("00-00" in name or "02-000" in name for name in touched)


def test_changed_labels_touch_the_pairs_alone(street: Any) -> None:
    path = street.sequences / "00" / "labels" / "000004.label"
    path.write_bytes(bytes(len(path.read_bytes())))
    found = states(street)
    assert "1 of 7 input files changed (first: sequences/00/labels/000004.label)" in found.pop("pairs")
    assert all(state.startswith("fresh") for state in found.values())


def test_a_copied_and_touched_data_set_is_still_fresh(street: Any) -> None:
    for path in street.sequences.rglob("*.bin"):
        path.touch()
    assert all(state.startswith("fresh") for state in states(street).values())


def test_images_of_a_split_that_is_not_captioned_have_points_but_no_texts(finished_street: Any) -> None:
    artifacts = finished_street.artifacts
    for stage, images in (("image_captions", 0), ("entities", 0)):
        assert len(read_jsonl(artifacts / stage / "02-000.jsonl")[1]) == images
        assert len(read_jsonl(artifacts / stage / "01-000.jsonl")[1]) == 2
    splits = {image_id[:2] for image_id in read_text_table(artifacts / "text_embeddings.h5").image_ids}
    assert splits == {"00", "01"}
    test, val = (
        ShardReader(artifacts / "pairs" / f"{name}-000.h5").read(f"{name}/000000") for name in ("02", "01")
    )
    assert test.pairs.image_ids == ("02/000000/image_2",) and test.pairs.phrases == ()
    assert (test.pairs.image != NONE).any() and (test.pairs.entity == NONE).all()
    assert (val.pairs.entity != NONE).any()


def test_captioning_another_split_touches_its_shards_and_the_table_alone(street: Any) -> None:
    before = street.content()
    street.set(caption_splits=["train", "val", "test"])
    found = states(street)
    assert found["image_captions"].startswith("stale (1 of 4): 2 new input files")
    assert street.run("captions") == 0 and street.run("pairs") == 0
    after = street.content()
    touched = {name for name in after if before[name] != after[name]} - {"pairs/index.json"}
    made = {f"{stage}/02-000.jsonl" for stage in ("image_captions", "entities")}
    assert touched == made | {"pairs/02-000.h5", "text_embeddings.h5"}
    street.set(caption_splits=["train", "val"])
    assert street.run("captions") == 0 and street.run("pairs") == 0
    assert street.content() == before


def test_an_image_of_another_size_touches_its_pairs_though_it_is_not_captioned(street: Any) -> None:
    path = street.sequences / "02" / "image_2" / "000000.png"
    Image.open(path).crop((0, 0, 300, 90)).save(path)
    found = states(street)
    assert "(first: sequences/02/image_2/000000.png)" in found.pop("pairs")
    assert all(state.startswith("fresh") for state in found.values())


def test_missing_and_partial_are_told_apart(street: Any) -> None:
    shards = sorted(street.artifacts.glob("pairs/*.h5"))
    shards[0].unlink()
    assert states(street)["pairs"] == "partial (3 of 4)"
    for shard in shards[1:]:
        shard.unlink()
    assert states(street)["pairs"] == "missing (4 shards)"


def test_another_block_size_leaves_files_that_status_mentions(street: Any) -> None:
    street.set(shard_scans=64)
    assert street.run("captions") == 0 and street.run("pairs") == 0
    lines = [line for line in status(street.project).splitlines() if "other blocks" in line]
    assert len(lines) == 3 and all("; 1 file of other blocks (" in line for line in lines)


def test_the_index_names_the_shards_of_each_split(finished_street: Any) -> None:
    index = json.loads((finished_street.artifacts / "pairs" / "index.json").read_text())
    assert [(shard["file"], shard["split"], shard["scans"]) for shard in index["shards"]] == [
        ("00-000.h5", "train", 3),
        ("00-001.h5", "train", 3),
        ("01-000.h5", "val", 2),
        ("02-000.h5", "test", 2),
    ]
    assert index["dataset"] == "street" and index["class_names"][0] == "car"


def test_the_index_holds_the_labelled_lists(street: Any) -> None:
    (street.folder / "half.txt").write_text("00/000001\n00/000003\n00/000005\n")
    street.set(datasets__street__labelled={"protocol": "lists", "lists": {"50": "half.txt"}})
    assert redone(street, "pairs") == set()
    index = json.loads((street.artifacts / "pairs" / "index.json").read_text())
    assert index["labelled"] == {
        "protocol": "lists",
        "lists": {"50": ["00/000001", "00/000003", "00/000005"]},
    }


def test_a_stage_that_was_looked_at_is_not_looked_at_again(finished_street: Any) -> None:
    fresh: dict[str, bool] = {}
    assert plan(finished_street.project, STAGES["pairs"], fresh).fresh
    assert fresh == dict.fromkeys(("image_captions", "entities", "pairs"), True)
    known = {"image_captions": False}  # what is known is believed, so it cannot have been looked at
    assert plan(finished_street.project, STAGES["entities"], known).waits_for == "image_captions"

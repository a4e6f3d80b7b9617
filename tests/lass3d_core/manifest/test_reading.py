"""The manifest: the project's own one is right, and all that is wrong in another is said at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lass3d_core.errors import ManifestError
from lass3d_core.manifest.reading import read_manifest
from lass3d_core.manifest.schema import LvmSpec

ROOT = Path(__file__).parents[3]


def manifest(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "schema": 1,
        "default": "kitti",
        "datasets": {
            "kitti": {"reader": "semantickitti", "root": "data", "splits": {"train": ["00"], "val": ["08"]}},
            "street": {
                "reader": "semantickitti",
                "root": "data/street",
                "simulate": {"train": 2},
                "splits": {"train": ["00"], "val": ["01"]},
            },
        },
        "image_captions": {"name": "palette"},
        "entities": {"name": "palette"},
        "text_embeddings": {"name": "hashing"},
    }
    return values | changes


def written(folder: Path, values: Any) -> Path:
    (folder / "data").mkdir(exist_ok=True)
    path = folder / "data_manifest.yaml"
    path.write_text(values if isinstance(values, str) else yaml.safe_dump(values), encoding="utf-8")
    return path


def complaint(path: Path, **arguments: Any) -> str:
    with pytest.raises(ManifestError) as caught:
        read_manifest(path, **arguments)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value).removeprefix(f"{path}: ")


def kitti(**changes: Any) -> dict[str, Any]:
    values = manifest()
    values["datasets"]["kitti"] |= changes
    return values


def test_the_manifest_of_the_project_is_right() -> None:
    from preprocess.lvm import check_lvm

    found, name = read_manifest(ROOT / "data_manifest.yaml", check_lvm=check_lvm)
    assert name == found.default == "street"
    assert found.datasets["street"].root == ROOT / "data" / "street"
    assert found.artifacts_of("street") == ROOT / "artifacts" / "street"


def test_paths_are_relative_to_the_file_and_the_default_is_chosen(tmp_path: Path) -> None:
    (tmp_path / "1.txt").touch()
    labelled = {"protocol": "lists", "lists": {1: "1.txt"}}
    found, name = read_manifest(written(tmp_path, kitti(labelled=labelled) | {"runs": "/elsewhere"}))
    spec = found.datasets["kitti"]
    assert name == "kitti" and spec.root == tmp_path / "data" and found.runs == Path("/elsewhere")
    assert dict(spec.labelled.lists) == {"1": tmp_path / "1.txt"}


def test_another_data_set_can_be_chosen_and_alone_must_be_there(tmp_path: Path) -> None:
    path = written(tmp_path, kitti(root="gone"))
    assert read_manifest(path, "street")[1] == "street"
    assert complaint(path) == "datasets.kitti.root: the folder gone does not exist; point it at the data set"


def test_everything_that_is_wrong_is_reported_together(tmp_path: Path) -> None:
    values = kitti(root="gone", colour=1, labelled={"protocol": "lists", "lists": {"1": "no.txt"}})
    values |= {"workers": "many", "pairs": {"min_scor": 0.3}}
    del values["entities"]
    message = complaint(written(tmp_path, values))
    assert message.startswith("6 problems: ")
    for part in (
        "entities: missing",
        "datasets.kitti.colour: unknown key",
        "datasets.kitti.root: the folder gone does not exist",
        "datasets.kitti.labelled.lists.1: the file no.txt does not exist",
        "workers: expected a whole number, got 'many'",
        "pairs.min_scor: unknown key; did you mean 'min_score'?",
    ):
        assert part in message


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"schema": 2}, "schema is 2, this version reads 1"),
        ({"default": "kitty"}, "there is no data set 'kitty' (known: kitti, street); did you mean 'kitti'?"),
        ({"shard_scans": 0}, "shard_scans: must be at least 1, got 0"),
        ({"max_failures": 2}, "max_failures: must be at most 1, got 2"),
        ({"workers": -1}, "workers: must be at least 0, got -1"),
        ({"caption_splits": ["val"]}, "caption_splits must name train, whose texts the training reads"),
        ({"caption_splits": ["dev"]}, "caption_splits[0]: 'dev' is not one of train, val, test"),
        ({"pairs": {"min_score": 2}}, "pairs.min_score: must be at most 1, got 2"),
        ({"pairs": {"max_views": 0}}, "pairs.max_views: must be at least 1, got 0"),
        ({"pairs": {"earlier_scans": -1}}, "pairs.earlier_scans: must be at least 0, got -1"),
        ({"pairs": {"vote": {"later": -1}}}, "pairs.vote.later: must be at least 0, got -1"),
        ({"pairs": {"vote": {"voxel_m": 0}}}, "pairs.vote.voxel_m: must be above 0, got 0"),
        ({"pairs": {"vote": {"phrases": 9}}}, "pairs.vote.phrases: must be at most 8, got 9"),
        ({"pairs": {"vote": {"min_margin": 1.5}}}, "pairs.vote.min_margin: must be at most 1, got 1.5"),
        ({"pairs": {"vote": {"later": 2, "stride": 3}}}, "pairs.vote: `stride` 3 leaves none of 2 scans"),
        ({"pairs": {"vote": True}}, "pairs.vote: expected keys and values, got True"),
        (
            {"pairs": {"vote": {}, "earlier_scans": 2}},
            "pairs: `vote` has its own `earlier` scans; leave out `earlier_scans`",
        ),
        ({"pairs": {"depth_slack_m": "1 m"}}, "pairs.depth_slack_m: expected a finite number, got '1 m'"),
        ({"pairs": {"grazing_deg": 0}}, "pairs.grazing_deg: must be above 0, got 0"),
        (
            {"pairs": {"overlap": "largest"}},
            "pairs.overlap: 'largest' is not one of smallest_area, highest_score",
        ),
        ({"entities": {"name": "p", "vocabulary": "fixed"}}, "entities: `fixed` lists words exactly when"),
        ({"entities": {"name": "p", "looks": ["tiled", "tiled"]}}, "entities: a look stands more than once"),
        (
            {"entities": {"name": "p", "looks": ["mirror"]}},
            "entities.looks[0]: 'mirror' is not one of mirrored, tiled; did you mean 'mirrored'?",
        ),
        ({"datasets": {}}, "datasets: there is no data set 'kitti' (known: none)"),
        ({"datasets": {"../x": 5}}, "datasets.../x: '../x' is no name of a folder"),
        ({"datasets": 5}, "datasets: expected keys and values, got 5"),
        ({"datasets": {"kitti": 5}}, "datasets.kitti: expected keys and values"),
    ],
)
def test_values_out_of_range_are_named(tmp_path: Path, changes: dict[str, Any], part: str) -> None:
    assert part in complaint(written(tmp_path, manifest(**changes)))


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"reader": "nuscene"}, "datasets.kitti.reader: 'nuscene' is not one of semantickitti"),
        ({"splits": {"train": ["00"], "val": ["00"]}}, "00 stands more than once"),
        (
            {"splits": {"train": [], "val": ["00"]}},
            "datasets.kitti.splits.train: needs 1 or more values, got 0",
        ),
        ({"splits": {"train": [0], "val": ["08"]}}, "datasets.kitti.splits.train[0]: expected a text, got 0"),
        ({"simulate": {"cameras": 2}}, "datasets.kitti.simulate.cameras: 2 is not one of 1, 4"),
        ({"simulate": {"train": 0}}, "simulate.train: must be at least 1, got 0"),
        (
            {"simulate": {"world": "room"}},
            "datasets.kitti: the simulated room is written for reader 'scannet'",
        ),
        ({"root": ""}, "datasets.kitti.root: expected a path, got ''"),
        ({"root": 7}, "datasets.kitti.root: expected a path, got 7"),
        ({"version": "../x"}, "datasets.kitti.version: '../x' is no name of a folder"),
        ({"labelled": {"protocol": "lists"}}, "`lists` belongs to protocol"),
    ],
)
def test_a_wrong_data_set_is_named(tmp_path: Path, changes: dict[str, Any], part: str) -> None:
    assert part in complaint(written(tmp_path, kitti(**changes)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"colour": 1},
        {"splits": {"train": ["00"], "val": ["00"]}},
        {"pairs": {"earlier_scans": 2}, "reader": "scannet", "simulate": {"world": "room"}},
        {"entities": {"name": "p", "vocabulary": "fixed"}},
        {"root": 7},
    ],
)
def test_a_wrong_data_set_stops_nobody_who_chooses_another(tmp_path: Path, wrong: dict[str, Any]) -> None:
    path = written(tmp_path, kitti(**wrong))
    assert read_manifest(path, "street")[1] == "street"
    assert complaint(path)


def test_a_wrong_name_or_block_of_another_data_set_stops_nobody(tmp_path: Path) -> None:
    values = manifest(default="street")
    values["datasets"] |= {"../x": values["datasets"]["kitti"], "kitti": 5}
    found, _ = read_manifest(written(tmp_path, values))
    assert set(found.datasets) == {"street"}


def test_earlier_scans_of_one_data_set_are_not_asked_of_another(tmp_path: Path) -> None:
    values = kitti(pairs={"earlier_scans": 5})
    values["datasets"]["rooms"] = {
        "reader": "scannet", "root": "data", "splits": {"train": ["a"], "val": ["b"]}
    }  # fmt: skip
    path = written(tmp_path, values)
    assert read_manifest(path)[0].pairs.earlier_scans == 5
    assert read_manifest(path, "rooms")[0].pairs.earlier_scans == 0


def test_a_vote_needs_poses_if_other_scans_vote_and_only_then(tmp_path: Path) -> None:
    rooms = {"reader": "scannet", "root": "data", "splits": {"train": ["a"], "val": ["b"]}}
    for vote, wrong in (
        ({}, []),
        ({"phrases": 2}, []),
        ({"earlier": 2}, ["earlier"]),
        ({"earlier": 2, "later": 3}, ["earlier", "later"]),
    ):
        values = kitti(pairs={"vote": vote})
        values["datasets"]["rooms"] = {**rooms, "pairs": {"vote": vote}}
        path = written(tmp_path, values)
        found = read_manifest(path)[0].pairs.vote
        assert found is not None and found.other_scans == bool(wrong)
        if not wrong:
            assert read_manifest(path, "rooms")[0].pairs.vote == found
            continue
        line = complaint(path, dataset="rooms")
        for key in wrong:
            assert f"pairs.vote.{key}: the reader scannet of rooms knows no poses of scans; give" in line


def test_the_models_are_checked_by_those_who_know_them(tmp_path: Path) -> None:
    def check(stage: str, spec: LvmSpec, path: str, problems: list[str]) -> None:
        problems.append(f"{path}: asked for {spec.name}")

    path = written(tmp_path, manifest(image_captions={"nam": "x"}))
    message = complaint(path, check_lvm=check)
    assert "entities: asked for palette" in message and "text_embeddings: asked for hashing" in message
    assert "image_captions.nam: unknown key; did you mean 'name'?" in message


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("a: [1", "is not valid YAML at line"),
        ("", "data_manifest.yaml is empty"),
        ("# nothing\n---\n", "data_manifest.yaml is empty"),
        ("- 1", "expected keys and values"),
        ("a: b: c", "is not valid YAML at line 1"),
        ("schema: 1\nruns: a\nruns: b", "line 3: the key 'runs' stands twice, first at line 2; delete one"),
    ],
)
def test_a_file_that_is_no_manifest_is_one_clear_line(tmp_path: Path, text: str, part: str) -> None:
    assert part in complaint(written(tmp_path, text))


def test_an_absent_or_binary_file_is_one_clear_line(tmp_path: Path) -> None:
    assert "does not exist; give MANIFEST=path" in complaint(tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x01")
    assert "is no UTF-8 text" in complaint(tmp_path / "binary.yaml")
    (tmp_path / "binary.yaml").write_text("schema: 1\n", encoding="utf-16")
    assert "is no UTF-8 text (UTF-16" in complaint(tmp_path / "binary.yaml")
    assert "cannot be read" in complaint(tmp_path)


PATHS = st.sampled_from(
    [
        ("datasets",), ("datasets", "kitti"), ("datasets", "kitti", "root"), ("datasets", "kitti", "splits"),
        ("datasets", "kitti", "labelled"), ("datasets", "kitti", "simulate"), ("pairs",), ("entities",),
        ("image_captions",), ("default",), ("schema",), ("workers",), ("artifacts",), ("x",),
    ]
)  # fmt: skip
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["", "~x", "a\0b", "kitti", "é"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["train", "val", "name", "params", "lists", "protocol", "root", "min_score"]),
            inner,
        )
    ),
    max_leaves=6,
)


@settings(max_examples=50, deadline=None)
@given(path=PATHS, value=VALUES)
def test_any_value_anywhere_is_accepted_or_reported(
    tmp_path_factory: pytest.TempPathFactory, path: tuple[str, ...], value: Any
) -> None:
    values = manifest()
    place = values
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    file = written(tmp_path_factory.mktemp("fuzz"), values)
    try:
        read_manifest(file)
    except ManifestError as error:
        assert str(file) in str(error)

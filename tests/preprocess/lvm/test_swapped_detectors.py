"""The stage `entities` with the real detectors, and what a swap of one for the other redoes."""

from __future__ import annotations

from typing import Any

import pytest

from preprocess.stages.entities import entities_in
from preprocess.stages.plan import STAGES, plan
from preprocess.status import state_of

pytest.importorskip("groundingdino", reason="needs the [lvm] extra: make setup-lvm")
pytestmark = [
    pytest.mark.filterwarnings("ignore:Importing from timm.models.layers:FutureWarning"),
    pytest.mark.filterwarnings("ignore:torch.meshgrid:UserWarning"),
    pytest.mark.filterwarnings("ignore:The `device` argument is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:`torch.cuda.amp.autocast:FutureWarning"),
]

WORDS = ["road", "car", "house", "tree", "traffic sign"]


def use(street: Any, name: str, params: dict[str, Any], vocabulary: str = "fixed") -> None:
    street.set(entities={"name": name, "vocabulary": vocabulary, "fixed": WORDS, "params": params})


def made(street: Any) -> dict[str, bytes]:
    """The content of every shard, by stage and name."""
    return {name: content for name, content in street.content().items() if not name.endswith("index.json")}


def states(street: Any) -> dict[str, str]:
    return {name: state_of(plan(street.project, stage)) for name, stage in STAGES.items()}


def phrases_of(street: Any) -> list[set[str]]:
    """The phrases of each shard's entities."""
    shards = [entities_in(path) for path in sorted(street.artifacts.glob("entities/*.jsonl"))]
    return [{entity.phrase for found in shard.values() for entity in found} for shard in shards]


def test_a_swap_of_detectors_redoes_entities_table_and_pairs_alone(
    street: Any, grounded_sam_params: Any, hf_grounded_sam_params: Any
) -> None:
    use(street, "grounded_sam", grounded_sam_params)
    assert street.run("captions") == 0 and street.run("pairs") == 0
    phrases, before = phrases_of(street), made(street)
    assert set().union(*phrases) and set().union(*phrases) <= set(WORDS)

    use(street, "hf_grounded_sam", hf_grounded_sam_params)
    found = states(street)
    assert found["image_captions"] == "fresh (4 shards)"
    assert "detector: grounded_sam -> hf_grounded_sam" in found["entities"]
    assert found["pairs"] == "waits for entities, which it reads"
    assert street.run("captions") == 0 and street.run("pairs") == 0
    after = made(street)
    changed = {name.split("/")[0] for name in after if after[name] != before[name]}
    assert phrases_of(street) != phrases, "else the table would stay as well"
    assert changed == {"entities", "text_embeddings.h5", "pairs"}
    assert set(states(street).values()) == {"fresh (4 shards)", "fresh (1 shard)"}


def test_another_device_or_batch_leaves_everything_fresh(street: Any, hf_grounded_sam_params: Any) -> None:
    use(street, "hf_grounded_sam", hf_grounded_sam_params)
    assert street.run("captions") == 0 and street.run("pairs") == 0
    use(street, "hf_grounded_sam", {**hf_grounded_sam_params, "run": {"batch": 2, "device": "cpu"}})
    assert set(states(street).values()) == {"fresh (4 shards)", "fresh (1 shard)"}
    use(street, "hf_grounded_sam", {**hf_grounded_sam_params, "box_floor": 0.3})
    assert states(street)["entities"] == "stale (4 of 4): detector params box_floor: 0.25 -> 0.3"


def test_the_vocabulary_may_come_from_each_image_s_caption(street: Any, grounded_sam_params: Any) -> None:
    captioned = made(street)
    use(street, "grounded_sam", grounded_sam_params, vocabulary="both")
    assert street.run("captions") == 0
    assert set().union(*phrases_of(street)) - set(WORDS), "phrases of the captions, too"
    captions = {name: content for name, content in made(street).items() if "image_captions" in name}
    assert captions.items() <= captioned.items()


def test_wrong_weights_stop_the_stage_with_one_line(
    street: Any, grounded_sam_params: Any, one_line: Any
) -> None:
    use(street, "grounded_sam", {**grounded_sam_params, "sam": {"weights": "/nowhere/sam.pth"}})
    assert street.run("captions") == 2
    assert one_line().startswith("error: Segment Anything: the weights /nowhere/sam.pth do not exist; ")

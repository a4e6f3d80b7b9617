from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("groundingdino", reason="needs the [lvm-paper] extra: make setup-lvm-paper")
pytestmark = [
    pytest.mark.filterwarnings("ignore:Importing from timm.models.layers:FutureWarning"),
    pytest.mark.filterwarnings("ignore:The `device` argument is deprecated:FutureWarning"),
]

PHRASES = ["a car", "traffic sign", "tree"]


@pytest.fixture
def bert(tiny_bert: Path) -> Any:
    from transformers import BertModel

    return BertModel.from_pretrained(tiny_bert).eval()


def asked(tiny_bert: Path, prompts: list[str]) -> dict[str, Any]:
    """Tokens, mask and places as groundingdino-py gives them to its BERT."""
    from groundingdino.models.GroundingDINO.bertwarper import (
        generate_masks_with_special_tokens_and_transfer_map as masks_of,
    )
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    tokens = tokenizer(prompts, padding="longest", return_tensors="pt")
    special = tokenizer.convert_tokens_to_ids(["[CLS]", "[SEP]", ".", "?"])
    sees, places, _ = masks_of(tokens, special, tokenizer)
    return {
        "input_ids": tokens["input_ids"],
        "token_type_ids": tokens["token_type_ids"],
        "attention_mask": sees,
        "position_ids": places,
    }


def test_what_is_added_is_zero_where_a_token_is_seen_and_the_lowest_number_elsewhere() -> None:
    import torch

    from preprocess.lvm.grounding_bert import added

    lowest = torch.finfo(torch.float32).min
    found = added(torch.tensor([[[True, False], [True, True]]]), torch.float32)
    assert found.tolist() == [[[[0.0, lowest], [0.0, 0.0]]]]


def test_a_phrase_has_the_states_that_it_has_alone(bert: Any, tiny_bert: Path) -> None:
    import torch

    from preprocess.lvm.grounding_bert import PhraseBert

    together = asked(tiny_bert, [" . ".join(PHRASES) + " ."])
    with torch.inference_mode():
        states = PhraseBert(bert)(**together)["last_hidden_state"][0]
        first = 1
        for phrase in PHRASES:
            tokens = asked(tiny_bert, [f"{phrase} ."])["input_ids"][:, 1:-1]  # with its dot
            expected = bert(input_ids=tokens).last_hidden_state[0]
            assert torch.allclose(states[first : first + len(expected)], expected, atol=1e-5)
            first += len(expected)
        assert first == len(states) - 1


def test_the_packages_own_bert_gives_the_same_states(bert: Any, tiny_bert: Path) -> None:
    import torch
    from groundingdino.models.GroundingDINO.bertwarper import BertModelWarper

    from preprocess.lvm.grounding_bert import PhraseBert

    if not hasattr(bert, "get_head_mask"):
        pytest.skip("the package's own BERT needs transformers 4")
    tokens = asked(tiny_bert, ["a car . traffic sign .", "tree . house . road . person ."])
    with torch.inference_mode():
        expected = BertModelWarper(bert)(**tokens)["last_hidden_state"]
        assert torch.equal(PhraseBert(bert)(**tokens)["last_hidden_state"], expected)


def test_the_package_is_changed_only_while_its_model_is_built() -> None:
    from groundingdino.models.GroundingDINO import bertwarper, groundingdino

    from preprocess.lvm.grounding_bert import PhraseBert, phrase_bert

    with phrase_bert():
        assert groundingdino.BertModelWarper is PhraseBert
    assert groundingdino.BertModelWarper is bertwarper.BertModelWarper

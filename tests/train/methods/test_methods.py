from __future__ import annotations

import inspect
import pickle
from collections.abc import Iterator
from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch import Tensor

from lass3d_core.errors import UnknownName
from lass3d_core.nets import UNetConfig
from lass3d_core.nets import make_backbone as build_backbone
from lass3d_core.nets.range_view import RangeImageConfig
from lass3d_core.nets.unet import View
from lass3d_core.settings import read, to_json
from lass3d_core.sparse.maps import build_pyramid
from train.methods import METHODS, config_type, make_method, name_of
from train.methods.contract import Ingredients, Method, SemiBatch


@pytest.mark.parametrize("name", METHODS)
def test_name_leads_to_configuration_and_back(name: str, ingredients: Ingredients) -> None:
    config = config_type(name)()
    assert name_of(config) == name
    assert make_method(config, ingredients).measures == {}


@pytest.mark.parametrize("name", METHODS)
def test_configuration_survives_being_written_and_read(name: str) -> None:
    config = config_type(name)(alpha=0.5)
    assert read(config_type(name), to_json(config)) == config


def test_unknown_method_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"lass4d.*known: supervised, .*did you mean 'lass3d'"):
        config_type("lass4d")


@pytest.mark.parametrize("name", METHODS)
def test_predictor_takes_points_and_no_text(name: str, ingredients: Ingredients) -> None:
    predictor = make_method(config_type(name)(), ingredients).predictor
    assert list(inspect.signature(predictor.forward).parameters) == ["features", "pyramid"]


def objectives(method: Method, batch: SemiBatch, step: int) -> Iterator[dict[str, Tensor]]:
    yield method.losses(batch, step)
    yield from method.further_losses(batch, step)


@pytest.mark.parametrize("name", METHODS)
def test_state_dict_holds_all_that_a_restart_needs(
    name: str, batch: SemiBatch, ingredients: Ingredients
) -> None:
    def train(method: torch.nn.Module, steps: range) -> None:
        optimiser = torch.optim.SGD(method.parameters(), lr=0.1)
        for step in steps:
            for objective in objectives(method, batch, step):
                optimiser.zero_grad()
                sum(objective.values()).backward()
                optimiser.step()
            method.after_step(step)

    through, resumed = (
        make_method(config_type(name)(), ingredients),
        make_method(config_type(name)(), ingredients),
    )
    train(through, range(2))
    resumed.load_state_dict(through.state_dict())
    train(through, range(2, 4))
    train(resumed, range(2, 4))
    for key, value in through.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key


@pytest.mark.parametrize("view", get_args(View))
@pytest.mark.parametrize("name", METHODS)
def test_real_backbone_trains_every_method(
    name: str, view: View, batch: SemiBatch, ingredients: Ingredients
) -> None:
    image = RangeImageConfig(8, 16, (-60.0, 60.0))
    config = UNetConfig(stem=4, encoder=(4, 8), decoder=(8, 4), blocks=1, view=view, image=image)
    backbone = build_backbone(config, 4)
    pyramid = build_pyramid(batch.pyramid.coords[0], backbone.levels)
    method = make_method(
        config_type(name)(), replace(ingredients, make_backbone=lambda: build_backbone(config, 4))
    )
    whole = SemiBatch(**{**vars(batch), "pyramid": pyramid})
    terms = method.losses(whole, 0)
    sum(terms.values()).backward()
    method.after_step(0)
    assert all(bool(term.isfinite()) for term in terms.values())
    assert method.predictor(whole.features, pyramid).shape == (240, 5)


def test_counts_of_a_batch_are_those_of_its_voxels(batch: SemiBatch) -> None:
    counts = batch.counts
    assert (counts.slots, counts.voxels, counts.labelled_scans) == ((0, 1, 2, 3), (60,) * 4, 2)
    assert counts.image_voxels == tuple(int((batch.image == image).sum()) for image in range(4))
    assert counts.named == int((batch.entity >= 0).sum())
    assert counts.captioned == int(((batch.image >= 0) & (batch.entity < 0)).sum())
    assert batch.labelled_voxels == int(batch.is_labelled.sum())
    assert all(bool((batch.scan[rows] == slot).all()) for slot, rows in counts.rows.items())
    assert counts.pairs == [(0, 2), (1, 3)]


def test_the_counts_of_a_batch_move_nowhere(batch: SemiBatch) -> None:
    moved = pickle.loads(pickle.dumps(batch)).to(torch.device("meta"))
    assert moved.counts == batch.counts and moved.features.is_meta

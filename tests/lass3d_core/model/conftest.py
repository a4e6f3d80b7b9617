"""A model that is small enough to be made for every test, and a cloud that it can label."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lass3d_core.model.card import Figures, ModelCard, Origin, PointFeature, QueryCard
from lass3d_core.model.file import write_model
from lass3d_core.model.network import make_network, weights_of
from lass3d_core.nets.unet import UNetConfig

NET = UNetConfig(stem=4, encoder=(6, 8), decoder=(8, 6))
ORIGIN = Origin(
    method="supervised",
    dataset="tiny",
    preset="demo",
    ratio=20.0,
    seed=0,
    protocol="nested",
    labelled_scans=2,
    training_scans=10,
    steps=12,
    digest="0" * 64,
    version="0.0",
    figures=(Figures("val", 2, 0.5, (0.5, None, 0.5)),),
)
CARD = ModelCard(
    network=NET,
    voxel_m=0.3,
    from_corner=False,
    features=(PointFeature("remission", 0.0, 1.0),),
    class_names=("ground", "wall", "lamp"),
    colours=((90, 90, 90), (200, 120, 40), (250, 240, 80)),
    raw_ids=(40, 50, 80),
    origin=ORIGIN,
    query=QueryCard("hashing", {"dim": 5}, dim=5, hidden=4, texts=("a wall",)),
    temperature=2.0,
    reach_m=10.0,
)


def write_tiny_model(path: Path, card: ModelCard = CARD) -> Path:
    """A model file with weights that depend on nothing but the card."""
    torch.manual_seed(0)
    network = make_network(card)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.5)
    head = network["query_head"] if card.query else None
    rows = torch.eye(5)[:1] if card.query else None
    write_model(path, card, weights_of(network["segmenter"], head, rows))
    return path


@pytest.fixture
def model_path(tmp_path: Path) -> Path:
    """A model file in a folder of its own."""
    folder = tmp_path / "model"
    folder.mkdir()
    return write_tiny_model(folder / "model.safetensors")


@pytest.fixture
def cloud() -> np.ndarray:
    """(600,4) float32: x, y, z in metres and remission in [0,1]; neighbours in the file lie side by side."""
    rng = np.random.default_rng(0)
    angle = np.linspace(0, 2 * np.pi, 600)
    ring = np.stack([5 * np.cos(angle), 4 * np.sin(angle), 0.3 * np.sin(5 * angle)], axis=1)
    xyz = ring + rng.normal(scale=0.01, size=(600, 3))
    return np.column_stack([xyz, rng.uniform(0, 1, 600)]).astype(np.float32)

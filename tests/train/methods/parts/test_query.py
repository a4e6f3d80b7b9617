from __future__ import annotations

import math
import multiprocessing
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lass3d_core.paper.safm import TextBatch
from train.methods.parts.query import QueryConfig, QueryHead

NONE = -1


def head(**settings: float) -> QueryHead:
    """A head that maps two channels to themselves, so that only their direction counts; temperature 1."""
    made = QueryHead(QueryConfig(**{"temperature": 1.0, "caption_weight": 0.0, **settings}), 2, 2)
    made.project = nn.Identity()
    return made


def texts(phrases: list[list[float]], captions: list[list[float]]) -> TextBatch:
    pooled = torch.tensor(captions)
    return TextBatch(pooled, tuple(range(len(captions) + 1)), pooled, torch.tensor(phrases))


def slots(*values: int) -> Tensor:
    return torch.tensor(values)


AXES = texts([[2.0, 0.0], [0.0, 3.0]], [[1.0, 0.0]])
"""Two phrases along the axes; their lengths do not count."""


def test_hand_worked_loss_of_one_point() -> None:
    # The point (5, 0) has cosines 1 and 0 to the phrases: -log(e / (e + 1)).
    loss = head().loss(torch.tensor([[5.0, 0.0]]), slots(NONE), slots(0), AXES)
    torch.testing.assert_close(loss, torch.tensor(math.log(math.e + 1) - 1))


def test_temperature_sharpens() -> None:
    loss = head(temperature=0.5).loss(torch.tensor([[5.0, 0.0]]), slots(NONE), slots(0), AXES)
    torch.testing.assert_close(loss, torch.tensor(math.log(math.e**2 + 1) - 2))


def test_a_phrase_weighs_as_the_root_of_its_points() -> None:
    # Four points of phrase 0 that are right, one of phrase 1 that is wrong: weights 4 * 1/2 and 1.
    right, wrong = math.log(math.e + 1) - 1, math.log(math.e + 1)
    points = torch.tensor([[1.0, 0.0]] * 5)
    loss = head().loss(points, slots(*[NONE] * 5), slots(0, 0, 0, 0, 1), AXES)
    torch.testing.assert_close(loss, torch.tensor((2 * right + wrong) / 3))


def test_equal_rows_are_one_answer() -> None:
    """Two phrases with one row: nothing to be told apart, so nothing is lost."""
    same = texts([[1.0, 1.0], [1.0, 1.0]], [[1.0, 0.0]])
    loss = head().loss(torch.tensor([[5.0, 0.0], [0.0, 1.0]]), slots(NONE, NONE), slots(0, 1), same)
    torch.testing.assert_close(loss, torch.tensor(0.0))


def test_captions_teach_the_points_without_a_phrase_alone() -> None:
    captions = texts([[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]])
    points = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    named = head().loss(points, slots(0, 0, NONE), slots(0, NONE, NONE), captions)
    both = head(caption_weight=0.5).loss(points, slots(0, 0, NONE), slots(0, NONE, NONE), captions)
    # The second point lies along its caption (0, 1); the first has a phrase, the third has nothing.
    torch.testing.assert_close(both - named, torch.tensor(0.5 * (math.log(math.e + 1) - 1)))


def test_zero_with_a_graph_where_no_voxel_has_a_text() -> None:
    features = torch.randn(3, 2, requires_grad=True)
    none = slots(NONE, NONE, NONE)
    empty = TextBatch(torch.zeros(0, 2), (0,), torch.zeros(0, 2), torch.zeros(0, 2))
    for batch in (AXES, empty):
        loss = QueryHead(QueryConfig(weight=1.0), 2, 2).loss(features, none, none, batch)
        loss.backward()
        assert loss.item() == 0
    assert not features.grad.any()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), points=st.integers(1, 30), phrases=st.integers(1, 6))
def test_loss_is_its_twin_point_by_point(seed: int, points: int, phrases: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    made = QueryHead(QueryConfig(hidden=5, caption_weight=0.0), 4, 3)
    features, rows = torch.randn(points, 4, generator=generator), torch.randn(phrases, 3, generator=generator)
    entity = torch.randint(-1, phrases, (points,), generator=generator)
    batch = TextBatch(rows[:0], (0,), rows[:0], rows)
    total, mass = 0.0, 0.0
    for feature, own in zip(features, entity.tolist()):
        if own == NONE:
            continue
        z = made.project(feature).detach()
        scores = [float(F.cosine_similarity(z, row, dim=0)) / 0.07 for row in rows]
        weight = int((entity == own).sum()) ** -0.5
        total -= weight * (scores[own] - math.log(sum(map(math.exp, scores))))
        mass += weight
    loss = made.loss(features, torch.full((points,), NONE), entity, batch)
    assert float(loss.detach()) == pytest.approx(total / (mass or 1), rel=1e-4, abs=1e-5)


def test_mapped_features_have_unit_length() -> None:
    z = QueryHead(QueryConfig(), 6, 9)(100 * torch.randn(20, 6))
    torch.testing.assert_close(z.norm(dim=1), torch.ones(20))


def test_training_brings_points_to_their_phrases() -> None:
    torch.manual_seed(0)
    truth = torch.arange(60) % 3
    features = torch.eye(3)[truth] + 0.1 * torch.randn(60, 3)
    rows = F.normalize(torch.randn(3, 8), dim=1)
    batch = TextBatch(rows[:0], (0,), rows[:0], rows)
    made = QueryHead(QueryConfig(weight=1.0, hidden=16), 3, 8)
    optimiser = torch.optim.Adam(made.parameters(), 0.01)
    for _ in range(60):
        optimiser.zero_grad()
        made.loss(features, torch.full((60,), NONE), truth, batch).backward()
        optimiser.step()
    assert ((made(features) @ rows.T).argmax(dim=1) == truth).all()


@pytest.mark.parametrize(
    "wrong", [{"weight": -1.0}, {"hidden": 0}, {"temperature": 0.0}, {"caption_weight": -0.1}]
)
def test_a_wrong_setting_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        QueryConfig(**wrong)


ROWS = torch.randn(3, 4, generator=torch.Generator().manual_seed(5))
FEATURES = torch.randn(9, 3, generator=torch.Generator().manual_seed(6))
ENTITY = torch.tensor([0, 0, 1, -1, 1, 1, 2, 2, 2])
"""One process sees the first four points, with phrases 0 and 1, another the others, with 2 and 1."""


def loss_and_gradient(part: slice, phrases: list[int]) -> tuple[float, list[float]]:
    """Of the points `part`, in a batch whose phrases are those of ROWS, in this order."""
    torch.manual_seed(0)
    made = QueryHead(QueryConfig(hidden=5, caption_weight=0.0), 3, 4)
    slot = torch.tensor([*(phrases.index(p) if p in phrases else NONE for p in range(3)), NONE])
    rows = ROWS[phrases]
    batch = TextBatch(rows[:0], (0,), rows[:0], rows)
    features = FEATURES[part]
    loss = made.loss(features, torch.full((len(features),), NONE), slot[ENTITY[part]], batch)
    loss.backward()
    return loss.item(), made.project[0].weight.grad.flatten().tolist()


def in_process(rank: int, store: Path, answers: multiprocessing.SimpleQueue) -> None:
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    answers.put(loss_and_gradient(*((slice(0, 4), [0, 1]), (slice(4, 9), [2, 1]))[rank]))
    dist.destroy_process_group()


def test_the_shares_of_two_processes_add_up_to_the_loss_of_one(tmp_path: Path) -> None:
    """Each tells its points' phrases apart from those of the other too, and counts the points of both."""
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    processes = [context.Process(target=in_process, args=(r, tmp_path / "store", answers)) for r in range(2)]
    for process in processes:
        process.start()
    shares = [answers.get() for _ in processes]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    loss, gradient = loss_and_gradient(slice(0, 9), [0, 1, 2])
    assert sum(share for share, _ in shares) == pytest.approx(loss, rel=1e-5)
    summed = [sum(parts) for parts in zip(*(part for _, part in shares))]
    assert summed == pytest.approx(gradient, rel=1e-4, abs=1e-6)

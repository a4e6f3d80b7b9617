"""Regions of voxels with one phrase, judged as a whole; against a twin that loops over them in Python."""

from __future__ import annotations

import math
import multiprocessing
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from lass3d_core.compute.synchronisations import counted_synchronisations
from train.methods.parts import regions
from train.methods.parts.regions import CELL, TEMPERATURES, WORTH, Judgement, RegionTrust, region_of
from train.methods.parts.votes import PhraseVotes

CLASSES = 4
SURE = torch.tensor([[0.85, 0.05, 0.05, 0.05]]).repeat(CLASSES, 1)
for _class in range(CLASSES):
    SURE[_class] = SURE[0].roll(_class)
"""Phrase p means class p, mostly."""


def apart(count: int) -> Tensor:
    """Voxels (count,4), each in a cell of its own."""
    place = torch.arange(count)
    zeros = torch.zeros_like(place)
    return torch.stack([zeros, CELL * (place % 100), CELL * (place // 100), zeros], dim=1).int()


def together(count: int, cell: int = 0) -> Tensor:
    """Voxels (count,4) of one cell, at most CELL^2."""
    place = torch.arange(count)
    zeros = torch.zeros_like(place)
    return torch.stack([zeros, CELL * cell + place % CELL, place // CELL, zeros], dim=1).int()


def drawn(batch: int, voxels: int) -> tuple[Tensor, PhraseVotes, Tensor]:
    """Beliefs, votes on two phrases each, a fifth without any, and places in two scans."""
    generator = torch.Generator().manual_seed(batch)
    teacher = (2 * torch.randn(voxels, CLASSES, generator=generator)).softmax(dim=1)
    phrase = torch.randint(0, CLASSES, (voxels, 2), generator=generator)
    phrase[torch.rand(voxels, generator=generator) < 0.2] = -1
    share = torch.where(phrase >= 0, torch.tensor([0.6, 0.3]), 0.0)
    cell = torch.randint(-3, 3, (voxels, 4), generator=generator)
    coords = (CELL * cell + torch.randint(0, CELL, (voxels, 4), generator=generator)).int()
    coords[:, 0] = torch.arange(voxels) % 2
    named = (phrase[:, 0] >= 0).float()
    return teacher, PhraseVotes(phrase, share, named, named, named), coords


class Twin:
    """The same in Python: a dict of regions, numbers instead of tensors."""

    def __init__(self, horizon: float, temperatures: tuple[float, ...]) -> None:
        self.pace, self.temperatures = 1 / horizon, temperatures
        self.share = [0.9] * len(temperatures)
        self.fit = [1e-9 if one == 2.0 else 0.0 for one in temperatures]
        self.met = [0.0] * CLASSES

    def judge(
        self, teacher: Tensor, meaning: Tensor, votes: PhraseVotes, coords: Tensor
    ) -> tuple[list[float], float, float]:
        """right of each voxel, temperature, share."""
        named = [voxel for voxel, phrase in enumerate(votes.phrase[:, 0].tolist()) if phrase >= 0]
        meant = [0.0] * CLASSES
        for voxel in named:
            for c in range(CLASSES):
                meant[c] += float(votes.share[voxel, 0] * meaning[votes.phrase[voxel, 0], c])
        self.met = [(1 - self.pace) * old + new for old, new in zip(self.met, meant)]
        prior = [one / sum(self.met) for one in self.met]
        found: dict[tuple[int, ...], list[int]] = {}
        for voxel in named:
            scan, x, y, _ = coords[voxel].tolist()
            region = (scan, x // CELL, y // CELL, int(votes.phrase[voxel, 0]))
            found.setdefault(region, []).append(voxel)
        right = {}
        for at, value in enumerate(self.temperatures):
            met_right, met_log = 0.0, 0.0
            for region, voxels in found.items():
                told = [self._log_l(teacher[v], meaning, votes[v : v + 1], prior, value) for v in voxels]
                odds = math.exp(min(len(voxels), WORTH) * sum(told) / len(voxels))
                likelihood = self.share[at] * odds + 1 - self.share[at]
                right[region, at] = self.share[at] * odds / likelihood
                met_right += len(voxels) * right[region, at]
                met_log += len(voxels) * math.log(likelihood)
            self.share[at] += self.pace * (met_right / len(named) - self.share[at])
            self.fit[at] += self.pace * (met_log / len(named) - self.fit[at])
        best = self.fit.index(max(self.fit))
        of_voxel = [1.0] * len(teacher)
        for region, voxels in found.items():
            for voxel in voxels:
                of_voxel[voxel] = right[region, best]
        return of_voxel, self.temperatures[best], self.share[best]

    @staticmethod
    def _log_l(
        teacher: Tensor, meaning: Tensor, votes: PhraseVotes, prior: list[float], temperature: float
    ) -> float:
        """log of the sum over the classes of the tempered belief times the mean ratio of the phrases."""
        tempered = [float(one) ** (1 / temperature) for one in teacher]
        phrases, shares = votes.phrase[0].tolist(), votes.share[0].tolist()
        likelihood = 0.0
        for c in range(CLASSES):
            ratio = 1 - sum(shares)
            ratio += sum(s * float(meaning[p, c]) / prior[c] for p, s in zip(phrases, shares) if p >= 0)
            likelihood += tempered[c] / sum(tempered) * ratio
        return math.log(likelihood)


def test_judgements_are_those_of_a_loop_over_the_regions() -> None:
    """Over several batches, so that what the first ones taught counts."""
    trust, twin = RegionTrust(CLASSES, horizon=3.0), Twin(3.0, TEMPERATURES)
    for batch in range(4):
        teacher, votes, coords = drawn(batch, 60)
        regions_met = torch.cat([coords[:, :1], coords[:, 1:3] // CELL, votes.phrase[:, :1]], dim=1)
        buckets, named = region_of(coords, votes.strongest), votes.is_named
        assert len(buckets[named].unique()) == len(regions_met[named].unique(dim=0)), "none share a bucket"
        judged = trust(teacher, SURE, votes, coords)
        right, temperature, share = twin.judge(teacher, SURE, votes, coords)
        assert judged.right.tolist() == pytest.approx(right, rel=1e-4, abs=1e-5)
        assert float(judged.temperature) == temperature
        assert float(judged.share) == pytest.approx(share, rel=1e-4)


def test_a_region_is_judged_by_hand() -> None:
    # Phrases 0 and 1, half of the voxels each: P_u = (0.5, 0.5). Phrase 0 means (0.8, 0.2), so its ratios are
    # 1.6 and 0.4. A belief of (0.9, 0.1) has odds (3, 1) of 4 at T = 2: l = 0.75 * 1.6 + 0.25 * 0.4 = 1.3;
    # its mirror l = 0.7. Two voxels: L = 1.69 and 0.49, and with t = 0.9 right = 0.9 L / (0.9 L + 0.1).
    meaning = torch.tensor([[0.8, 0.2], [0.2, 0.8]])
    teacher = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.9, 0.1]])
    coords = torch.cat([together(2), together(2, cell=5)])
    trust = RegionTrust(2, horizon=1e9, temperature=2.0)
    judged = trust(teacher, meaning, PhraseVotes.certain(torch.tensor([0, 0, 1, 1])), coords)
    first, second = (0.9 * odds / (0.9 * odds + 0.1) for odds in (1.3**2, 0.7**2))
    assert judged.right.tolist() == pytest.approx([first, first, second, second], rel=1e-4)
    assert float(judged.temperature) == 2 and float(judged.share) == pytest.approx(0.9)


def test_many_voxels_of_a_region_count_as_ten() -> None:
    """Twice as many voxels than ten change nothing; fewer than ten are judged less surely."""
    meaning = torch.tensor([[0.6, 0.4], [0.4, 0.6]])
    few, ten, many = int(WORTH) // 2, int(WORTH), 20 * int(WORTH)
    found = []
    for count in (few, ten, many):
        phrase = torch.tensor([0, 1]).repeat_interleave(count)
        coords = torch.cat([together(count), together(count, cell=9)])
        trust = RegionTrust(2, horizon=1e9, temperature=1.0)
        teacher = torch.tensor([[0.3, 0.7]]).expand(2 * count, 2)
        found.append(float(trust(teacher, meaning, PhraseVotes.certain(phrase), coords).right[0]))
    assert found[0] > found[1] == pytest.approx(found[2], rel=1e-4)


def objects(wrong: float, seed: int) -> tuple[Tensor, PhraseVotes, Tensor, Tensor]:
    """Regions of 16 voxels and their classes; the share `wrong` has a random phrase. The teacher errs too.

    Returns the beliefs, votes, places, and whether the phrase of each voxel is the region's class.
    """
    generator = torch.Generator().manual_seed(seed)
    count = 300
    truth = torch.randint(0, CLASSES, (count,), generator=generator)
    is_wrong = torch.rand(count, generator=generator) < wrong
    phrase = torch.where(is_wrong, torch.randint(0, CLASSES, (count,), generator=generator), truth)
    phrase, truth = (one.repeat_interleave(16) for one in (phrase, truth))
    noise = torch.randn(len(truth), CLASSES, generator=generator)
    logits = 2 * torch.nn.functional.one_hot(truth, CLASSES) + noise
    coords = apart(count).repeat_interleave(16, dim=0)
    coords[:, 3] = (torch.arange(len(truth)) % 16).int()
    return logits.softmax(dim=1), PhraseVotes.certain(phrase), coords, phrase == truth


def test_wrong_phrases_among_right_ones_are_found_and_their_share_is_learnt() -> None:
    """Three regions of ten have a random phrase of four. A quarter of these is right by chance."""
    trust = RegionTrust(CLASSES, horizon=5.0)
    for batch in range(30):
        belief, votes, coords, is_right = objects(0.3, batch)
        judged = trust(belief, SURE, votes, coords)
    assert judged.right[~is_right].mean() < 0.05 and judged.right[is_right].mean() > 0.95
    assert float(judged.share) == pytest.approx(0.775, abs=0.03)


def test_random_phrases_have_the_share_that_is_right_by_chance() -> None:
    trust = RegionTrust(CLASSES, horizon=5.0)
    for batch in range(30):
        belief, votes, coords, _ = objects(1.0, batch)
        judged = trust(belief, SURE, votes, coords)
    assert float(judged.share) == pytest.approx(0.25, abs=0.05)


@pytest.mark.parametrize("factor", [one for one in TEMPERATURES if one <= 4])
def test_the_measured_temperature_is_the_one_that_made_the_phrases(factor: float) -> None:
    """Classes are drawn from a calibrated belief, and the teacher is that belief to the power `factor`."""
    generator = torch.Generator().manual_seed(0)
    trust = RegionTrust(CLASSES, horizon=10.0)
    meaning = 0.99 * torch.eye(CLASSES) + 0.01 / CLASSES
    for _ in range(20):
        belief = (1.5 * torch.randn(4000, CLASSES, generator=generator)).softmax(dim=1)
        truth = torch.multinomial(belief, 1, generator=generator).squeeze(1)
        random = torch.randint(0, CLASSES, (4000,), generator=generator)
        phrase = torch.where(torch.rand(4000, generator=generator) < 0.1, random, truth)
        teacher = (factor * belief.log()).softmax(dim=1)
        judged = trust(teacher, meaning, PhraseVotes.certain(phrase), apart(4000))
    assert float(judged.temperature) == factor


def test_a_given_temperature_is_not_measured() -> None:
    trust = RegionTrust(CLASSES, horizon=10.0, temperature=1.7)
    for batch in range(5):
        belief, votes, coords, _ = objects(0.2, batch)
        judged = trust(belief, SURE, votes, coords)
    assert float(judged.temperature) == pytest.approx(1.7)


def state(trust: RegionTrust) -> dict[str, Tensor]:
    return {name: one.clone() for name, one in trust.state_dict().items()}


def test_voxels_without_a_phrase_are_right_and_change_nothing() -> None:
    teacher, votes, coords = drawn(0, 60)
    named = votes.is_named
    alone, beside = RegionTrust(CLASSES, 5.0), RegionTrust(CLASSES, 5.0)
    expected = alone(teacher[named], SURE, votes[named], coords[named])
    judged = beside(teacher, SURE, votes, coords)
    assert (~named).any() and (judged.right[~named] == 1).all()
    torch.testing.assert_close(judged.right[named], expected.right)
    for name, one in state(alone).items():
        torch.testing.assert_close(state(beside)[name], one)


def test_a_batch_without_any_phrase_teaches_nothing() -> None:
    trust = RegionTrust(CLASSES, 5.0)
    before = state(trust)
    none = PhraseVotes.certain(torch.full((10,), -1))
    judged = trust(torch.full((10, CLASSES), 0.25), SURE, none, together(10))
    assert judged.right.tolist() == [1] * 10 and float(judged.share) == 0
    assert all(torch.equal(state(trust)[name], one) for name, one in before.items())
    seen = drawn(0, 60)
    trust(seen[0], SURE, *seen[1:])
    assert float(trust(torch.full((10, CLASSES), 0.25), SURE, none, together(10)).share) > 0
    empty = PhraseVotes.certain(torch.empty(0, dtype=torch.int64))
    assert trust(torch.empty(0, CLASSES), SURE, empty, together(0)).right.shape == (0,)


def test_a_region_is_a_phrase_in_a_cell_of_a_scan() -> None:
    corner = torch.tensor([[0, 0, 0, 0]]).int()
    same = torch.tensor([[0, CELL - 1, CELL - 1, 99]]).int()
    phrase = torch.tensor([3])
    assert torch.equal(region_of(corner, phrase), region_of(same, phrase))
    others = [
        (corner + torch.tensor([1, 0, 0, 0]).int(), phrase),
        (corner + torch.tensor([0, CELL, 0, 0]).int(), phrase),
        (corner + torch.tensor([0, 0, CELL, 0]).int(), phrase),
        (corner - torch.tensor([0, 1, 0, 0]).int(), phrase),
        (corner, phrase + 1),
    ]
    assert all(region_of(*one) != region_of(corner, phrase) for one in others)


@pytest.mark.parametrize("grid", [(2, 6, 6, 4), (4, 20, 20, 2), (1, 40, 40, 1)])
def test_no_more_regions_share_a_bucket_than_by_chance(grid: tuple[int, ...]) -> None:
    """Of n regions drawn into B buckets, B (1 - 1/B)^n buckets stay empty."""
    scan, x, y, phrase = torch.cartesian_prod(*(torch.arange(size) for size in grid)).unbind(1)
    coords = torch.stack([scan, CELL * (x - grid[1] // 2), CELL * (y - grid[2] // 2), 0 * x], dim=1).int()
    buckets, count = region_of(coords, phrase), 2**14
    by_chance = count * (1 - (1 - 1 / count) ** len(phrase))
    assert len(buckets.unique()) > 0.98 * by_chance and buckets.min() >= 0 and buckets.max() < count


def test_two_regions_in_one_bucket_count_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a single bucket, what a voxel hears is its own, and log l is the mean over all regions."""
    teacher, votes, coords = drawn(0, 60)
    monkeypatch.setattr(regions, "_BUCKETS", 1)
    trust = RegionTrust(CLASSES, 5.0, temperature=1.5)
    right = trust(teacher, SURE, votes, coords).right[votes.is_named]
    prior, log_l = (trust.met / trust.met.sum()).tolist(), 0.0
    for voxel in votes.is_named.nonzero().flatten().tolist():
        log_l += Twin._log_l(teacher[voxel], SURE, votes[voxel : voxel + 1], prior, 1.5) / len(right)
    odds = 9 * math.exp(WORTH * log_l)
    assert right.tolist() == pytest.approx([odds / (odds + 1)] * len(right), rel=1e-4)


def test_judging_waits_for_nothing() -> None:
    trust = RegionTrust(CLASSES, 5.0)
    teacher, votes, coords = drawn(0, 60)
    with counted_synchronisations() as places:
        judged = trust(teacher, SURE, votes, coords)
    assert places == {} and isinstance(judged, Judgement)


def test_what_was_learnt_is_a_state() -> None:
    """A restored trust judges as the one that went on."""
    whole = RegionTrust(CLASSES, 5.0)
    for batch in range(3):
        teacher, votes, coords = drawn(batch, 60)
        whole(teacher, SURE, votes, coords)
    restored = RegionTrust(CLASSES, 5.0)
    restored.load_state_dict(state(whole))
    teacher, votes, coords = drawn(3, 60)
    one, other = (trust(teacher, SURE, votes, coords) for trust in (whole, restored))
    assert all(torch.equal(a, b) for a, b in zip(one, other))
    assert all(torch.equal(state(restored)[name], one) for name, one in state(whole).items())


def judged_part(part: slice) -> list[float]:
    """Share, fit and classes after the voxels `part` of two batches."""
    trust = RegionTrust(CLASSES, 3.0)
    for batch in range(2):
        teacher, votes, coords = drawn(batch, 60)
        judged = trust(teacher[part], SURE, votes[part], coords[part])
    return [*torch.cat([trust.share, trust.fit, trust.met]).tolist(), float(judged.share)]


def in_process(rank: int, store: Path, answers: multiprocessing.SimpleQueue) -> None:
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    answers.put(judged_part(slice(rank, None, 2)))
    dist.destroy_process_group()


def test_two_processes_learn_what_one_learns(tmp_path: Path) -> None:
    """Each has the scans of its own: voxels take turns between scan 0 and scan 1."""
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    processes = [context.Process(target=in_process, args=(r, tmp_path / "store", answers)) for r in range(2)]
    for process in processes:
        process.start()
    found = [answers.get() for _ in processes]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert found[0] == found[1] == pytest.approx(judged_part(slice(None)), rel=1e-5)

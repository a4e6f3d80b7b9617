"""Every equation of the paper on an example worked out by hand, and the values of its Sec. 4.2."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lass3d_core.geometry.projection import project
from lass3d_core.labels import IGNORE
from lass3d_core.paper import ema
from lass3d_core.paper.exploitation import NO_CLASS, Mining, is_reliable, least_likely, negative_learning
from lass3d_core.paper.losses import cross_entropy, feature_kl
from lass3d_core.paper.safm import TextBatch
from lass3d_core.records import Camera
from lass3d_core.sparse.maps import KernelPyramid, build_pyramid
from train.methods.contract import BatchCounts, Ingredients, SemiBatch
from train.methods.lass3d import Lass3d, Lass3dConfig
from train.methods.mean_teacher import MeanTeacherConfig
from train.methods.parts.votes import PhraseVotes
from train.methods.supervised import SupervisedConfig


def logits_of(*probabilities: list[float]) -> Tensor:
    """Logits whose softmax are these probabilities."""
    return torch.tensor(probabilities).log()


def test_eq_1_teacher_is_an_exponential_moving_average() -> None:
    # 0.999 * 2 + 0.001 * 12 = 2.01; the bound 1 - 1/(t + 1) no longer binds at t = 5000.
    teacher, student = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    teacher.weight.data.fill_(2.0)
    student.weight.data.fill_(12.0)
    ema.update_teacher(teacher, student, alpha=0.999, step=5000)
    assert teacher.weight.item() == pytest.approx(2.01)


def test_eq_2_point_lands_on_its_pixel() -> None:
    # M moves the point (1, 2, 3) by (0, -1, 1) to (1, 1, 4) in the camera, 4 m in front of it.
    # K: f = 100, centre (50, 40).  u = 100 * 1/4 + 50 = 75,  v = 100 * 1/4 + 40 = 65.
    cam_from_points = np.eye(4)
    cam_from_points[:3, 3] = 0, -1, 1
    K = np.array([[100.0, 0, 50], [0, 100, 40], [0, 0, 1]])
    uv, depth = project(Camera(K, cam_from_points, (80, 100)), np.array([[1, 2, 3]], np.float32))
    np.testing.assert_allclose(uv, [[75, 65]], rtol=1e-6)
    np.testing.assert_allclose(depth, [4], rtol=1e-6)


def test_eq_3_divergence_of_the_adapted_from_the_text_enhanced_features() -> None:
    # softmax(f_text) = (1/2, 1/2), softmax(f_ada) = (1/4, 3/4):
    # 1/2 log((1/2)/(1/4)) + 1/2 log((1/2)/(3/4)) = log 2 - log(3)/2 = 0.1438, and 0 for the second point.
    f_text = logits_of([0.5, 0.5], [0.2, 0.8]).requires_grad_()
    f_ada = logits_of([0.25, 0.75], [0.2, 0.8]).requires_grad_()
    divergence = feature_kl(f_text, f_ada)
    divergence.backward()
    assert divergence.item() == pytest.approx((math.log(2) - math.log(3) / 2) / 2)
    # d/df_ada = (softmax(f_ada) - softmax(f_text)) / 2 points; the target is detached.
    torch.testing.assert_close(f_ada.grad, torch.tensor([[-0.125, 0.125], [0.0, 0.0]]))
    assert f_text.grad is None


def test_eq_4_reliable_is_confident_and_agreed() -> None:
    teacher = torch.tensor([[0.95, 0.05], [0.95, 0.05], [0.80, 0.20]])
    student = torch.tensor([[0.60, 0.40], [0.40, 0.60], [0.80, 0.20]])
    # variances of class 0: (0.35)^2/4 = 0.031, (0.55)^2/4 = 0.076, 0;  confidences: 0.95, 0.95, 0.80
    assert is_reliable(teacher, student, tau_r=0.9, tau_v=0.05).tolist() == [True, False, False]


def test_eq_5_negative_class_is_the_least_likely_if_unlikely_enough() -> None:
    confidence = torch.tensor([[0.15, 0.6, 0.25], [0.3, 0.3, 0.4]])
    assert least_likely(confidence, 1, tau_n=0.2).tolist() == [[0], [NO_CLASS]]


def test_eq_5_used_class_is_discarded_and_the_next_one_selected() -> None:
    # Fig. 5: lowest first, then the lowest of the rest, then none, since 0.7 > tau_n.
    confidence = torch.tensor([[0.1, 0.2, 0.7]])
    mining = Mining.start(torch.tensor([False]), num_classes=3)
    selected = []
    for _ in range(3):
        negatives, mining = mining.next(confidence, torch.tensor([False]), tau_n=0.2)
        selected.append(negatives.item())
    assert selected == [0, 1, NO_CLASS]


def test_eq_6_negative_learning() -> None:
    # -log(1 - 0.2) - log(1 - 0.5) = 0.2231 + 0.6931; the third point has no class and does not count.
    logits = logits_of([0.2, 0.8], [0.5, 0.5], [0.5, 0.5])
    negatives = torch.tensor([[0], [1], [NO_CLASS]])
    printed = -math.log(0.8) - math.log(0.5)
    assert negative_learning(logits, negatives, "sum").item() == pytest.approx(printed)
    assert negative_learning(logits, negatives, "mean").item() == pytest.approx(printed / 2)


def test_eq_7_cross_entropy_of_the_labelled_points() -> None:
    # -(log 0.5 + log 0.25) / 2 = log(8) / 2
    logits = logits_of([0.5, 0.5], [0.25, 0.75])
    assert cross_entropy(logits, torch.tensor([0, 0])).item() == pytest.approx(math.log(8) / 2)


def test_eq_8_cross_entropy_with_the_reliable_predictions_of_the_teacher() -> None:
    # Only the first point is reliable; the teacher says class 1, the student gives it 0.6.
    teacher, student = torch.tensor([[0.1, 0.9], [0.4, 0.6]]), torch.tensor([[0.4, 0.6], [0.5, 0.5]])
    reliable = is_reliable(teacher, student, tau_r=0.9, tau_v=0.05)
    pseudo_labels = teacher.argmax(dim=1).masked_fill(~reliable, IGNORE)
    assert cross_entropy(student.log(), pseudo_labels).item() == pytest.approx(-math.log(0.6))


class Given(nn.Module):
    """A backbone that returns its input, so that an example can say what the features are."""

    out_channels = 2

    def forward(self, features: Tensor, pyramid: KernelPyramid) -> Tensor:
        return features


@pytest.fixture
def worked_example() -> tuple[Lass3d, SemiBatch]:
    """A labelled and an unlabelled voxel without text; classifiers whose logits are three times the features.

    Features (1, -1) are normalised already, f_text is then (1, -1), and the logits are (3, -3):
    probabilities (p, q) = (1 / (1 + e^-6), e^-6 / (1 + e^-6)) in both branches. The teacher's adapter is made
    to swap the channels of the second voxel by adding (-2, 2) everywhere: f_ada = norm(-1, 1) = (-1, 1).
    """
    method = Lass3d(
        Lass3dConfig(alpha=0.5, pe_iterations=1, lambda_u=0.2, lambda_pe=0.3, lambda_kl=0.4),
        Ingredients(Given, num_classes=2, text_dim=8, class_weights=None),
    )
    for classifier in (method.classifier, method.teacher.classifier):
        classifier[0] = nn.Identity()
        classifier[1] = nn.Identity()
        classifier[2].weight.data = 3 * torch.eye(2)
        classifier[2].bias.data.zero_()
    features = torch.tensor([[1.0, -1.0], [1.0, -1.0]])
    none, no_rows = torch.tensor([-1, -1]), torch.empty(0, 8)
    batch = SemiBatch(
        features,
        build_pyramid(torch.tensor([[0, 0, 0, 0], [1, 0, 0, 0]], dtype=torch.int32), 1),
        labels=torch.tensor([0, IGNORE]),
        is_labelled=torch.tensor([True, False]),
        scan=torch.tensor([0, 1]),
        image=none,
        entity=none,
        votes=PhraseVotes.certain(none),
        texts=TextBatch(no_rows, (0,), no_rows, no_rows),
        counts=BatchCounts((0, 1), (1, 1), 1, (), 0, 0, ()),
    )
    return method, batch


def test_eq_9_terms_where_the_branches_agree(worked_example: tuple[Lass3d, SemiBatch]) -> None:
    # p = 0.9975 >= 0.9 in both branches: reliable, so there is nothing to mine. CE = -log p = log(1 + e^-6).
    # The features agree: KL = 0.
    method, batch = worked_example
    surprise = math.log(1 + math.exp(-6))
    terms = {name: term.item() for name, term in method.losses(batch, step=0).items()}
    assert terms == pytest.approx({"ce_l": surprise, "ce_u": 0.2 * surprise, "pe": 0, "kl": 0}, rel=1e-3)


def test_eq_9_terms_where_the_branches_disagree(worked_example: tuple[Lass3d, SemiBatch]) -> None:
    # The teacher is as sure of class 1 as the student of class 0: (p - q)^2/4 = 0.2475 > 0.05, unreliable.
    # The student's least likely class is 1, with q = 0.0025 <= 0.2: PE = -log(1 - q) = log(1 + e^-6).
    # Softmax of f_text = (1, -1) is (s, 1 - s), s = 1/(1 + e^-2), that of f_ada = (-1, 1) is (1 - s, s):
    # KL = s log(s/(1-s)) + (1-s) log((1-s)/s) = (2 s - 1) * 2 = 2 tanh(1).
    method, batch = worked_example
    method.teacher.adapter.leave.bias.data = torch.tensor([-2.0, 2.0])
    surprise = math.log(1 + math.exp(-6))
    terms = {name: term.item() for name, term in method.losses(batch, step=0).items()}
    expected = {"ce_l": surprise, "ce_u": 0, "pe": 0.3 * surprise, "kl": 0.4 * 2 * math.tanh(1)}
    assert terms == pytest.approx(expected, rel=1e-3)
    assert method.measures["reliable_share"] == 0 and method.measures["pe_points"] == 1


def test_defaults_are_those_of_section_4_2() -> None:
    config = Lass3dConfig()
    assert config.alpha == 0.999
    assert config.pe_iterations == 5
    assert (config.tau_r, config.tau_v, config.tau_n) == (0.9, 0.05, 0.2)
    assert (config.lambda_u, config.lambda_pe, config.lambda_kl) == (0.1, 0.1, 0.1)


def test_defaults_are_the_last_rows_of_the_ablations() -> None:
    config = Lass3dConfig()
    assert config.ce_u and config.kl and config.pe  # Tab. 2
    assert config.captions == "both"  # Tab. 3
    assert config.safm.fusion == "cross_attention"  # Tab. 4
    assert config.separation == "dual"  # Tab. 5
    assert config.transfer == "safm"  # Tab. 6
    assert config.pe_form == "paper"  # Sec. 3.3


def test_methods_that_are_compared_average_over_one_horizon() -> None:
    assert SupervisedConfig().alpha == MeanTeacherConfig().alpha == Lass3dConfig().alpha

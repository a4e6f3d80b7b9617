"""LASS3D (Li and Dong, ECCV 2024): text in the student, a text-free teacher, and use for what it doubts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from lass3d_core.compute import parallel
from lass3d_core.labels import IGNORE
from lass3d_core.nets.segmenter import Segmenter, make_classifier
from lass3d_core.paper import ema, losses
from lass3d_core.paper.adapter import AdapterConfig, FusionAdapter, normalised
from lass3d_core.paper.alignment import SemanticConsistency
from lass3d_core.paper.exploitation import (
    NO_CLASS,
    Mining,
    Reduction,
    Separation,
    is_reliable,
    least_likely,
    negative_learning,
)
from lass3d_core.paper.safm import Safm, SafmConfig
from lass3d_core.records import NONE
from train.methods.contract import Ingredients, SemiBatch, to_floats


@dataclass(frozen=True)
class Lass3dConfig:
    """Defaults are the paper's and switches its ablations; the last three are extensions, not the paper's."""

    alpha: float = 0.999  # horizon of the teacher, Eq. (1); Sec. 4.2
    lambda_u: float = 0.1  # weight of Eq. (8); Sec. 4.2
    lambda_pe: float = 0.1  # weight of Eq. (6); Sec. 4.2
    lambda_kl: float = 0.1  # weight of Eq. (3); Sec. 4.2
    tau_r: float = 0.9  # least teacher confidence of a reliable class, Eq. (4); Sec. 4.2
    tau_v: float = 0.05  # largest student/teacher variance of a reliable class, Eq. (4); Sec. 4.2
    tau_n: float = 0.2  # largest confidence of a negative class, Eq. (5); Sec. 4.2

    ce_u: bool = True  # Tab. 2
    kl: bool = True  # Tab. 2
    pe: bool = True  # Tab. 2
    captions: Literal["none", "image", "entity", "both"] = "both"  # Tab. 3
    safm: SafmConfig = field(default_factory=SafmConfig)  # its `fusion` is Tab. 4
    adapter: AdapterConfig = field(default_factory=AdapterConfig)
    separation: Separation = "dual"  # Tab. 5
    transfer: Literal["safm", "alignment"] = "safm"  # Tab. 6
    lambda_align: float = (
        0.1  # of `alignment`; the paper gives none, this is that of Eq. (3), whose place it takes
    )

    pe_iterations: int = 5  # negative classes per point at most; Sec. 4.2, Fig. 7
    pe_form: Literal["single_pass", "empty_steps", "reforward"] = "reforward"  # Sec. 3.3; see Lass3d
    pe_reduction: Reduction = "mean"  # Eq. (6) prints a sum, see Lass3d
    pe_confidence: Literal["student", "teacher"] = (
        "student"  # whose S in Eq. (5); Sec. 3.1 says the student's
    )

    seed: int = 0  # of text_dropout
    text_dropout: float = 0.0  # extension: share of labelled scans whose text is hidden in a step
    kl_into_student: bool = False  # extension: Eq. (3) also on the student's own features, without text
    text_free_loss: float = 0.0  # extension: weight of Eq. (7) on the student's own features, without text

    def __post_init__(self) -> None:
        for name in ("tau_r", "tau_v", "tau_n", "text_dropout"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in [0, 1], got {getattr(self, name)}")
        for name in (
            "lambda_u",
            "lambda_pe",
            "lambda_kl",
            "lambda_align",
            "text_free_loss",
            "pe_iterations",
            "seed",
        ):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if not 0 <= self.alpha < 1:
            raise ValueError(f"alpha must lie in [0, 1), got {self.alpha}")
        if self.kl_into_student and not self.distils:
            raise ValueError("kl_into_student needs kl: true and transfer: safm")

    @property
    def distils(self) -> bool:
        """Whether there are text-enhanced features for the adapter to learn from."""
        return self.kl and self.transfer == "safm"

    @property
    def mines(self) -> bool:
        """Whether unreliable points are exploited."""
        return self.pe and self.pe_iterations > 0


class Lass3d(nn.Module):
    """Eq. (9). Student: backbone, SAFM, classifier. Teacher: averaged backbone, adapter, averaged classifier.

    The teacher sees points alone. Eq. (3) reaches the adapter and nothing else: text can help the teacher's
    backbone only through what the student's backbone learns beside it, by Eq. (7), (8) and (6).

    Decisions. Eq. (3) is taken on the unlabelled points, as its superscript says. The teacher runs in
    training mode and keeps running statistics of its own (see ema.update_buffers). Without Eq. (3) the
    adapter would stay untrained, so it is bypassed: only its normalisation remains (Tab. 2, Tab. 6).
    Eq. (6) is a mean over points. As the printed sum, its gradient was measured at 6 to 70 times that of
    Eq. (7) after the weight 0.1, so that it would be the whole training. As a mean it is below a hundredth of
    it with the student's confidence in Eq. (5), and 2 to 13 times larger with the teacher's.
    The `reforward` form is the paper's; it costs a student pass and an optimiser step per iteration, about
    three times the time of a step. `single_pass` takes the classes from one prediction instead.
    `empty_steps` does that, and then takes the optimiser steps of `reforward` without any gradient: they move
    the student along the optimiser's memory. Those of `reforward` do little else where Eq. (6) is as small as
    above, but with AdamW so many steps count (docs/results.md).
    """

    def __init__(self, config: Lass3dConfig, ingredients: Ingredients) -> None:
        super().__init__()
        self.config = config
        self.backbone = ingredients.make_backbone()
        channels: int = self.backbone.out_channels
        self.classifier = make_classifier(channels, ingredients.num_classes)
        if config.transfer == "safm":
            self.safm = Safm(config.safm, channels, ingredients.text_dim)
        else:
            self.alignment = SemanticConsistency(channels, ingredients.text_dim)
        if config.distils:
            adapter: nn.Module = FusionAdapter(config.adapter, channels)
        else:
            adapter = nn.LayerNorm(channels, elementwise_affine=False)
        self.teacher = Segmenter(ema.teacher_of(self.backbone), adapter, ema.teacher_of(self.classifier))
        self.register_buffer("class_weights", ingredients.class_weights, persistent=False)
        self.measures: dict[str, float] = {}
        self._exploited: _Exploited  # set by `losses`, read by `further_losses` of the same batch

    @property
    def predictor(self) -> nn.Module:
        """The teacher: no text and no image."""
        return self.teacher

    def losses(self, batch: SemiBatch, step: int) -> dict[str, Tensor]:
        """The weighted terms of Eq. (9) that are switched on; in the `reforward` form, pe is iteration 1."""
        unlabelled = batch.unlabelled
        image, entity = self._text_of(batch, step)
        f_3d = self.backbone(batch.features, batch.pyramid)
        f_text = self._with_text(f_3d, image, entity, batch)
        logits = self.classifier(f_text)
        f_ada, teacher = self._teach(batch, unlabelled)
        reliable = self._reliable(teacher, logits[unlabelled])
        measures = {
            "reliable_share": reliable.sum() / max(len(reliable), 1),
            "text_share": ((image != NONE) | (entity != NONE)).float().mean(),
            "ce_l_points": (batch.labels != IGNORE).sum(),
            "ce_u_points": reliable.sum(),
        }

        terms = {"ce_l": losses.cross_entropy(logits, batch.labels, self.class_weights)}
        if self.config.ce_u:
            pseudo_labels = teacher.argmax(dim=1).masked_fill(~reliable, IGNORE)
            terms["ce_u"] = self.config.lambda_u * losses.cross_entropy(logits[unlabelled], pseudo_labels)
        if self.config.mines:
            terms["pe"], measures["pe_points"] = self._first_exploitation(
                logits[unlabelled], teacher, reliable
            )
        if self.config.distils:
            divergence = losses.feature_kl(f_text[unlabelled], f_ada)
            terms["kl"] = self.config.lambda_kl * divergence
        if self.config.transfer == "alignment":
            terms["align"] = self.config.lambda_align * self.alignment(f_3d, image, entity, batch.texts)
        self.measures = to_floats(measures)
        return terms | self._extensions(batch, f_3d, f_text)

    def further_losses(self, batch: SemiBatch, step: int) -> Iterator[dict[str, Tensor]]:
        """Iterations 2, 3, ... of the `reforward` form: predict again, select the next class. Eq. (5), (6).

        Those of `empty_steps` have no gradient. Ends early when no point of any process has a class left.
        Decision: the teacher changes once per outer step (Eq. 1), so its prediction is that of the first
        iteration; a point turns reliable when the student comes to agree with it.
        """
        if not self.config.mines or self.config.pe_form == "single_pass":
            return iter(())
        if self.config.pe_form == "empty_steps":
            return self._empty_rounds(self._exploited)
        return self._further_rounds(batch, step, self._exploited)

    def _further_rounds(
        self, batch: SemiBatch, step: int, exploited: _Exploited
    ) -> Iterator[dict[str, Tensor]]:
        unlabelled = batch.unlabelled
        image, entity = self._text_of(batch, step)
        for _ in range(1, self.config.pe_iterations):
            f_3d = self.backbone(batch.features, batch.pyramid)
            logits = self.classifier(self._with_text(f_3d, image, entity, batch))[unlabelled]
            reliable = self._reliable(exploited.teacher, logits)
            negatives = self._select(logits, exploited, reliable)
            if not parallel.any_of(bool((negatives != NO_CLASS).any()), logits.device):
                return
            yield {
                "pe": self.config.lambda_pe * negative_learning(logits, negatives, self.config.pe_reduction)
            }

    def _empty_rounds(self, exploited: _Exploited) -> Iterator[dict[str, Tensor]]:
        """A gradient of 0 for all that the student learns with, in as many rounds as found a class."""
        student = [*self.backbone.parameters(), *self.classifier.parameters()]
        student += self.safm.parameters() if self.config.transfer == "safm" else []
        for found in exploited.found[1:]:
            if not parallel.any_of(bool(found), exploited.teacher.device):
                return
            yield {"pe": _NoGradient.apply(*student)}

    def after_step(self, step: int) -> None:
        """Eq. (1), for backbone and classifier; the adapter is the teacher's own."""
        ema.update_teacher(self.teacher.backbone, self.backbone, self.config.alpha, step)
        ema.update_teacher(self.teacher.classifier, self.classifier, self.config.alpha, step)

    def _text_of(self, batch: SemiBatch, step: int) -> tuple[Tensor, Tensor]:
        """The text indices (M,), (M,) that the student sees: masked by `captions` and by text dropout."""
        hidden = torch.zeros_like(batch.is_labelled)
        if self.config.text_dropout > 0:
            draws = np.random.default_rng((self.config.seed, step)).random(int(batch.scan.max()) + 1)
            dropped = torch.from_numpy(draws < self.config.text_dropout).to(batch.scan.device)
            hidden = batch.is_labelled & dropped[batch.scan]
        no_image = hidden | (self.config.captions in ("none", "entity"))
        no_entity = hidden | (self.config.captions in ("none", "image"))
        return batch.image.masked_fill(no_image, NONE), batch.entity.masked_fill(no_entity, NONE)

    def _with_text(self, f_3d: Tensor, image: Tensor, entity: Tensor, batch: SemiBatch) -> Tensor:
        if self.config.transfer == "safm":
            return self.safm(f_3d, image, entity, batch.texts)
        return normalised(f_3d)

    def _teach(self, batch: SemiBatch, unlabelled: slice) -> tuple[Tensor, Tensor]:
        """Of the unlabelled voxels f_ada (U,F), with a gradient to the adapter alone, and the teacher's
        probabilities (U,C), with none. Its backbone sees the whole batch, for its statistics.
        """
        with torch.no_grad():
            f_3d = self.teacher.backbone(batch.features, batch.pyramid)[unlabelled]
        f_ada = self.teacher.adapter(f_3d)
        return f_ada, self.teacher.classifier(f_ada.detach()).softmax(dim=1)

    def _reliable(self, teacher: Tensor, logits: Tensor) -> Tensor:
        student = logits.detach().softmax(dim=1)
        return is_reliable(teacher, student, self.config.tau_r, self.config.tau_v, self.config.separation)

    def _first_exploitation(self, logits: Tensor, teacher: Tensor, reliable: Tensor) -> tuple[Tensor, Tensor]:
        """Eq. (5), (6) of the first iteration, or of all in a single pass; and the number of points mined."""
        self._exploited = _Exploited(teacher, Mining.start(reliable, logits.shape[1]))
        negatives = self._select(logits, self._exploited, reliable)
        self._exploited.found = (negatives != NO_CLASS).any(dim=0)
        loss = self.config.lambda_pe * negative_learning(logits, negatives, self.config.pe_reduction)
        return loss, (negatives != NO_CLASS).any(dim=1).sum()

    def _select(self, logits: Tensor, exploited: _Exploited, reliable: Tensor) -> Tensor:
        """Negative classes (U,K) of the unlabelled points; `reforward` also extends its list of used ones."""
        of_student = self.config.pe_confidence == "student"
        confidence = logits.detach().softmax(dim=1) if of_student else exploited.teacher
        if self.config.pe_form != "reforward":
            negatives = least_likely(confidence, self.config.pe_iterations, self.config.tau_n)
            return negatives.masked_fill(reliable.unsqueeze(1), NO_CLASS)
        negatives, exploited.mining = exploited.mining.next(confidence, reliable, self.config.tau_n)
        return negatives

    def _extensions(self, batch: SemiBatch, f_3d: Tensor, f_text: Tensor) -> dict[str, Tensor]:
        """Terms that are not the paper's: both look at the student as the teacher will be, without text."""
        terms: dict[str, Tensor] = {}
        if not self.config.kl_into_student and not self.config.text_free_loss:
            return terms
        f_free = self.teacher.adapter(f_3d)
        if self.config.kl_into_student:
            unlabelled = batch.unlabelled
            divergence = losses.feature_kl(f_text[unlabelled], f_free[unlabelled])
            terms["kl_student"] = self.config.lambda_kl * divergence
        if self.config.text_free_loss:
            loss = losses.cross_entropy(self.classifier(f_free), batch.labels, self.class_weights)
            terms["ce_text_free"] = self.config.text_free_loss * loss
        return terms


class _NoGradient(torch.autograd.Function):
    """A term of value 0 that leaves a gradient of 0 in each parameter: without one the optimiser skips it."""

    @staticmethod
    def forward(ctx: Any, *parameters: Tensor) -> Tensor:
        ctx.save_for_backward(*parameters)
        return parameters[0].new_zeros(())

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> Any:
        return tuple(torch.zeros_like(parameter) for parameter in ctx.saved_tensors)


@dataclass
class _Exploited:
    """What an iteration leaves to the next of the same batch.

    teacher (U,C): its probabilities. mining: the lists of used classes. found (K,): whether any point has a
    first, a second, ... class in the first prediction.
    """

    teacher: Tensor
    mining: Mining
    found: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.bool))

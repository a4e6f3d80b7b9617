"""LASS3D (Li and Dong, ECCV 2024): a student with text, a teacher without, and use of unreliable points.

    L = CE_l + lambda_u CE_u + lambda_pe PE + lambda_kl KL        Eq. (9), of Eq. (7), (8), (6), (3)
The weights are constant in the paper. With `ramp_steps` lambda_u and lambda_pe rise from 0: these terms learn
from predictions. Eq. (3) trains the adapter alone and does not rise.
Student: backbone, SAFM (Sec. 3.2), classifier. Teacher: averaged backbone, fusion adapter, averaged
classifier.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import NonNegativeFloat, NonNegativeInt
from pydantic.dataclasses import dataclass as settings_dataclass
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
from lass3d_core.paper.safm import Safm, SafmConfig, TextBatch
from lass3d_core.records import NONE
from lass3d_core.settings import SETTINGS
from lass3d_core.sparse.maps import KernelPyramid, pyramid_of_rest
from train.methods.contract import Ingredients, Method, MethodConfig, SemiBatch, Share, channels_of
from train.methods.parts.ramp import ramp


@settings_dataclass(frozen=True, config=SETTINGS)
class Lass3dConfig(MethodConfig):
    """Defaults are the paper's values; the switches are its ablations. alpha is 0.999 (Sec. 4.2)."""

    lambda_u: NonNegativeFloat = 0.1  # weight of Eq. (8); Sec. 4.2
    lambda_pe: NonNegativeFloat = 0.1  # weight of Eq. (6); Sec. 4.2
    lambda_kl: NonNegativeFloat = 0.1  # weight of Eq. (3); Sec. 4.2
    ramp_steps: NonNegativeInt = 0  # steps over which lambda_u and lambda_pe rise from 0; paper: none
    tau_r: Share = 0.9  # least teacher confidence of a reliable class, Eq. (4); Sec. 4.2
    tau_v: Share = 0.05  # largest variance of a reliable class, Eq. (4); Sec. 4.2
    tau_n: Share = 0.2  # largest confidence of a negative class, Eq. (5); Sec. 4.2

    ce_u: bool = True  # Tab. 2
    kl: bool = True  # Tab. 2
    pe: bool = True  # Tab. 2
    captions: Literal["none", "image", "entity", "both"] = "both"  # Tab. 3
    safm: SafmConfig = SafmConfig()  # its `fusion` is Tab. 4
    adapter: AdapterConfig = AdapterConfig()
    separation: Separation = "dual"  # Tab. 5
    transfer: Literal["safm", "alignment"] = "safm"  # Tab. 6
    lambda_align: NonNegativeFloat = 0.1  # of `alignment`; not in the paper: as Eq. (3), which it replaces

    pe_iterations: NonNegativeInt = 5  # negative classes per point at most; Sec. 4.2, Fig. 7
    pe_form: Literal["single_pass", "paper"] = "paper"  # Sec. 3.3; see Lass3d
    pe_reduction: Reduction = "mean"  # Eq. (6) prints a sum; see Lass3d
    # Whose S in Eq. (5); Sec. 3.1 says the student's.
    pe_confidence: Literal["student", "teacher"] = "student"

    @property
    def reads_text(self) -> bool:
        """Always: without captions the networks still have the width of the text rows."""
        return True

    @property
    def distils(self) -> bool:
        return self.kl and self.transfer == "safm"

    @property
    def mines(self) -> bool:
        return self.pe and self.pe_iterations > 0


class Lass3d(Method):
    """Eq. (9). The teacher sees points alone.

    Eq. (3) trains the adapter and nothing else. So text reaches the teacher's backbone only through what the
    student's backbone learns beside it, by Eq. (7), (8) and (6).

    Decision: Eq. (3) is taken on the unlabelled points, as its superscript says.
    Decision: the teacher runs in training mode and has its own running statistics (see ema.update_buffers).
    Decision: without Eq. (3) the adapter would stay untrained, so it is bypassed. Only its normalisation
    remains (Tab. 2, Tab. 6).
    Decision: Eq. (6) is a mean over points. As the printed sum, its gradient was measured at 6 to 70 times
    the gradient of Eq. (7), after the weight 0.1: it would be the whole training. As a mean it is below a
    hundredth of it with the student's confidence in Eq. (5), and 2 to 13 times larger with the teacher's.
    Decision: pe_form `paper` predicts again and takes an optimiser step in every iteration, about three times
    the time of a step. `single_pass` takes the classes of all iterations from one prediction instead. The
    further steps of `paper` move the student mostly by the optimiser's momentum if Eq. (6) is as small as
    above; with AdamW so many steps count.
    """

    weighs_pseudo_labels = False

    def __init__(self, config: Lass3dConfig, ingredients: Ingredients) -> None:
        super().__init__(config, ingredients)
        self.backbone = ingredients.make_backbone()
        channels = channels_of(self.backbone)
        self.classifier = make_classifier(channels, ingredients.num_classes)
        if config.transfer == "safm":
            self.safm = Safm(config.safm, channels, ingredients.text_dim)
        else:
            self.alignment = SemanticConsistency(channels, ingredients.text_dim)
        adapter: nn.Module = nn.LayerNorm(channels, elementwise_affine=False)
        if config.distils:
            adapter = FusionAdapter(config.adapter, channels)
        self.teacher = Segmenter(ema.teacher_of(self.backbone), adapter, ema.teacher_of(self.classifier))
        self._exploited: _Exploited  # set by `losses`, read by `further_losses` of the same batch

    @property
    def predictor(self) -> nn.Module:
        return self.teacher

    def losses(self, batch: SemiBatch, step: int) -> dict[str, Tensor]:
        """The weighted terms of Eq. (9) that are switched on. In the form `paper`, pe is iteration 1."""
        unlabelled = batch.unlabelled
        seen = self._seen(batch)
        f_3d = self.backbone(seen.features, seen.pyramid)
        f_text = self._with_text(f_3d, seen)
        logits = self.classifier(f_text)
        f_ada, teacher = self._teach(batch)
        reliable = self._reliable(teacher, logits[unlabelled])
        self.measures = {
            "reliable_share": reliable.sum() / max(len(reliable), 1),
            "text_share": ((seen.image != NONE) | (seen.entity != NONE)).float().mean(),
            "ce_l_points": (batch.labels != IGNORE).sum(),
            "ce_u_points": reliable.sum(),
        }

        terms = {"ce_l": losses.cross_entropy(logits, batch.labels, self.class_weights)}
        if self.config.ce_u:
            pseudo_labels = teacher.argmax(dim=1).masked_fill(~reliable, IGNORE)
            ce_u = losses.cross_entropy(logits[unlabelled], pseudo_labels, self.pseudo_label_weights)
            terms["ce_u"] = ramp(step, self.config.ramp_steps) * self.config.lambda_u * ce_u
        if self.config.mines:
            self._exploited = _Exploited(teacher, Mining.start(reliable, logits.shape[1]))
            terms["pe"], mined = self._exploit(logits[unlabelled], self._exploited, reliable, step)
            self.measures["pe_points"] = mined.sum()
        if self.config.distils:
            terms["kl"] = self.config.lambda_kl * losses.feature_kl(f_text[unlabelled], f_ada)
        if self.config.transfer == "alignment":
            terms["align"] = self.config.lambda_align * self.alignment(
                f_3d, seen.image, seen.entity, seen.texts
            )
        return terms

    def further_losses(self, batch: SemiBatch, step: int) -> Iterator[dict[str, Tensor]]:
        """Iterations 2, 3, ... of the form `paper`: predict again, select the next class. Eq. (5), (6).

        Ends early when no point of any process has a class left.
        Decision: the teacher changes once per step (Eq. 1), so its prediction is not repeated. A point
        becomes reliable when the student comes to agree with the teacher.
        """
        if not self.config.mines or self.config.pe_form == "single_pass":
            return iter(())
        return self._further_rounds(batch, self._exploited, step)

    def _further_rounds(
        self, batch: SemiBatch, exploited: _Exploited, step: int
    ) -> Iterator[dict[str, Tensor]]:
        # With batch norm apart, labelled scans change nothing here: Eq. (6) is of unlabelled points. Only the
        # student's running statistics miss them, and the student is never evaluated.
        seen = self._seen(batch) if batch.pyramid.first is None else self._seen_alone(batch)
        for _ in range(1, self.config.pe_iterations):
            f_3d = self.backbone(seen.features, seen.pyramid)
            logits = self.classifier(self._with_text(f_3d, seen))[seen.unlabelled]
            loss, mined = self._exploit(logits, exploited, self._reliable(exploited.teacher, logits), step)
            if not parallel.all_reduce_sum(mined.sum()):
                return
            yield {"pe": loss}

    def after_step(self, step: int) -> None:
        """Eq. (1), for backbone and classifier. The adapter belongs to the teacher alone."""
        ema.update_teacher(self.teacher.backbone, self.backbone, self.config.alpha, step)
        ema.update_teacher(self.teacher.classifier, self.classifier, self.config.alpha, step)

    def _seen(self, batch: SemiBatch) -> _Seen:
        """All scans of the batch."""
        image, entity, voxels = self._shown(batch.image, batch.entity, batch.counts.image_voxels)
        of_batch = batch.features, batch.pyramid
        return _Seen(*of_batch, image, entity, voxels, batch.texts, batch.unlabelled)

    def _seen_alone(self, batch: SemiBatch) -> _Seen:
        """The unlabelled scans alone, of a batch whose kinds of scans batch norm keeps apart."""
        rows, counts = batch.unlabelled, batch.counts.unlabelled_image_voxels
        image, entity, voxels = self._shown(batch.image[rows], batch.entity[rows], counts)
        of_rest = batch.features[rows], pyramid_of_rest(batch.pyramid)
        return _Seen(*of_rest, image, entity, voxels, batch.texts, slice(None))

    def _shown(
        self, image: Tensor, entity: Tensor, image_voxels: Sequence[int]
    ) -> tuple[Tensor, Tensor, Sequence[int]]:
        """The same without what `captions` hides: -1 for each voxel, and no voxel for each image (Tab. 3)."""
        if self.config.captions in ("none", "entity"):
            image, image_voxels = torch.full_like(image, NONE), [0] * len(image_voxels)
        if self.config.captions in ("none", "image"):
            entity = torch.full_like(entity, NONE)
        return image, entity, image_voxels

    def _with_text(self, f_3d: Tensor, seen: _Seen) -> Tensor:
        if self.config.transfer == "safm":
            return self.safm(f_3d, seen.image, seen.entity, seen.texts, seen.image_voxels)
        return normalised(f_3d)

    def _teach(self, batch: SemiBatch) -> tuple[Tensor, Tensor]:
        """The teacher on the unlabelled voxels: f_ada (U,F) and probabilities (U,C).

        f_ada has a gradient to the adapter alone, the probabilities have none.
        """
        with torch.no_grad():
            # The backbone sees the whole batch, so that its batch norm has the statistics of all scans.
            f_3d = self.teacher.backbone(batch.features, batch.pyramid)[batch.unlabelled]
        f_ada = self.teacher.adapter(f_3d)
        return f_ada, self.teacher.classifier(f_ada.detach()).softmax(dim=1)

    def _reliable(self, teacher: Tensor, logits: Tensor) -> Tensor:
        student = logits.detach().softmax(dim=1)
        return is_reliable(teacher, student, self.config.tau_r, self.config.tau_v, self.config.separation)

    def _exploit(
        self, logits: Tensor, exploited: _Exploited, reliable: Tensor, step: int
    ) -> tuple[Tensor, Tensor]:
        """Eq. (5), (6) of one iteration, or of all in a single pass: the weighted loss, and who is mined."""
        config = self.config
        of_student = config.pe_confidence == "student"
        confidence = logits.detach().softmax(dim=1) if of_student else exploited.teacher
        if config.pe_form == "single_pass":
            negatives = least_likely(confidence, config.pe_iterations, config.tau_n)
            negatives = negatives.masked_fill(reliable.unsqueeze(1), NO_CLASS)
        else:
            negatives, exploited.mining = exploited.mining.next(confidence, reliable, config.tau_n)
        weight = ramp(step, config.ramp_steps) * config.lambda_pe
        loss = weight * negative_learning(logits, negatives, config.pe_reduction)
        return loss, (negatives != NO_CLASS).any(dim=1)


@dataclass(frozen=True)
class _Seen:
    """What the student sees. The fields are as in SemiBatch; `captions` hides a part of the texts.

    image_voxels: voxels of each image of `texts`. unlabelled: the rows of the unlabelled scans.
    """

    features: Tensor
    pyramid: KernelPyramid
    image: Tensor
    entity: Tensor
    image_voxels: Sequence[int]
    texts: TextBatch
    unlabelled: slice


@dataclass
class _Exploited:
    """What one iteration passes to the next of the same batch. teacher (U,C): its probabilities."""

    teacher: Tensor
    mining: Mining

"""Networks that several methods have: a student with its teacher, a network with its moving average."""

from __future__ import annotations

from typing import Any

from torch import nn

from lass3d_core.nets.segmenter import Segmenter
from lass3d_core.paper import ema
from train.methods.contract import Ingredients, Method, MethodConfig


class StudentAndTeacher(Method):
    """A method with a student that is trained and a teacher, its moving average, that is evaluated.

    The teacher runs in training mode on the same batches. So it has its own batch-norm statistics, and
    Eq. (1) averages the parameters alone; see ema.update_buffers.
    """

    def __init__(self, config: MethodConfig, ingredients: Ingredients) -> None:
        super().__init__(config, ingredients)
        self.student: Segmenter = ingredients.make_segmenter()
        self.teacher = ema.teacher_of(self.student)

    @property
    def predictor(self) -> nn.Module:
        """The teacher, which sees points alone."""
        return self.teacher

    def after_step(self, step: int) -> None:
        """Move the teacher towards the student, Eq. (1)."""
        ema.update_teacher(self.teacher, self.student, self.config.alpha, step)


class AveragedNetwork(Method):
    """A method that trains one network and evaluates its moving average.

    Decision: the papers evaluate the network itself (alpha = 0). Here the average is evaluated, as in the
    methods with a teacher, so that a table compares what methods learn from unlabelled scans and nothing
    else.
    """

    network: Any

    def __init__(self, config: MethodConfig, ingredients: Ingredients) -> None:
        super().__init__(config, ingredients)
        self.network = self.make_network(ingredients)
        self.averaged = ema.teacher_of(self.network)

    def make_network(self, ingredients: Ingredients) -> nn.Module:
        """The network to train; a segmenter unless a method has its own."""
        return ingredients.make_segmenter()

    @property
    def predictor(self) -> nn.Module:
        """The average."""
        return self.averaged

    def after_step(self, step: int) -> None:
        """Move the average towards the network."""
        ema.update_teacher(self.averaged, self.network, self.config.alpha, step)
        # The average never sees a training batch, so it has no batch-norm statistics but the network's.
        ema.update_buffers(self.averaged, self.network, self.config.alpha, step)


class SelfTraining(AveragedNetwork):
    """Self-training in rounds of `config.round_steps` steps; round 0 trains on labels alone.

    Round 0 has `config.first_round_steps` steps if that is not 0: the first labels come from what it learnt.
    At the end of a round the labeller becomes a copy of the average. It labels the unlabelled scans of the
    next round's batches as they come.
    """

    def __init__(self, config: MethodConfig, ingredients: Ingredients) -> None:
        super().__init__(config, ingredients)
        self.labeller = ema.teacher_of(self.network)

    def round_of(self, step: int) -> int:
        """The round of a step: 0 before the first pseudo-labels."""
        return max(0, 1 + (step - self.first_labels) // self.config.round_steps)

    @property
    def first_labels(self) -> int:
        """The first step with pseudo-labels, which is the first of round 1."""
        return int(self.config.first_round_steps or self.config.round_steps)

    def after_step(self, step: int) -> None:
        """The same, and a new labeller at the end of a round."""
        super().after_step(step)
        if self.round_of(step + 1) > self.round_of(step):
            self.start_round()

    def start_round(self) -> None:
        """Make the average the labeller."""
        self.labeller.load_state_dict(self.averaged.state_dict())

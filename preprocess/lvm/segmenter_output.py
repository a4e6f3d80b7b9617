"""From the output of a segmentation network to the class of each pixel of an image.

Scores become probabilities at the network's resolution and are then enlarged, bilinearly; a map of classes
is enlarged by the nearest. Decision: probabilities are enlarged, and not logits, because a region's score is
their mean, and because classes that are nowhere likely can then be left out, which saves memory and time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image

from lass3d_core.errors import BackendUnavailable
from preprocess.lvm.params import SegmenterParams
from preprocess.lvm.segmenter_input import Box
from preprocess.lvm.segmenter_network import NAME, TensorSpec

UNKNOWN = -1
_IGNORE = 255  # the usual id of no class


Place = tuple[float, float, float, float]
"""A box (x1, y1, x2, y2) in pixels of the output."""


class Classified(NamedTuple):
    """The class (H,W) int16 of each pixel, UNKNOWN for none, and its probability (H,W) float32 if known."""

    classes: np.ndarray
    probability: np.ndarray | None


class ClassOutput:
    """Reads outputs for a network of `count` labels.

    spec: of the output; its shape is not used. The errors are BackendUnavailable, since no image is at fault.
    """

    def __init__(self, spec: TensorSpec, count: int, params: SegmenterParams) -> None:
        self._spec, self._count, self._params = spec, count, params

    def __call__(
        self, output: np.ndarray, box: Box, input_hw: tuple[int, int], size_hw: tuple[int, int]
    ) -> Classified:
        """The classes at an image of size_hw that lay in `box` of an input of input_hw.

        Raises BackendUnavailable if the output does not fit the labels.
        """
        flat = self._classes_in(output)
        if flat is not None:
            self._check_wanted("classes", output)
            return Classified(
                _nearest(self._labelled(flat), _scaled(box, input_hw, flat.shape), size_hw), None
            )
        self._check_wanted("scores", output)
        shares = self._probabilities(self._scores_in(output))
        return self._likeliest(shares, _scaled(box, input_hw, shares.shape[1:]), size_hw)

    def _classes_in(self, output: np.ndarray) -> np.ndarray | None:
        """The map of classes (h,w), or None if the output holds scores."""
        sides = output.shape[1:] if output.ndim in (3, 4) and output.shape[0] == 1 else ()
        if len(sides) == 3 and 1 in (sides[0], sides[2]):
            sides = sides[1:] if sides[0] == 1 else sides[:2]
        if len(sides) != 2:
            return None
        flat = output.reshape(sides)
        if flat.dtype.kind == "f" and not np.array_equal(flat, np.rint(flat)):
            raise self._unfit(output, "fractions of one class are neither class ids nor scores of several")
        return flat

    def _labelled(self, ids: np.ndarray) -> np.ndarray:
        """Class ids (h,w) as places in the labels, int16."""
        none = (ids < self._params.first_id) | (ids == _IGNORE)
        highest = int(np.where(none, 0, ids).max(initial=0))
        if highest >= self._count + self._params.first_id:
            raise BackendUnavailable(
                f"{NAME}: {self._params.weights} answers with class {highest}, and `labels` names "
                f"{self._ids()}; name the labels that belong to it"
            )
        return np.where(none, UNKNOWN, ids.astype(np.int64) - self._params.first_id).astype(np.int16)

    def _scores_in(self, output: np.ndarray) -> np.ndarray:
        """The scores (C,h,w) float32 of the classes."""
        wanted = self._count + self._params.first_id
        axes = [axis for axis in (1, 3) if output.ndim == 4 and output.shape[axis] == wanted]
        if not axes or output.shape[0] != 1:
            raise self._unfit(output, f"`labels` names {self._ids()}; name the labels that belong to it")
        scores = np.moveaxis(output[0], axes[0] - 1, 0).astype(np.float32)
        if output.dtype.kind in "iu" and self._spec.scale:
            scores = (scores - self._spec.zero) * self._spec.scale
        return np.ascontiguousarray(scores)

    def _probabilities(self, scores: np.ndarray) -> np.ndarray:
        """The probability (C,h,w) of each class; `scores` is overwritten.

        Scores that are all between 0 and 1 are taken for probabilities: logits of a whole image never are.
        """
        if not np.isfinite(scores).all():
            raise BackendUnavailable(
                f"{NAME}: {self._params.weights} answers with values that are not finite; export it again"
            )
        within = scores.min() >= 0 and scores.max() <= 1
        if self._params.output == "probabilities" or (self._params.output == "auto" and within):
            if not within:
                raise self._unfit(scores[None], "probabilities lie between 0 and 1; drop `output`")
            return scores
        scores -= scores.max(axis=0)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=0)
        return scores

    def _likeliest(self, shares: np.ndarray, box: Place, size_hw: tuple[int, int]) -> Classified:
        """The likeliest class of each pixel where it reaches min_probability; of equal ones the first."""
        best = np.zeros(size_hw, np.float32)
        classes = np.full(size_hw, UNKNOWN, np.int16)
        for index, share in enumerate(shares):
            # One that reaches it nowhere hides no other that does.
            if share.max() < self._params.min_probability:
                continue
            enlarged = np.asarray(
                Image.fromarray(share).resize(size_hw[::-1], Image.Resampling.BILINEAR, box=box)
            )
            wins = enlarged > best
            best[wins] = enlarged[wins]
            classes[wins] = index - self._params.first_id
        classes[(best < self._params.min_probability) | (classes < 0)] = UNKNOWN
        return Classified(classes, best)

    def _check_wanted(self, found: str, output: np.ndarray) -> None:
        wanted = self._params.output
        if wanted != "auto" and (wanted == "classes") != (found == "classes"):
            raise self._unfit(output, f"that is {found}, and not {wanted}; mend or drop `output`")

    def _ids(self) -> str:
        last = self._count + self._params.first_id - 1
        return f"{self._count} classes, {self._params.first_id} to {last}"

    def _unfit(self, output: np.ndarray, why: str) -> BackendUnavailable:
        form = TensorSpec(output.shape, output.dtype)
        return BackendUnavailable(f"{NAME}: {self._params.weights} answers with {form}: {why}")


def _scaled(box: Box, input_hw: tuple[int, int], output_hw: tuple[int, ...]) -> Place:
    """The box in pixels of the output."""
    down, right = output_hw[0] / input_hw[0], output_hw[1] / input_hw[1]
    bottom, side = float(output_hw[0]), float(output_hw[1])  # rounding must not lead outside
    return box[0] * right, box[1] * down, min(box[2] * right, side), min(box[3] * down, bottom)


def _nearest(classes: np.ndarray, box: Place, size_hw: tuple[int, int]) -> np.ndarray:
    """The part of a map (h,w) in `box`, enlarged to size_hw by the nearest pixel."""
    rows, columns = (
        np.floor(low + (np.arange(size) + 0.5) * (high - low) / size).astype(np.intp)
        for low, high, size in zip(box[1::-1], box[:1:-1], size_hw)
    )
    return classes[np.ix_(rows, columns)]

"""The doorway to a finished model: points in, labels and confidences out.

    model = lass3d_core.load("model.safetensors")
    prediction = model.predict(points, features)

Letters: N points, F features per point, C classes, M voxels, T texts, D text dimension.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lass3d_core.errors import DataError, MissingArtifact
from lass3d_core.model.card import ModelCard
from lass3d_core.model.file import read_model
from lass3d_core.model.inputs import checked_features, checked_points, warn_if_far
from lass3d_core.model.network import QUERY_ROWS, load_weights, make_network
from lass3d_core.model.tiles import Tiling, blended
from lass3d_core.model.views import view_of
from lass3d_core.nets.segmenter import Segmenter
from lass3d_core.sparse.maps import KernelPyramid, build_pyramid, unbuilt_pyramid
from lass3d_core.sparse.voxel_inputs import voxel_inputs
from lass3d_core.sparse.voxels import collate

Array = Any
"""A numpy array or a torch tensor: what comes in decides what goes out."""

TextEncoder = Callable[[str], np.ndarray]
"""A text -> its row (D,), by the encoder that the card names."""

MOST_POINTS = 2_000_000
"""A cloud with more points is cut into tiles."""


@dataclass(frozen=True)
class Prediction:
    """labels (N,) uint8: indices into `Model.classes`, in the order of the points.

    confidence (N,) float32 in [0,1]: the calibrated probability of that label.
    probabilities (N,C) float32: of all classes, each row sums to 1; None unless asked for.
    """

    labels: Array
    confidence: Array
    probabilities: Array | None = None


@dataclass(frozen=True)
class NetworkInput:
    """A cloud as the network sees it.

    features (M,3+F) float32: mean position, metres, and mean features of a voxel.
    inverse (N,) int64: point -> voxel.
    """

    features: Tensor
    pyramid: KernelPyramid
    inverse: Tensor


def network_input(
    points: np.ndarray,
    features: np.ndarray,
    voxel_m: float,
    from_corner: bool,
    levels: int,
    for_gpu: bool = False,
) -> NetworkInput:
    """Every point of a cloud voxelised, without augmentation.

    points (N,3) float32 or float64 metres. features (N,F) of any floating type.
    from_corner: subtract the least x, y and z first. for_gpu: leave the kernel maps to `pyramid.to`.
    Raises DataError for points beyond int32 voxels.
    """
    voxels, seen = voxel_inputs(points, features, voxel_m, from_corner)
    make_pyramid = unbuilt_pyramid if for_gpu else build_pyramid
    return NetworkInput(seen, make_pyramid(collate([voxels.coords]), levels), voxels.inverse)


class Model:
    """A finished segmenter. It needs points, and neither text nor image.

    card: everything that its file says of it. Not thread-safe; one per thread.
    """

    def __init__(self, card: ModelCard, network: nn.ModuleDict, query_rows: Tensor | None = None) -> None:
        self.card = card
        self._network = network.eval()
        self._query_rows = query_rows
        self._device = torch.device("cpu")
        self._levels: int = card.network.levels

    @property
    def classes(self) -> tuple[str, ...]:
        """Names by label."""
        return self.card.class_names

    @property
    def colours(self) -> tuple[tuple[int, int, int], ...]:
        """(r, g, b) of 0 to 255 by label."""
        return self.card.colours

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the F columns that `predict` wants beside the points."""
        return tuple(feature.name for feature in self.card.features)

    @property
    def network(self) -> nn.ModuleDict:
        """The modules, see `make_network`."""
        return self._network

    def network_input(self, points: Array, features: Array | None = None) -> NetworkInput:
        """What the network gets for a cloud, on the CPU. Takes and raises what `predict` does."""
        return self._input(*self._checked(points, features), for_gpu=False)

    def to(self, device: str | torch.device) -> Model:
        """Move the weights to `device`; the same object. Raises DataError for a device that is not there."""
        try:
            self._device = torch.device(device)
            self._network.to(self._device)
        except (RuntimeError, AssertionError) as error:
            raise DataError(f"device {device!r} cannot be used: {str(error).splitlines()[0]}") from None
        return self

    def predict(
        self,
        points: Array,
        features: Array | None = None,
        *,
        probabilities: bool = False,
        tta: int = 1,
        most_points: int = MOST_POINTS,
    ) -> Prediction:
        """Label every point of one cloud.

        points (N,3): x, y, z in metres, x forward, y left, z up. The origin is the sensor, unless the card
        says `from_corner`; then any origin will do. float32, float64 or integers.
        features (N,F): the columns that `model.features` names, in that order and in the range that the card
        names; (N,) for one column. None if the model has no features.
        probabilities: give those of all classes, too.
        tta: passes over turned and mirrored copies of the cloud, whose probabilities are averaged.
        most_points: a cloud with more is cut into overlapping tiles whose answers are blended.

        Returns numpy arrays for numpy arrays, and tensors on the device of `points` for tensors.
        Raises DataError for a wrong shape, missing features, NaN, another scale.
        Warns (UserWarning) if values lie somewhat beyond what the model learnt.
        """
        xyz, columns = self._checked(points, features)
        if tta < 1:
            raise DataError(f"tta is the number of passes and must be at least 1, got {tta}")
        if most_points < 1:
            raise DataError(f"most_points must be at least 1, got {most_points}")
        if tta == 1 and not self._needs_tiles(xyz, most_points):
            labels, confidence, every = self._one_pass(xyz, columns, probabilities)
        else:
            labels, confidence, every = self._many_passes(xyz, columns, probabilities, tta, most_points)
        return Prediction(*(_as_given(array, points) for array in (labels, confidence, every)))

    def query(
        self, text: str, points: Array, features: Array | None = None, *, encode: TextEncoder | None = None
    ) -> Array:
        """How much each point is like `text`: cosine similarity (N,) float32 in [-1, 1].

        encode: gives the row (D,) of a text by the encoder that `model.card.query` names. Texts that are in
        the file (`model.card.query.texts`) need none.
        Raises MissingArtifact: the model has no head for queries, or the text needs `encode`.
        """
        row = self._text_row(text, encode)
        xyz, columns = self._checked(points, features)
        with torch.inference_mode():
            given = self._input(xyz, columns, self._on_gpu)
            segmenter = cast(Segmenter, self._network["segmenter"])
            embedded = segmenter.embed(given.features.to(self._device), given.pyramid.to(self._device))
            similarity = self._network["query_head"](embedded) @ row.to(self._device)
        return _as_given(similarity.cpu()[given.inverse].numpy(), points)

    def _checked(self, points: Array, features: Array | None) -> tuple[np.ndarray, np.ndarray]:
        xyz = checked_points(_as_numpy(points, "points"))
        columns = None if features is None else _as_numpy(features, "features")
        columns = checked_features(columns, self.card, len(xyz))
        warn_if_far(xyz, self.card)
        return xyz, columns

    def _needs_tiles(self, xyz: np.ndarray, most_points: int) -> bool:
        # A range image has a fixed number of pixels, and a part of a scan is no range image.
        return len(xyz) > most_points and self.card.network.view == "voxel"

    def _input(self, xyz: np.ndarray, columns: np.ndarray, for_gpu: bool) -> NetworkInput:
        card = self.card
        return network_input(xyz, columns, card.voxel_m, card.from_corner, self._levels, for_gpu)

    @property
    def _on_gpu(self) -> bool:
        return self._device.type == "cuda"

    @torch.inference_mode()
    def _voxel_logits(self, given: NetworkInput) -> Tensor:
        logits: Tensor = self._network["segmenter"](
            given.features.to(self._device), given.pyramid.to(self._device)
        )
        return logits

    def _one_pass(
        self, xyz: np.ndarray, columns: np.ndarray, every: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Softmax and maximum are taken per voxel, of which there are fewer than points."""
        given = self._input(xyz, columns, self._on_gpu)
        logits = self._voxel_logits(given)
        probability = (logits / self.card.temperature).softmax(dim=1)
        # Not of the quotients, of which two may round to one number: `make export` takes it of the logits.
        label = logits.argmax(dim=1)
        confidence = probability.gather(1, label[:, None])[:, 0]
        inverse = given.inverse
        return (
            label.to(torch.uint8).cpu()[inverse].numpy(),
            confidence.cpu()[inverse].numpy(),
            probability.cpu()[inverse].numpy() if every else None,
        )

    def _many_passes(
        self, xyz: np.ndarray, columns: np.ndarray, every: bool, tta: int, most_points: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        count, classes = len(xyz), self.card.num_classes
        labels, confidence = np.empty(count, np.uint8), np.empty(count, np.float32)
        kept = np.empty((count, classes), np.float32) if every else None
        for indices, probability in self._answers(xyz, columns, tta, most_points):
            most, label = torch.from_numpy(probability).max(dim=1)
            labels[indices], confidence[indices] = label.numpy(), most.numpy()
            if kept is not None:
                kept[indices] = probability
        return labels, confidence, kept

    def _answers(
        self, xyz: np.ndarray, columns: np.ndarray, tta: int, most_points: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Indices (n,) of points with their probabilities (n,C); each point once."""

        def answer(indices: np.ndarray) -> np.ndarray:
            return self._mean_probability(xyz[indices], columns[indices], tta)

        if self._needs_tiles(xyz, most_points):
            tiling = Tiling.of(xyz, most_points, margin=self._margin())
            yield from blended(xyz, tiling, self.card.num_classes, answer)
        else:
            everything = np.arange(len(xyz))
            yield everything, answer(everything)

    def _margin(self) -> float:
        """Metres that a tile sees beyond its square: two voxels of the coarsest level."""
        return 2 * self.card.voxel_m * 2 ** (self._levels - 1)

    def _mean_probability(self, xyz: np.ndarray, columns: np.ndarray, tta: int) -> np.ndarray:
        """The mean (N,C) float32 of the probabilities of `tta` passes."""

        def one_pass(view: int) -> Tensor:
            given = self._input(view_of(xyz, view, tta), columns, self._on_gpu)
            logits = self._voxel_logits(given) / self.card.temperature
            return logits.softmax(dim=1).cpu()[given.inverse]

        total = one_pass(0)
        for view in range(1, tta):
            total += one_pass(view)
        return (total if tta == 1 else total.div_(tta)).numpy()

    def _text_row(self, text: str, encode: TextEncoder | None) -> Tensor:
        card = self.card.query
        if card is None:
            raise MissingArtifact(
                "the model has no head for queries; train METHOD=lass3d_plus with SET=method.query.weight=1"
            )
        if text in card.texts and self._query_rows is not None:
            row = self._query_rows[card.texts.index(text)].float()
        elif encode is not None:
            row = torch.from_numpy(np.asarray(encode(text), np.float32).reshape(-1))
        else:
            known = ", ".join(card.texts[:8]) or "none"
            raise MissingArtifact(
                f"the file holds no row of the text {text!r} (it holds: {known}); "
                f"give encode=, a function from a text to its row by {card.encoder}"
            )
        if len(row) != card.dim:
            raise DataError(f"encode gave a row of {len(row)} numbers; {card.encoder} has {card.dim}")
        return F.normalize(row, dim=0)


def load(path: str | Path, device: str | torch.device = "cpu", backend: str | None = None) -> Model:
    """The model in the file at `path`, ready to predict.

    backend: a sparse-convolution backend of lass3d_core.sparse in the place of the card's.
    Raises MissingArtifact, CorruptArtifact, UnknownName, BackendUnavailable.
    """
    path = Path(path)
    card, weights = read_model(path)
    network = make_network(card, backend)
    load_weights(network, weights, path)
    return Model(card, network, weights.get(QUERY_ROWS)).to(device)


def _as_numpy(values: Array, name: str) -> np.ndarray:
    if isinstance(values, Tensor):
        return values.detach().cpu().numpy()
    try:
        return np.asarray(values)
    except ValueError as error:
        raise DataError(f"{name} is no array: {error}") from None


def _as_given(values: np.ndarray | None, like: Array) -> Array:
    if values is None or not isinstance(like, Tensor):
        return values
    return torch.from_numpy(np.ascontiguousarray(values)).to(like.device)

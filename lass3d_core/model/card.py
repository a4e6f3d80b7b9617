"""What a model file says about itself: all that is needed to use its weights, and where they came from.

The card is the JSON in the file's header. It names no path and no shard.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import Field
from pydantic.dataclasses import dataclass

from lass3d_core.labels import IGNORE
from lass3d_core.nets.superpoints import SuperpointConfig
from lass3d_core.nets.unet import UNetConfig
from lass3d_core.paper.adapter import AdapterConfig
from lass3d_core.settings import SETTINGS, read, to_json

SCHEMA = 1


@dataclass(frozen=True, config=SETTINGS)
class PointFeature:
    """A column of features, and the range in which training scans had 99.8 % of its values."""

    name: str
    low: float
    high: float


@dataclass(frozen=True, config=SETTINGS)
class QueryCard:
    """The head that answers queries, and the text encoder in whose space it answers.

    encoder, params: the manifest's `text_embeddings` block. dim: of a text row. hidden: width of the head.
    texts: those whose rows are in the file, so that they need no encoder.
    """

    encoder: str
    params: dict[str, Any]
    dim: int = Field(ge=1)
    hidden: int = Field(ge=1)
    texts: tuple[str, ...] = ()


@dataclass(frozen=True, config=SETTINGS)
class Figures:
    """What the model reached on one split, at point level.

    miou: in [0,1], by the rule of the data set's official evaluator. scans: those that have labels.
    iou: per class in [0,1], None if the class is neither true nor predicted. ece: expected calibration error
    of the confidences before and after the temperature. passes: test-time augmentation, 1 = none.
    """

    split: str
    scans: int
    miou: float | None
    iou: tuple[float | None, ...]
    ece: float | None = None
    ece_calibrated: float | None = None
    passes: int = 1


@dataclass(frozen=True, config=SETTINGS)
class Origin:
    """Where the weights came from. digest: of the run that made them. licence: of the training data."""

    method: str
    dataset: str
    preset: str
    ratio: float
    seed: int
    protocol: str
    labelled_scans: int
    training_scans: int
    steps: int
    digest: str
    version: str
    licence: str = "the weights follow the licence of the training data"
    figures: tuple[Figures, ...] = ()


@dataclass(frozen=True, config=SETTINGS)
class ModelCard:
    """The header of a model file.

    network: the backbone. adapter: the fusion adapter between backbone and classifier, None if there is none.
    superpoints: how SSS-Net's segmenter groups voxels; None for every other segmenter.
    voxel_m: edge of a voxel, metres. from_corner: coordinates count from the cloud's least x, y and z; if
    not, from the sensor. features: columns after x, y, z, in order.
    class_names, colours (r, g, b), raw_ids: by label. temperature: logits are divided by it.
    reach_m: 99 % of the points of training scans lie within this distance of the origin, metres.
    """

    network: UNetConfig
    voxel_m: float
    from_corner: bool
    features: tuple[PointFeature, ...]
    class_names: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...]
    raw_ids: tuple[int, ...]
    origin: Origin
    adapter: AdapterConfig | None = None
    superpoints: SuperpointConfig | None = None
    query: QueryCard | None = None
    temperature: float = Field(default=1.0, gt=0)
    reach_m: float = Field(default=100.0, gt=0)
    ignore: int = IGNORE
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        if not len(self.class_names) == len(self.colours) == len(self.raw_ids):
            raise ValueError("class_names, colours and raw_ids must be equally many")
        if not self.class_names or not self.voxel_m > 0:
            raise ValueError("a model needs classes, and voxels of a positive size")

    @property
    def num_classes(self) -> int:
        """C."""
        return len(self.class_names)

    @property
    def in_channels(self) -> int:
        """Inputs of the network per voxel: x, y, z and the features."""
        return 3 + len(self.features)

    def to_json(self) -> str:
        """The card as one line of JSON."""
        return json.dumps(to_json(self))

    @classmethod
    def from_json(cls, text: str) -> ModelCard:
        """The inverse of `to_json`. Raises ValueError, whose text names each problem by its path."""
        return read(cls, json.loads(text))

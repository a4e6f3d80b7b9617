"""Parameters of the models with weights, one frozen dataclass per adapter; nothing here loads a package.

`weights` is a hub id, or a local directory or file (a relative path starts at the working directory);
`revision` chooses a version of a hub id. A field decides the answers, except those in `run`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

DType = Literal["auto", "float32", "bfloat16"]
"""auto: bfloat16 on a GPU, float32 on a CPU."""


@dataclass(frozen=True)
class RunParams:
    """Where and how fast a model runs; the answers do not depend on it, so it leaves every shard fresh.

    device: auto (a GPU if there is one), cpu, cuda, cuda:1. batch: images or texts at once, halved and
    tried again where memory is short.
    """

    device: str = "auto"
    batch: int = 8

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise ValueError(f"batch must be at least 1, got {self.batch}")


@dataclass(frozen=True)
class TileParams:
    """How a captioner that squashes images into a square cuts the wide ones.

    max_aspect: longer over shorter side up to which an image stays whole, and which no tile exceeds;
    a large number turns tiling off. overlap: the share of a tile that its neighbour sees too.
    Decision: 1.4 leaves 4:3 photographs (ScanNet) whole and makes three tiles of a KITTI frame.
    """

    max_aspect: float = 1.4
    overlap: float = 0.15

    def __post_init__(self) -> None:
        if self.max_aspect < 1:
            raise ValueError(f"max_aspect must be at least 1, got {self.max_aspect}")
        if not 0 <= self.overlap <= 0.5:
            raise ValueError(f"overlap must lie in [0, 0.5], got {self.overlap}")


@dataclass(frozen=True)
class Kosmos2Params:
    """KOSMOS-2's grounded captions.

    prompt: brief ("An image of ...", a sentence) or detailed (a paragraph, more phrases). Decision: brief;
    the sentences of three tiles fit into CLIP's 77 tokens, three paragraphs do not.
    max_new_tokens: where an answer is cut, markup included; the cut is mended back to a whole sentence.
    """

    weights: str = "microsoft/kosmos-2-patch14-224"
    revision: str = "main"
    prompt: Literal["brief", "detailed"] = "brief"
    max_new_tokens: int = 128
    dtype: DType = "auto"
    tiles: TileParams = field(default_factory=TileParams)
    run: RunParams = field(default_factory=RunParams)

    def __post_init__(self) -> None:
        _check_tokens(self.max_new_tokens)


@dataclass(frozen=True)
class Florence2Params:
    """Florence-2's captions, grounded in a second call.

    task: caption (a sentence), detailed (two or three) or more_detailed (a paragraph).
    """

    weights: str = "florence-community/Florence-2-large"
    revision: str = "main"
    task: Literal["caption", "detailed", "more_detailed"] = "detailed"
    max_new_tokens: int = 256
    dtype: DType = "auto"
    tiles: TileParams = field(default_factory=TileParams)
    run: RunParams = field(default_factory=RunParams)

    def __post_init__(self) -> None:
        _check_tokens(self.max_new_tokens)


def _check_tokens(max_new_tokens: int) -> None:
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens must be at least 1, got {max_new_tokens}")


@dataclass(frozen=True)
class DetectorParams:
    """What every detector by Grounding DINO has in common.

    box_floor: the least score of a box that is kept; `pairs.min_score` cuts again, and redoes no masks.
    max_iou: overlap, as intersection over union, above which the worse of two boxes is dropped, whatever
    their phrases. Both are GroundedSAM's. max_phrases: the most phrases asked for at once; null for as many
    as the text encoder's window of 256 tokens holds. Fewer at once are found better and cost more passes.
    """

    box_floor: float = 0.25
    max_iou: float = 0.8
    max_phrases: int | None = None
    dtype: DType = "auto"
    run: RunParams = field(default_factory=RunParams)

    def __post_init__(self) -> None:
        for name in ("box_floor", "max_iou"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in [0, 1], got {getattr(self, name)}")
        if self.max_phrases is not None and self.max_phrases < 1:
            raise ValueError(f"max_phrases must be at least 1, got {self.max_phrases}")


@dataclass(frozen=True)
class WeightsParams:
    """Weights and nothing else to choose."""

    weights: str
    revision: str = "main"


@dataclass(frozen=True)
class GroundingDinoParams:
    """The checkpoint of groundingdino-py.

    config: SwinT or SwinB, which the package brings, or a configuration file. short_side, long_side: an
    image is scaled to this short side, or less where its long side would exceed the other, in pixels.
    """

    weights: str = "ShilongLiu/GroundingDINO/groundingdino_swint_ogc.pth"
    revision: str = "main"
    config: str = "SwinT"
    short_side: int = 800
    long_side: int = 1333

    def __post_init__(self) -> None:
        if not 1 <= self.short_side <= self.long_side:
            raise ValueError(
                f"short_side must lie in [1, long_side], got {self.short_side} and {self.long_side}"
            )


@dataclass(frozen=True)
class SegmentAnythingParams:
    """The checkpoint of segment-anything, and which of its sizes it is."""

    weights: str = "ybelkada/segment-anything/checkpoints/sam_vit_h_4b8939.pth"
    revision: str = "main"
    size: Literal["vit_b", "vit_l", "vit_h"] = "vit_h"


@dataclass(frozen=True)
class GroundedSamParams(DetectorParams):
    """GroundedSAM from its authors' packages.

    text_encoder: BERT's tokenizer and shape; its weights are in the checkpoint of Grounding DINO as well.
    """

    dino: GroundingDinoParams = field(default_factory=GroundingDinoParams)
    text_encoder: WeightsParams = WeightsParams("google-bert/bert-base-uncased")
    sam: SegmentAnythingParams = field(default_factory=SegmentAnythingParams)


@dataclass(frozen=True)
class HfGroundedSamParams(DetectorParams):
    """Grounding DINO and SAM or SAM 2 as transformers has them; images are scaled as the weights say."""

    dino: WeightsParams = WeightsParams("IDEA-Research/grounding-dino-tiny")
    sam: WeightsParams = WeightsParams("facebook/sam-vit-huge")


@dataclass(frozen=True)
class TextRunParams(RunParams):
    """The same for texts, of which more fit at once."""

    batch: int = 64


@dataclass(frozen=True)
class OpenClipParams:
    """A text encoder of open_clip.

    weights: a folder with open_clip_config.json, or a checkpoint file; for a file, architecture names its
    open_clip architecture (ViT-B-16). quick_gelu: whether it was trained with QuickGELU, as OpenAI's were; to
    be said for a file whose origin does not tell. normalise: rows of unit length.
    Decision: ViT-B/16 (PLA, CLIP2Scene), unit rows (all peers), and float32, since texts are few.
    """

    weights: str = "timm/vit_base_patch16_clip_224.openai"
    revision: str = "main"
    architecture: str | None = None
    quick_gelu: bool | None = None
    normalise: bool = True
    dtype: DType = "float32"
    run: TextRunParams = field(default_factory=TextRunParams)


@dataclass(frozen=True)
class HfTextParams:
    """A text encoder of transformers.

    pooling: mean (over the tokens of a text, as sentence encoders want it) or projection (CLIP's row at the
    end of the text, projected). normalise: rows of unit length.
    """

    weights: str = "sentence-transformers/all-MiniLM-L6-v2"
    revision: str = "main"
    pooling: Literal["mean", "projection"] = "mean"
    normalise: bool = True
    dtype: DType = "float32"
    run: TextRunParams = field(default_factory=TextRunParams)

"""Parameters of the models, one frozen dataclass per adapter; nothing here loads a package.

`weights` is a hub id, or a local directory or file; a relative path starts at the working directory.
`revision` chooses a version of a hub id. Every field decides the answers, except those in `run`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag
from pydantic.dataclasses import dataclass

from lass3d_core.settings import SETTINGS
from preprocess.lvm.segmenter_labels import LabelSet

DType = Literal["auto", "float32", "bfloat16"]  # auto: bfloat16 on a GPU, float32 on a CPU
WorldName = Literal["outdoor", "indoor"]


@dataclass(frozen=True, config=SETTINGS)
class RunParams:
    """Where and how fast a model runs. The answers do not depend on it: a change leaves every shard fresh."""

    device: str = "auto"  # auto (a GPU if there is one), cpu, cuda, cuda:1
    batch: int = Field(default=8, ge=1)  # images or texts at once; halved and tried again if memory is short


@dataclass(frozen=True, config=SETTINGS)
class TileParams:
    """How wide images are cut into tiles, for a captioner that squashes every image into a square."""

    # An image stays whole up to this ratio of its longer to its shorter side, and no tile exceeds it. A large
    # number turns tiling off. Decision: 1.4 leaves 4:3 photographs (ScanNet) whole; a KITTI frame gets 3.
    max_aspect: float = Field(default=1.4, ge=1)
    overlap: float = Field(default=0.15, ge=0, le=0.5)  # share of a tile that its neighbour sees too


@dataclass(frozen=True, config=SETTINGS)
class Kosmos2Params:
    """KOSMOS-2's grounded captions. prompt: brief (a sentence) or detailed (a paragraph, more phrases)."""

    weights: str = "microsoft/kosmos-2-patch14-224"
    revision: str = "main"
    # Decision: brief; the sentences of three tiles fit into CLIP's 77 tokens, three paragraphs do not.
    prompt: Literal["brief", "detailed"] = "brief"
    # Markup included. A longer answer is cut, and then shortened to its last whole sentence.
    max_new_tokens: int = Field(default=128, ge=1)
    dtype: DType = "auto"
    tiles: TileParams = TileParams()
    run: RunParams = RunParams()


@dataclass(frozen=True, config=SETTINGS)
class Florence2Params:
    """Florence-2's captions. task: caption (a sentence), detailed (two or three), or more_detailed (many)."""

    weights: str = "florence-community/Florence-2-large"
    revision: str = "main"
    task: Literal["caption", "detailed", "more_detailed"] = "detailed"
    max_new_tokens: int = Field(default=256, ge=1)
    dtype: DType = "auto"
    tiles: TileParams = TileParams()
    run: RunParams = RunParams()


@dataclass(frozen=True, config=SETTINGS)
class Qwen3VlParams:
    """Qwen3-VL's captions. prompt: brief (a sentence) or detailed (two or three)."""

    weights: str = "Qwen/Qwen3-VL-2B-Instruct"
    revision: str = "main"
    prompt: Literal["brief", "detailed"] = "detailed"
    max_new_tokens: int = Field(default=128, ge=1)  # of the caption; a longer one ends with a whole sentence
    # Of the list of boxes; about 30 an entry. Entries that are cut off are left out.
    max_box_tokens: int = Field(default=768, ge=1)
    dtype: DType = "auto"
    run: RunParams = RunParams()


@dataclass(frozen=True, config=SETTINGS)
class PaletteEntityParams:
    """Parameters of `palette` as a detector."""

    world: WorldName = "outdoor"  # which things it knows
    min_pixels: int = Field(default=10, ge=1)  # smaller regions are not seen
    max_distance: float = Field(default=0.20, gt=0)  # in RGB; a colour farther from all known ones is unknown
    # The brightness levels at which each colour is known.
    shading: tuple[Annotated[float, Field(gt=0)], ...] = Field(default=(0.66, 0.82, 0.95), min_length=1)
    smoothing_px: int = Field(default=3, ge=1)  # side of the averaging window
    seed: int = 0  # of the choice among several phrases for one concept


@dataclass(frozen=True, config=SETTINGS)
class PaletteCaptionParams(PaletteEntityParams):
    """Parameters of `palette` as a captioner."""

    max_phrases: int = Field(default=14, ge=1)  # most concepts in a caption; the largest are named


def _form(value: Any) -> str:
    return "list" if isinstance(value, (list, tuple)) else "text"


Word = Annotated[str, Tag("text")]
Synonyms = Annotated[Word | Annotated[tuple[str, ...], Tag("list")], Discriminator(_form)]
Classes = Annotated[tuple[Synonyms, ...], Field(min_length=1), Tag("list")]
Positive = Annotated[float, Field(gt=0)]


@dataclass(frozen=True, config=SETTINGS)
class SegmenterParams:
    """A semantic segmentation network of the user's, as captioner or as detector.

    weights: a local file, .onnx or .tflite. Its content is a part of the identity, and not its name.
    labels: the words of its classes, in the order of their ids: those of a label set, or a list. A class of a
    list is a word, or a list of words that mean it; `[]` is a class without a word.
    """

    weights: str
    labels: Annotated[Annotated[LabelSet, Tag("text")] | Classes, Discriminator(_form)]
    first_id: int = Field(default=0, ge=0)  # of the first label; 1 if class 0 is a background without a word
    # Height and width of the network's input; needed only if the file leaves them open.
    input_hw: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] | None = None
    # How an image becomes the input. stretch: its aspect is lost. letterbox: scaled to fit and centred.
    # pad: scaled to fit, in the upper left corner.
    fit: Literal["stretch", "letterbox", "pad"] = "stretch"
    tiles: TileParams = TileParams(max_aspect=2.0)
    channels: Literal["rgb", "bgr"] = "rgb"
    # What an input of floats holds. No default: a wrong one goes unnoticed. Of bytes the file says it.
    pixels: Literal["0..1", "-1..1", "0..255", "imagenet"] | None = None
    # The same in numbers, for red, green and blue of 0 to 255: (pixel - mean) / std.
    mean: tuple[float, float, float] | None = None
    std: tuple[Positive, Positive, Positive] | None = None
    # What the output holds; auto: found from its shape and its values.
    output: Literal["auto", "logits", "probabilities", "classes"] = "auto"
    # Decision: a pixel is of a class if that is likelier than all others together. A map of classes has none.
    min_probability: float = Field(default=0.5, ge=0, le=1)
    min_pixels: int = Field(default=64, ge=1)  # smaller regions are not reported; Decision: a square of 8

    def __post_init__(self) -> None:
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std belong together; give both or neither")
        if self.pixels is not None and self.mean is not None:
            raise ValueError("pixels and mean say the same; give one of them")


@dataclass(frozen=True, config=SETTINGS)
class DetectorParams:
    """What all detectors by phrases have in common. box_floor and max_iou are GroundedSAM's.

    box_floor: the least score of a box that is kept. `pairs.min_score` cuts again, and redoes no masks.
    max_iou: of two boxes with a greater intersection over union, the worse is dropped, whatever its phrase.
    """

    box_floor: float = Field(default=0.25, ge=0, le=1)
    max_iou: float = Field(default=0.8, ge=0, le=1)
    dtype: DType = "auto"
    run: RunParams = RunParams()


@dataclass(frozen=True, config=SETTINGS)
class PromptedParams(DetectorParams):
    """What all detectors that use Grounding DINO have in common.

    max_phrases: the most phrases asked for at once; null for as many as the text encoder's window of 256
    tokens holds. With fewer at once the detector finds more and takes more passes.
    """

    max_phrases: int | None = Field(default=None, ge=1)


@dataclass(frozen=True, config=SETTINGS)
class WeightsParams:
    """Weights and nothing else to choose."""

    weights: str
    revision: str = "main"


@dataclass(frozen=True, config=SETTINGS)
class GroundingDinoParams:
    """The checkpoint of groundingdino-py.

    short_side, long_side: pixels. An image is scaled so that its short side has short_side, or fewer if its
    long side would exceed long_side.
    """

    weights: str = "ShilongLiu/GroundingDINO/groundingdino_swint_ogc.pth"
    revision: str = "main"
    config: str = "SwinT"  # or SwinB, which the package brings too, or a configuration file
    short_side: int = Field(default=800, ge=1)
    long_side: int = 1333

    def __post_init__(self) -> None:
        if self.short_side > self.long_side:
            raise ValueError(
                f"short_side must not exceed long_side, got {self.short_side} and {self.long_side}"
            )


@dataclass(frozen=True, config=SETTINGS)
class SegmentAnythingParams:
    """The checkpoint of segment-anything, and which of its sizes it is."""

    weights: str = "ybelkada/segment-anything/checkpoints/sam_vit_h_4b8939.pth"
    revision: str = "main"
    size: Literal["vit_b", "vit_l", "vit_h"] = "vit_h"


@dataclass(frozen=True, config=SETTINGS)
class GroundedSamParams(PromptedParams):
    """GroundedSAM from its authors' packages."""

    dino: GroundingDinoParams = GroundingDinoParams()
    # BERT's tokenizer and shape. The checkpoint of Grounding DINO holds its weights, too.
    text_encoder: WeightsParams = WeightsParams("google-bert/bert-base-uncased")
    sam: SegmentAnythingParams = SegmentAnythingParams()


@dataclass(frozen=True, config=SETTINGS)
class HfGroundedSamParams(PromptedParams):
    """Box and mask models from transformers; the weights say which they are and how images are scaled.

    dino: Grounding DINO, MM-Grounding-DINO (`openmmlab-community/mm_grounding_dino_large_all`) or LLMDet
    (`iSEE-Laboratory/llmdet_large`). sam: SAM, SAM-HQ, SAM 2, SAM 2.1 or EdgeTAM.
    """

    dino: WeightsParams = WeightsParams("IDEA-Research/grounding-dino-tiny")
    sam: WeightsParams = WeightsParams("facebook/sam-vit-huge")


@dataclass(frozen=True, config=SETTINGS)
class Owlv2SamParams(DetectorParams):
    """OWLv2 for the boxes, and the masks of `hf_grounded_sam`. It scores each phrase on its own.

    Decision: box_floor is 0.1, the library's, because the scores of OWLv2 are lower than Grounding DINO's.
    """

    box_floor: float = Field(default=0.1, ge=0, le=1)
    owl: WeightsParams = WeightsParams("google/owlv2-large-patch14-ensemble")
    sam: WeightsParams = WeightsParams("facebook/sam-vit-huge")


@dataclass(frozen=True, config=SETTINGS)
class Sam3Params(DetectorParams):
    """SAM 3, which finds and masks the things of each phrase. run.batch: phrases of an image at once.

    Decision: box_floor is 0.3, the library's.
    """

    weights: str = "facebook/sam3"  # the hub gives it to those who accept its licence there
    revision: str = "main"
    box_floor: float = Field(default=0.3, ge=0, le=1)


@dataclass(frozen=True, config=SETTINGS)
class HashingParams:
    """Parameters of `hashing`."""

    dim: int = Field(default=64, ge=2)  # D of the rows
    context: int = Field(default=32, ge=2)  # most rows of a text, the end-of-text row included
    meaning: float = Field(default=0.75, ge=0, le=1)  # weight of the kind of thing against a word's spelling
    seed: int = 0  # of the random directions


@dataclass(frozen=True, config=SETTINGS)
class TextRunParams(RunParams):
    """RunParams for texts, of which more fit at once."""

    batch: int = Field(default=64, ge=1)


@dataclass(frozen=True, config=SETTINGS)
class OpenClipParams:
    """A text encoder of open_clip.

    Decision: ViT-B/16 (PLA, CLIP2Scene), unit rows (all peers), and float32, since texts are few.
    """

    weights: str = (
        "timm/vit_base_patch16_clip_224.openai"  # or a folder with open_clip_config.json, or a file
    )
    revision: str = "main"
    architecture: str | None = None  # of a file, open_clip's name for it (ViT-B-16)
    quick_gelu: bool | None = None  # as OpenAI's were trained; needed for a file if its origin does not tell
    normalise: bool = True  # to rows of unit length
    dtype: DType = "float32"
    run: TextRunParams = TextRunParams()


@dataclass(frozen=True, config=SETTINGS)
class HfTextParams:
    """A text encoder of transformers."""

    weights: str = "sentence-transformers/all-MiniLM-L6-v2"
    revision: str = "main"
    # mean: over the tokens of a text, as sentence encoders expect. projection: of CLIP's last row.
    # siglip: of the last row of SigLIP's or SigLIP 2's window, which is mostly padding.
    pooling: Literal["mean", "projection", "siglip"] = "mean"
    normalise: bool = True  # to rows of unit length
    dtype: DType = "float32"
    run: TextRunParams = TextRunParams()

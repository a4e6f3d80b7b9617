"""Images per second of the adapters, against the loops in the documentation of the models.

    python benchmarks/lvm_throughput.py [IMAGE] [--size small|full] [--images 12] [--rounds 2]

Needs the packages of `make setup-lvm-paper` but no download: random weights need the same time.
`small` has the real architectures with fewer and narrower layers, for two minutes on a CPU; `full` is for a
GPU.
Both sides read the same copies of an image from disk and do the same work: the same number of tokens per
answer, no tiles, the same number of boxes per image, each text once. Ours works as `make captions` does:
images decoded ahead, batches, inference mode, bfloat16 on a GPU. The loop takes image after image in float32,
as documented.
The time to load is not counted. Both sides take turns in one process; each row has the median of the rounds.
Other work on the machine changes the rates, but the ratio less.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import open_clip
import torch
from groundingdino.datasets import transforms
from groundingdino.util.inference import predict
from PIL import Image
from segment_anything import SamPredictor
from torchvision.ops import box_convert, nms
from tqdm import tqdm
from transformers import AutoProcessor, Kosmos2ForConditionalGeneration

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))  # a plain checkout

from benchmarks.random_models import PHRASES, Size, quiet
from benchmarks.random_models.boxes import floor_for
from benchmarks.random_models.clip import write_clip
from benchmarks.random_models.grounded_sam import write_grounded_sam
from benchmarks.random_models.kosmos2 import write_kosmos2
from lass3d_core.errors import DataError
from lass3d_core.files.images import read_image
from lass3d_core.manifest.schema import EntitiesSpec, LvmSpec
from lass3d_core.records import Camera, FilePart, ImageFile, View
from preprocess.lvm import load_captioner, load_detector, load_encoder, params_of
from preprocess.lvm.box_search import BoxSearch
from preprocess.lvm.device import pick_device, pick_dtype
from preprocess.lvm.grounded_sam import DINO, GroundingDino, load_dino, load_sam
from preprocess.lvm.params import GroundedSamParams
from preprocess.stages.image_batches import Ask, answers

NEW_TOKENS = {"small": 16, "full": 64}
BOXES = 20
TEXTS_PER_IMAGE = 8


@dataclass(frozen=True)
class Contest:
    """The same work by an adapter and by the documented loop."""

    name: str
    count: int
    unit: str
    ours: Callable[[], object]
    loop: Callable[[], object]

    def row(self, rounds: int) -> str:
        """Units per second of both, and their ratio. The first round warms up and is not counted."""
        taken = [(seconds_of(self.ours), seconds_of(self.loop)) for _ in range(rounds + 1)][1:]
        ours, loop = (self.count / median(column) for column in zip(*taken))
        return f"{self.name:<12} {ours:>9.2f} {loop:>9.2f} {self.unit:<9} {ours / loop:>6.2f}"


def main() -> None:
    """Write the models, run the contests and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("image", type=Path, nargs="?", help="default: noise of 640 x 480 pixels")
    parser.add_argument("--size", choices=("small", "full"), default="small")
    parser.add_argument("--images", type=int, default=12, help="copies of the image (default: 12)")
    parser.add_argument("--rounds", type=int, default=2, help="measurements of both sides (default: 2)")
    options = parser.parse_args()
    quiet()
    device = pick_device("auto")
    with tempfile.TemporaryDirectory(prefix="lvm_throughput_") as name:
        folder = Path(name)
        views = copies(options.image, folder, options.images)
        rows = [
            contest(folder, options.size, views, device).row(options.rounds)
            for contest in tqdm((captions, entities, texts), "models", unit="model")
        ]
    numbers = str(pick_dtype("auto", device)).removeprefix("torch.")
    print(f"{options.size} models, {device} with {torch.get_num_threads()} threads, ours in {numbers}")
    print(f"{'adapter':<12} {'ours':>9} {'loop':>9} {'':<9} {'ratio':>6}")
    print("\n".join(rows))


def copies(image: Path | None, folder: Path, count: int) -> list[View]:
    """`count` copies of the image, or of noise, as files."""
    if image is None:
        image = folder / "noise.png"
        noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
        Image.fromarray(noise).save(image)
    camera = Camera(np.eye(3), np.eye(4), read_image(FilePart(image)).shape[:2])
    paths = [folder / f"{number}{image.suffix}" for number in range(count)]
    return [View(path.stem, FilePart(Path(shutil.copyfile(image, path))), camera) for path in paths]


def captions(folder: Path, size: Size, views: Sequence[View], device: torch.device) -> Contest:
    """KOSMOS-2: `kosmos2` against the example of the model card."""
    write_kosmos2(folder / "kosmos2", size)
    params = {
        "weights": str(folder / "kosmos2"),
        "max_new_tokens": NEW_TOKENS[size],
        "tiles": {"max_aspect": 100.0},
    }
    captioner = load_captioner(LvmSpec("kosmos2", params))
    processor = AutoProcessor.from_pretrained(folder / "kosmos2")
    model = Kosmos2ForConditionalGeneration.from_pretrained(folder / "kosmos2", dtype=torch.float32)
    model = model.to(device).eval()

    def loop() -> None:
        for view in views:
            image = Image.open(view.image.path).convert("RGB")
            inputs = processor(text="<grounding>An image of", images=image, return_tensors="pt").to(device)
            tokens = model.generate(**inputs, use_cache=True, max_new_tokens=NEW_TOKENS[size])
            (answer,) = processor.batch_decode(tokens, skip_special_tokens=True)
            processor.post_process_generation(answer)

    return Contest(
        "kosmos2",
        len(views),
        "images/s",
        lambda: answered(views, lambda images, _: captioner.caption(images)),
        loop,
    )


def entities(folder: Path, size: Size, views: Sequence[View], device: torch.device) -> Contest:
    """Grounding DINO and SAM: `grounded_sam` against `predict` and `SamPredictor` as in their READMEs."""
    names = write_grounded_sam(folder / "grounded_sam", size)
    params = params_of("entities", EntitiesSpec("grounded_sam", {**names, "box_floor": 0.0}))
    dino = GroundingDino(load_dino(params).to(device), params.dino, pick_dtype("auto", device))
    (boxes,) = BoxSearch(DINO, dino, params)([read_image(views[0].image)], [PHRASES])
    spec = EntitiesSpec("grounded_sam", {**names, "box_floor": floor_for(boxes, BOXES)})
    detector = load_detector(spec)
    return Contest(
        "grounded_sam",
        len(views),
        "images/s",
        lambda: answered(views, lambda images, _: detector.detect(images, [PHRASES] * len(images))),
        documented_detector(params_of("entities", spec), views, device),
    )


def documented_detector(
    params: GroundedSamParams, views: Sequence[View], device: torch.device
) -> Callable[[], None]:
    """The loop of the READMEs, with GroundedSAM's suppression and masks for the best `BOXES` boxes."""
    dino = load_dino(params).to(device)
    sam = SamPredictor(load_sam(params.sam).to(device))
    scaled = transforms.Compose(
        [
            transforms.RandomResize([params.dino.short_side], max_size=params.dino.long_side),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )

    def loop() -> None:
        for view in views:
            image = Image.open(view.image.path).convert("RGB")
            tensor, _ = scaled(image, None)
            found, scores, _ = predict(
                dino, tensor, " . ".join(PHRASES), params.box_floor, params.box_floor, str(device)
            )
            width, height = image.size
            boxes = box_convert(found, "cxcywh", "xyxy") * torch.tensor([width, height, width, height])
            best = boxes[nms(boxes, scores, params.max_iou)[:BOXES]]
            sam.set_image(np.asarray(image))
            asked = sam.transform.apply_boxes_torch(best, (height, width)).to(device)
            masks, _, _ = sam.predict_torch(None, None, boxes=asked, multimask_output=False)
            masks.cpu()

    return loop


def texts(folder: Path, size: Size, views: Sequence[View], device: torch.device) -> Contest:
    """CLIP's text encoder: `open_clip` against the example of the README."""
    write_clip(folder / "clip", size)
    encoder = load_encoder(LvmSpec("open_clip", {"weights": str(folder / "clip")}))
    model = open_clip.create_model(f"local-dir:{folder / 'clip'}").to(device).eval()
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder / 'clip'}")
    sentences = [
        f"a {PHRASES[number % len(PHRASES)]} beside the road, number {number}"
        for number in range(TEXTS_PER_IMAGE * len(views))
    ]

    @torch.no_grad()
    def loop() -> None:
        for sentence in sentences:
            features = model.encode_text(tokenizer([sentence]).to(device))
            (features / features.norm(dim=-1, keepdim=True)).cpu()

    return Contest("open_clip", len(sentences), "texts/s", lambda: encoder.encode(sentences), loop)


def answered(views: Sequence[View], ask: Ask[object]) -> None:
    """Ask as a stage does. Raises DataError if an image fails."""
    files = [ImageFile(view.image_id, view.image) for view in views]
    for answer in answers(files, ask, lambda units: None):
        if isinstance(answer, str):
            raise DataError(answer)


def seconds_of(work: Callable[[], object]) -> float:
    """Wall time of `work`. The answers are on the CPU, so the GPU has finished."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()

"""The cost of the paper's models at full size, as Markdown: seconds to load and per image, peak memory.

    python benchmarks/lvm_full_size.py [IMAGE] [--new-tokens 32] [--boxes 20]

Needs the packages of `make setup-lvm-paper`, no download: weights are random, which changes neither time nor
memory. They lie in a temporary folder (5 GB) until the end. Every model is loaded by its adapter in another
process, so that the peak is the memory of this model: all that is resident, with the mapped weight file.
The answers are meaningless, so the options set the tokens of an answer and the boxes of an image.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image
from tqdm import tqdm

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))  # a plain checkout

from benchmarks.random_models import PHRASES, quiet

Model = TypeVar("Model")
Result = TypeVar("Result")

CAPTION = "An image of a city street with parked cars along the road and a building behind the trees."


@dataclass(frozen=True)
class Cost:
    """A row of the table. gpu_gib: 0 without a GPU."""

    model: str
    work: str
    load_s: float
    work_s: float
    host_gib: float
    gpu_gib: float

    def row(self) -> str:
        """The row in Markdown."""
        memory = f"{self.host_gib:.1f}" + (f" + {self.gpu_gib:.1f} on the GPU" if self.gpu_gib else "")
        return f"| {self.model} | {self.work} | {self.load_s:.1f} | {self.work_s:.1f} | {memory} |"


def main() -> None:
    """Write and measure one model after the other, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("image", type=Path, nargs="?", help="default: noise of the size of a KITTI frame")
    parser.add_argument("--new-tokens", type=int, default=32, help="tokens per answer (default: 32)")
    parser.add_argument("--boxes", type=int, default=20, help="boxes per image (default: 20)")
    options = parser.parse_args()
    image = read(options.image)
    with tempfile.TemporaryDirectory(prefix="lvm_full_size_") as folder:
        costs = measure(Path(folder), image, options.new_tokens, options.boxes)
    height, width = image.shape[:2]
    print(f"{alone(machine)}; an image of {width} x {height}\n")
    print("| model, parameters | work per image | load, s | work, s | peak memory, GiB |")
    print("|---|---|---|---|---|")
    print("\n".join(cost.row() for cost in costs))


def read(path: Path | None) -> np.ndarray:
    """The image (H,W,3) uint8, or noise."""
    if path is None:
        return np.random.default_rng(0).integers(0, 256, (375, 1242, 3), dtype=np.uint8)
    return np.asarray(Image.open(path).convert("RGB"))


def measure(folder: Path, image: np.ndarray, new_tokens: int, boxes: int) -> list[Cost]:
    """The cost of every model. Each is written before it is loaded."""
    costs = []
    with tqdm(total=5, desc="models", unit="model") as bar:

        def noted(cost: Cost) -> None:
            costs.append(cost)
            tqdm.write(cost.row(), file=sys.stderr)
            bar.update()

        alone(write_captioner, folder)
        noted(alone(captioner, folder, image, new_tokens))
        names = alone(write_detector, folder)
        cost, found, floor = alone(dino, names, image, boxes)
        noted(cost)
        noted(alone(sam, names, image, found))
        noted(alone(detector, names, image, floor))
        alone(write_encoder, folder)
        noted(alone(encoder, folder))
    return costs


def alone(work: Callable[..., Result], *arguments: Any) -> Result:
    """The result of `work` in a new process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=quiet) as pool:
        return pool.submit(work, *arguments).result()


def machine() -> str:
    """The machine and the versions of the measurements."""
    import torch
    import transformers

    from preprocess.lvm.device import pick_device, pick_dtype

    on_gpu = torch.cuda.is_available()
    device = torch.cuda.get_device_name() if on_gpu else f"CPU, {torch.get_num_threads()} threads"
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}"
    return f"{device}, {pick_dtype('auto', pick_device('auto'))}; {versions}"


def write_captioner(folder: Path) -> None:
    from benchmarks.random_models.kosmos2 import write_kosmos2

    write_kosmos2(folder / "kosmos2", "full")


def write_detector(folder: Path) -> dict[str, Any]:
    from benchmarks.random_models.grounded_sam import write_grounded_sam

    return write_grounded_sam(folder / "grounded_sam", "full")


def write_encoder(folder: Path) -> None:
    from benchmarks.random_models.clip import write_clip

    write_clip(folder / "clip", "full")


def captioner(folder: Path, image: np.ndarray, new_tokens: int) -> Cost:
    """KOSMOS-2: a caption of `new_tokens` tokens."""
    from lass3d_core.manifest.schema import LvmSpec
    from preprocess.lvm import kosmos2, load_captioner
    from preprocess.lvm.params import TileParams
    from preprocess.lvm.tiles import tiles_of

    params = {"weights": str(folder / "kosmos2"), "max_new_tokens": new_tokens}
    tiles = len(tiles_of(image.shape[:2], TileParams()))
    return cost_of(
        f"KOSMOS-2, 1664 M (`{kosmos2.NAME}`)",
        f"{tiles} tiles, {new_tokens} tokens each",
        lambda: load_captioner(LvmSpec(kosmos2.NAME, params)),
        lambda model: model.caption([image]),
    )[0]


def dino(names: dict[str, Any], image: np.ndarray, boxes: int) -> tuple[Cost, np.ndarray, float]:
    """Grounding DINO. Also returns the best boxes_xyxy (boxes,4) and the floor that keeps as many."""
    from benchmarks.random_models.boxes import floor_for
    from lass3d_core.manifest.schema import EntitiesSpec
    from preprocess.lvm import params_of
    from preprocess.lvm.box_search import BoxSearch
    from preprocess.lvm.device import pick_device, pick_dtype
    from preprocess.lvm.grounded_sam import DINO, GroundingDino, load_dino

    params = params_of("entities", EntitiesSpec("grounded_sam", {**names, "box_floor": 0.0}))
    device = pick_device("auto")
    cost, found = cost_of(
        "Grounding DINO Swin-T, 173 M",
        f"{len(PHRASES)} phrases",
        lambda: GroundingDino(load_dino(params).to(device), params.dino, pick_dtype("auto", device)),
        lambda model: BoxSearch(DINO, model, params)([image], [PHRASES])[0],
    )
    return cost, found.xyxy[:boxes], floor_for(found, boxes)


def sam(names: dict[str, Any], image: np.ndarray, boxes: np.ndarray) -> Cost:
    """SAM ViT-B: a mask per box."""
    from lass3d_core.manifest.schema import EntitiesSpec
    from preprocess.lvm import params_of
    from preprocess.lvm.device import pick_device, pick_dtype
    from preprocess.lvm.grounded_sam import SegmentAnything, load_sam

    params = params_of("entities", EntitiesSpec("grounded_sam", names))
    device = pick_device("auto")
    return cost_of(
        "SAM ViT-B, 94 M",
        f"{len(boxes)} boxes",
        lambda: SegmentAnything(load_sam(params.sam).to(device), pick_dtype("auto", device)),
        lambda model: model.masks(image, boxes),
    )[0]


def detector(names: dict[str, Any], image: np.ndarray, floor: float) -> Cost:
    """Grounding DINO and SAM together, as the stage calls them."""
    from lass3d_core.manifest.schema import EntitiesSpec
    from preprocess.lvm import load_detector

    import_module("preprocess.lvm.grounded_sam")  # the import is not a part of the loading time
    spec = EntitiesSpec("grounded_sam", {**names, "box_floor": floor})
    return cost_of(
        "both (`grounded_sam`)",
        "the two together",
        lambda: load_detector(spec),
        lambda model: model.detect([image], [PHRASES]),
    )[0]


def encoder(folder: Path) -> Cost:
    """The text tower of CLIP."""
    from lass3d_core.manifest.schema import LvmSpec
    from preprocess.lvm import load_encoder, open_clip

    texts = [CAPTION, *PHRASES]
    return cost_of(
        f"CLIP ViT-B/16, 150 M (`{open_clip.NAME}`)",
        f"{len(texts)} texts",
        lambda: load_encoder(LvmSpec(open_clip.NAME, {"weights": str(folder / "clip")})),
        lambda model: model.encode(texts),
    )[0]


def cost_of(
    model: str, work: str, load: Callable[[], Model], do: Callable[[Model], Result]
) -> tuple[Cost, Result]:
    """Time and memory of loading a model and of its work on an image. Also returns the answer."""
    import torch

    started = time.perf_counter()
    loaded = load()
    load_s = time.perf_counter() - started
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        do(loaded)  # the first call also prepares the GPU
    started = time.perf_counter()
    answer = do(loaded)
    work_s = time.perf_counter() - started
    host_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # Linux counts in KiB
    gpu_gib = torch.cuda.max_memory_allocated() / 2**30 if on_gpu else 0.0
    return Cost(model, work, load_s, work_s, host_gib, gpu_gib), answer


if __name__ == "__main__":
    main()

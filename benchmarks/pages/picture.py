"""The picture of README: a real frame with the words of its image, the words on its points, and a prediction.

    python benchmarks/pages/picture.py RUN --scan 01/000000 --into docs/street.jpg

The frame of README is one of PandaSet (CC BY 4.0), and benchmarks/experiments/real_drives.yaml says where it
comes from. These commands made the run:

    make captions pairs DATASET=pandaset MANIFEST=benchmarks/experiments/real_drives.yaml
    make train DATASET=pandaset MANIFEST=benchmarks/experiments/real_drives.yaml METHOD=lass3d_plus \
        PRESET=drives RATIO=25 TAG=hundred SET="schedule.steps=100 schedule.validate_every=100"

One colour means one class in all four panels; a word has the colour of the class that it names.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

sys.path.insert(1, str(Path(__file__).resolve().parents[2]))  # a plain checkout

from lass3d_core.datasets import open_dataset
from lass3d_core.errors import exit_status
from lass3d_core.files.images import read_image
from lass3d_core.files.masks import decode
from lass3d_core.labels import IGNORE, LabelSpace
from lass3d_core.manifest.reading import read_manifest
from lass3d_core.model.pictures import GROUND, picture
from lass3d_core.records import NONE, PairedScan
from lass3d_core.words.lexicon import Lexicon
from train import evaluate
from train.config import SavedRun
from train.data.paired_scans import PairedScans
from train.report.artifacts import label_space, pictured_images
from train.report.images import PicturedImage
from train.runs.run import Run
from train.runs.run_folder import RunFolder

PANEL = (400, 640)  # height and width in pixels; two stand side by side
LETTERS = 36  # pixels: they are read at a third of their size
QUIET = (112, 120, 128)  # a point without a word, and a word that names no class
FRONT = ((3.0, -16.0), (48.0, 16.0))  # metres, x and y: what the front camera sees lies within
THICK = 5  # pixels of a picture of twice the size
WORDY = 0.02  # a mask with a smaller share of the image gets no word
SHADE = 0.45  # of the colours over the photo


def main() -> None:
    """Draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="the folder of a finished run")
    parser.add_argument("--manifest", type=Path, default=Path("benchmarks/experiments/real_drives.yaml"))
    parser.add_argument("--scan", required=True)
    parser.add_argument("--into", type=Path, required=True)
    given = parser.parse_args()
    torch.set_num_threads(1)
    manifest, name = read_manifest(given.manifest, SavedRun.load(given.run / "config.json").config.dataset)
    spec, artifacts = manifest.datasets[name], manifest.artifacts_of(name)
    run = Run.existing(RunFolder(given.run), PairedScans.open(artifacts), spec, torch.device("cpu"))
    scan, space = run.pairs.read(given.scan), label_space(run.pairs.header)
    image = pictured_images(run.pairs, [given.scan], open_dataset(spec, artifacts))[0]
    predicted = evaluate.predict(run.trained_predictor(), run.whole_scan(given.scan), run.device)
    words = Lexicon(space.names, run.synonyms)
    panels = [
        photo(image, words, space),
        cloud(scan, word_colours(scan, words, space), "the words on the points"),
        cloud(scan, class_colours(predicted, space), "predicted, from points alone"),
        cloud(scan, class_colours(truth_of(scan), space), "the truth"),
    ]
    together(panels, legend(scan, space)).save(given.into, quality=72, optimize=True)
    print(f"wrote {given.into}, {given.into.stat().st_size / 1000:.0f} kB")


def colour_of(phrase: str, words: Lexicon, space: LabelSpace) -> tuple[int, int, int]:
    """The colour of the class that `phrase` names; QUIET if it names none."""
    named = sorted(words.classes_of(phrase))
    return space.colours[named[0]] if named else QUIET


def photo(image: PicturedImage, words: Lexicon, space: LabelSpace) -> Image.Image:
    """The image with its masks in the colours of their words, and the words on the larger masks."""
    assert image.file is not None
    shown = read_image(image.file).astype(np.float64)
    masks = sorted(((decode(one.mask), one.phrase) for one in image.entities), key=lambda one: -one[0].sum())
    for mask, phrase in masks:
        shown[mask] = (1 - SHADE) * shown[mask] + SHADE * np.array(colour_of(phrase, words, space))
    height, width = PANEL
    scale = max(height / shown.shape[0], width / shown.shape[1])
    size = (round(shown.shape[1] * scale), round(shown.shape[0] * scale))
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    panel = Image.fromarray(shown.astype(np.uint8)).resize(size, Image.Resampling.LANCZOS)
    panel = panel.crop((left, top, left + width, top + height))
    said: list[str] = []
    for mask, phrase in masks:
        if mask.mean() >= WORDY and phrase not in said:
            said.append(phrase)
            rows, columns = np.nonzero(mask)
            half = font().getlength(phrase) / 2 + 10
            x = float(np.clip(np.median(columns) * scale - left, half, width - half))
            write(panel, phrase, (x, float(np.median(rows) * scale - top)), "mm")
    return titled(panel, "words found in the image")


def cloud(scan: PairedScan, colours: np.ndarray, title: str) -> Image.Image:
    """The points in front of the sensor, from behind and above."""
    (x0, y0), (x1, y1) = FRONT
    x, y = scan.points[:, 0], scan.points[:, 1]
    near = (x > x0) & (x < x1) & (y > y0) & (y < y1)
    large = picture(scan.points[near], colours[near], (2 * PANEL[0], 2 * PANEL[1]))
    return titled(filled(thickened(large)), title)


def thickened(image: np.ndarray) -> np.ndarray:
    """The picture with every point THICK pixels wide, so that it is seen on a small screen."""
    thick = image.copy()
    for dv, du in np.ndindex(THICK, THICK):
        moved = np.roll(image, (dv, du), (0, 1))
        empty = (thick == GROUND).all(axis=2)
        thick[empty] = moved[empty]
    return thick


def filled(image: np.ndarray) -> Image.Image:
    """The part of a picture (H,W,3) that holds nearly all of its points, as large as a panel."""
    rows, columns = np.nonzero((image != GROUND).any(axis=2))
    (top, bottom), (left, right) = (np.quantile(one, (0.003, 0.997)) for one in (rows, columns))
    height = max(bottom - top, (right - left) * PANEL[0] / PANEL[1]) * 1.06
    y, x, width = (top + bottom) / 2, (left + right) / 2, height * PANEL[1] / PANEL[0]
    box = tuple(round(float(one)) for one in (x - width / 2, y - height / 2, x + width / 2, y + height / 2))
    ground = Image.new("RGB", (box[2] - box[0], box[3] - box[1]), GROUND)
    ground.paste(Image.fromarray(image), (-box[0], -box[1]))
    return ground.resize(PANEL[::-1], Image.Resampling.LANCZOS)


def word_colours(scan: PairedScan, words: Lexicon, space: LabelSpace) -> np.ndarray:
    """(N,3) uint8: the colour of each point's phrase."""
    table = [colour_of(phrase, words, space) for phrase in scan.pairs.phrases]
    slots = scan.pairs.entity.astype(np.int64)
    return np.array([*table, QUIET], np.uint8)[np.where(slots == NONE, len(table), slots)]


def class_colours(labels: np.ndarray, space: LabelSpace) -> np.ndarray:
    """(N,3) uint8: the colour of each point's class."""
    table = np.array([*space.colours, QUIET], np.uint8)
    return table[np.where(labels == IGNORE, len(space.names), labels)]


def truth_of(scan: PairedScan) -> np.ndarray:
    """(N,) train ids."""
    return np.full(len(scan.points), IGNORE, np.uint8) if scan.labels is None else scan.labels


def legend(scan: PairedScan, space: LabelSpace) -> list[tuple[str, tuple[int, int, int]]]:
    """Name and colour of every class that has a fiftieth of the points."""
    truth = truth_of(scan)
    shares = np.bincount(truth[truth != IGNORE], minlength=len(space.names)) / len(truth)
    return [
        (space.names[label], space.colours[label]) for label in np.argsort(-shares) if shares[label] > 0.02
    ]


def together(panels: Sequence[Image.Image], names: Sequence[tuple[str, tuple[int, int, int]]]) -> Image.Image:
    """Two panels in a row, and a line of names below."""
    height, width = PANEL
    gap, strip = 6, 2 * LETTERS
    rows = -(-len(panels) // 2)
    whole = Image.new("RGB", (2 * width + gap, rows * (height + gap) + strip), GROUND)
    for place, panel in enumerate(panels):
        whole.paste(panel, (place % 2 * (width + gap), place // 2 * (height + gap)))
    x, y = LETTERS // 2, whole.height - strip // 2
    for name, colour in names:
        ImageDraw.Draw(whole).rectangle((x, y - 11, x + 22, y + 11), fill=colour)
        write(whole, name, (x + 32, y), "lm")
        x += 32 + round(font().getlength(name)) + LETTERS
    return whole


def titled(panel: Image.Image, title: str) -> Image.Image:
    write(panel, title, (14, PANEL[0] - 12), "ld")
    return panel


def write(panel: Image.Image, text: str, place: tuple[float, float], anchor: str) -> None:
    """White letters with a dark border, to be read on any ground."""
    drawing = ImageDraw.Draw(panel)
    drawing.text(place, text, (255, 255, 255), font(), anchor, stroke_width=3, stroke_fill=(20, 22, 25))


def font() -> ImageFont.FreeTypeFont:
    found = ImageFont.load_default(LETTERS)
    assert isinstance(found, ImageFont.FreeTypeFont)
    return found


if __name__ == "__main__":
    sys.exit(exit_status(main, "run the same command again"))

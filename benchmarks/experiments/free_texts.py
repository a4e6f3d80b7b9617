"""Average precision of the query head for texts that are not in the data.

    python benchmarks/experiments/free_texts.py --texts | xargs python -m preprocess embed --manifest M
    python benchmarks/experiments/free_texts.py --manifest M --seeds 0 1 2 3 4 5 6 7

The list of texts was fixed before the first query. A text that is a phrase of the data is refused, because
the query head was trained with it. Needed are the runs lass3d_plus-demo-r2-s<seed> of the manifest and a real
text encoder: the stand-in knows only the words of its table.
The other columns: the average precision of the class name as a query; the share of points of the class, which
is the average precision of a random order; and the phrase of the data that the encoder finds most similar to
the text.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from lass3d_core.errors import DataError, exit_status
from lass3d_core.files.query_texts import phrase_rows, query_rows
from lass3d_core.labels import class_phrase
from lass3d_core.manifest.reading import read_manifest
from train.config import SavedRun
from train.data.evaluation_scans import scan_loader
from train.data.paired_scans import PairedScans
from train.outputs.query import QueryNetwork
from train.outputs.retrieval import average_precision, count
from train.runs.run import Run
from train.runs.run_folder import RunFolder

MEANT = {
    "automobile": "car",
    "a parked automobile": "car",
    "cargo vehicle": "truck",
    "semi-trailer": "truck",
    "a man standing": "person",
    "somebody riding a bicycle": "bicyclist",
    "highway": "road",
    "parking space for cars": "parking",
    "walkway for people": "sidewalk",
    "apartment block": "building",
    "wooden barrier": "fence",
    "hedge": "vegetation",
    "shrubs and leaves": "vegetation",
    "stem of a tree": "trunk",
    "turf": "terrain",
    "street light column": "pole",
    "stop sign": "traffic-sign",
}
"""Text -> the class of the points that it should find."""


def main() -> None:
    """Print the table or, with --texts, the flags that embed its texts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--manifest", type=Path, default=Path("data_manifest.yaml"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--texts", action="store_true")
    options = parser.parse_args()
    if options.texts:
        print("--classes", *(f"--text={shlex.quote(text)}" for text in MEANT))
        return
    torch.set_num_threads(1)
    runs = [trained(options.manifest, seed) for seed in options.seeds]
    pairs = runs[0].pairs
    phrases = phrase_rows(pairs.folder)
    known = phrases.keys() & MEANT.keys()
    if known:
        raise DataError(f"phrases of the data, which the head was trained with: {', '.join(sorted(known))}")
    names = pairs.header.class_names
    precision, share = map(np.array, zip(*(precisions(run, names) for run in runs)))
    print(f"{'text':26} {'AP':>5}  {'class':12} {'its name':>8}  {'share':>5}  most similar phrase")
    nearest = nearest_phrases(query_rows(pairs.folder, tuple(MEANT)), phrases)
    for number, (text, name) in enumerate(MEANT.items()):
        index = names.index(name)
        figures = precision[:, number].mean(), precision[:, len(MEANT) + index].mean(), share[0, index]
        found, own, by_chance = (100 * figure for figure in figures)
        print(f"{text:26} {found:5.1f}  {name:12} {own:8.1f}  {by_chance:5.1f}  {nearest[number]}")
    means = 100 * precision[:, : len(MEANT)].mean(axis=1)
    print("mean over texts, seed by seed:", ", ".join(f"{mean:.1f}" for mean in means))
    print("runs:", ", ".join(run.saved.digest[:12] for run in runs))


def trained(manifest_path: Path, seed: int) -> Run:
    """The finished run for the manifest's default data set."""
    manifest, _ = read_manifest(manifest_path)
    folder = RunFolder(manifest.runs / manifest.default / f"lass3d_plus-demo-r2-s{seed}")
    pairs = PairedScans.open(manifest.artifacts_of(manifest.default))
    config = SavedRun.load(folder.config).config
    return Run.of(config, pairs, manifest.datasets[manifest.default], folder, torch.device("cpu"))


def nearest_phrases(rows: np.ndarray, phrases: Mapping[str, np.ndarray]) -> list[str]:
    """For each of the text rows (T,D), the phrase with the highest cosine, and the cosine."""
    others = np.stack(list(phrases.values())).astype(np.float32)
    unit, others = (some / np.linalg.norm(some, axis=1, keepdims=True) for some in (rows, others))
    cosine = unit @ others.T
    return [
        f"{list(phrases)[best]} {cosine[text, best]:.2f}" for text, best in enumerate(cosine.argmax(axis=1))
    ]


def precisions(run: Run, names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Average precisions on validation scans, of every text, then of every class name; and shares (C,)."""
    wanted = [*map(names.index, MEANT.values()), *range(len(names))]
    network, rows = QueryNetwork.of(run), query_rows(run.pairs.folder, (*MEANT, *map(class_phrase, names)))
    scans = run.whole_scans_of(run.pairs.labelled_scans("val"))
    found, seen = count(network, scan_loader(scans, 0), rows, wanted)
    shares = found[len(MEANT) :].sum(axis=1) / seen[0].sum()
    return np.array([average_precision(*one) for one in zip(found, seen)]), shares


if __name__ == "__main__":
    raise SystemExit(exit_status(main))

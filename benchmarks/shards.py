"""Size and reading time of a pair shard, against dense features per point.

    python benchmarks/shards.py [--scans 3] [--points 120000] [--rounds 9]

Simulated streets of one scan each (a LiDAR of 64 beams, six cameras, true masks), paired as by `make pairs`.
Bytes are the size of the whole file per point. Milliseconds are per scan:

plain, compact: a pair shard: coordinates, remission, label, index of image and entity, checksums, names,
           record. `ShardReader.read` reads all of it and verifies every checksum. `first`: the reader has
           opened the file but read no scan yet, so it also checks how each array is stored;
texts:     the text rows of a scan in CLIP's size (per image 24 rows of 512 float16, one row per phrase) and
           their names, read by `TextRowsFile`;
dense:     768 float16 per point, as for distillation from 2D features: `torch.save`, one file per scan, as in
           OpenScene (.pt), or a plain array (.npy), or the array copied out of a memory map. Coordinates and
           labels are not included.

Files are in the page cache. Everything runs in turn in one thread; times are processor times, the median of
the rounds.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch
from tqdm import tqdm

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))  # a plain checkout

from benchmarks.six_cameras.frames import simulated
from lass3d_core.files.fingerprint import Record
from lass3d_core.files.shards import ShardHeader, ShardReader, write_shard
from lass3d_core.files.text_table import CaptionRows, TextNames, TextRowsFile, write_text_rows
from lass3d_core.manifest.schema import PairsSpec
from lass3d_core.records import PairedScan
from preprocess.simulation.street.materials import MATERIALS
from preprocess.stages.pairing import pair

DENSE_DIM, TEXT_DIM, CAPTION_ROWS = 768, 512, 24
SHARDS = ("plain", "compact")
Side = Callable[[PairedScan], Callable[[], object]]  # prepares a scan; the function that it returns is timed
RECORD = Record(stage="benchmark", schema=1, params={}, inputs={}, upstream={})


def main() -> None:
    """Write the files into a temporary folder, read them, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scans", type=int, default=3, help="streets of one scan each (default: 3)")
    parser.add_argument("--points", type=int, default=120_000, help="per scan (default: 120000)")
    parser.add_argument("--rounds", type=int, default=9, help="measurements of each side (default: 9)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    numbers = tqdm(range(arguments.scans), "making scans", unit="scan", leave=False)
    scans = [paired_street(number, arguments.points) for number in numbers]
    with tempfile.TemporaryDirectory() as scratch:
        sizes = written(Path(scratch), scans)
        seconds = measured(Path(scratch), scans, arguments.rounds)
    print(table(sizes, seconds, arguments.scans * arguments.points))


def paired_street(number: int, count: int) -> PairedScan:
    """One paired street. Its number is in the image ids, so that no two scans share a caption."""
    frame = simulated(count, number)
    scan = pair(frame.scan, frame.found, PairsSpec())
    image_ids = tuple(f"{number:06d}/{image_id}" for image_id in scan.pairs.image_ids)
    return replace(scan, scan_id=f"{number:06d}", pairs=replace(scan.pairs, image_ids=image_ids))


def written(folder: Path, scans: Sequence[PairedScan]) -> dict[str, int]:
    """Write the files of every side. Returns side -> bytes."""
    for name in SHARDS:
        write_shard(folder / f"{name}.h5", header(), scans, compact=name == "compact")
    write_texts(folder / "texts.h5", scans)
    rng = np.random.default_rng(0)
    for scan in tqdm(scans, "writing dense features", unit="scan", leave=False):
        dense = rng.standard_normal((len(scan.points), DENSE_DIM), np.float32).astype(np.float16)
        np.save(folder / f"{scan.scan_id}.npy", dense)
        torch.save({"feat": torch.from_numpy(dense)}, folder / f"{scan.scan_id}.pt")
    files = {name: [folder / f"{name}.h5"] for name in (*SHARDS, "texts")}
    files |= {f"dense {kind}": list(folder.glob(f"*{kind}")) for kind in (".npy", ".pt")}
    return {name: sum(path.stat().st_size for path in paths) for name, paths in files.items()}


def header() -> ShardHeader:
    """The header of a street's shard."""
    return ShardHeader(
        dataset="street",
        shard="00",
        split="train",
        class_names=tuple(material.name for material in MATERIALS),
        colours=((0, 0, 0),) * len(MATERIALS),
        raw_ids=tuple(material.raw_id for material in MATERIALS),
        feature_names=("remission",),
        record=RECORD,
        producer="benchmark",
    )


def write_texts(path: Path, scans: Sequence[PairedScan]) -> None:
    """Write a caption for every image and a row for every phrase, filled with noise."""
    rng = np.random.default_rng(0)
    image_ids = [image_id for scan in scans for image_id in scan.pairs.image_ids]
    phrases = sorted({phrase for scan in scans for phrase in scan.pairs.phrases})
    names = TextNames(image_ids, np.arange(len(image_ids), dtype=np.int32), image_ids, phrases)
    rows = [rng.standard_normal((CAPTION_ROWS, TEXT_DIM)).astype(np.float16) for _ in image_ids]
    captions = CaptionRows.of(rows, [row[0] for row in rows], TEXT_DIM)
    phrase_rows = rng.standard_normal((len(phrases), TEXT_DIM)).astype(np.float16)
    write_text_rows(path, names, [captions], phrase_rows, RECORD)


def measured(folder: Path, scans: Sequence[PairedScan], rounds: int) -> dict[str, float]:
    """Side -> processor seconds per scan, the median of the rounds."""
    readers = {name: ShardReader(folder / f"{name}.h5") for name in SHARDS}  # stay open, as in training
    texts = TextRowsFile(folder / "texts.h5")
    place = {image_id: number for number, image_id in enumerate(texts.image_ids)}

    def rows_of(scan: PairedScan) -> None:
        texts.captions([place[image_id] for image_id in scan.pairs.image_ids])
        row_of = {phrase: row for row, phrase in enumerate(texts.phrases)}
        texts.phrase_rows[[row_of[phrase] for phrase in scan.pairs.phrases]]

    def opened(path: Path) -> ShardReader:
        reader = ShardReader(path)
        assert reader.scan_ids
        return reader

    def first(name: str) -> Side:
        return lambda scan: partial(opened(folder / f"{name}.h5").read, scan.scan_id)

    def mapped(path: Path) -> np.ndarray:
        return np.array(np.load(path, mmap_mode="r"))

    sides: dict[str, Side] = {
        "plain": lambda scan: partial(readers["plain"].read, scan.scan_id),
        "compact": lambda scan: partial(readers["compact"].read, scan.scan_id),
        "plain, first": first("plain"),
        "compact, first": first("compact"),
        "texts": lambda scan: partial(rows_of, scan),
        "dense .npy": lambda scan: partial(np.load, folder / f"{scan.scan_id}.npy"),
        "dense .npy, mapped": lambda scan: partial(mapped, folder / f"{scan.scan_id}.npy"),
        "dense .pt": lambda scan: partial(torch.load, folder / f"{scan.scan_id}.pt", weights_only=True),
    }
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in tqdm(range(rounds + 1), unit="round", leave=False):
        for name, read in sides.items():
            for scan in scans:
                work = read(scan)
                start = time.process_time()
                work()
                taken[name].append(time.process_time() - start)
    return {name: median(values[len(scans) :]) for name, values in taken.items()}  # the first round warms up


def table(sizes: dict[str, int], seconds: dict[str, float], points: int) -> str:
    """One line per side, and the ratios."""
    lines = [f"{'':<20} {'bytes/point':>12} {'ms/scan':>8}"]
    for name, taken in seconds.items():
        size = sizes.get(name)
        lines.append(f"{name:<20} {'' if size is None else f'{size / points:.2f}':>12} {taken * 1e3:>8.2f}")
    for name in SHARDS:
        faster = [seconds[way] / seconds[f"{name}, first"] for way in ("dense .pt", "dense .npy")]
        lines.append(f"dense .pt, .npy / {name}, first: {faster[0]:.0f}, {faster[1]:.0f} in time")
        smaller = [sizes["dense .pt"] / size for size in (sizes[name], sizes[name] + sizes["texts"])]
        lines.append(f"dense / {name}: {smaller[0]:.0f} in size, {smaller[1]:.0f} with the texts")
        for way in ("dense .pt", "dense .npy"):
            faster = [seconds[way] / taken for taken in (seconds[name], seconds[name] + seconds["texts"])]
            lines.append(f"{way} / {name}: {faster[0]:.0f} in time, {faster[1]:.0f} with the texts")
    return "\n".join(lines)


if __name__ == "__main__":
    main()

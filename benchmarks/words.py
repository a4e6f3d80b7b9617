"""How many points of real frames get a phrase, and how often it names their class, for each source of words.

    python benchmarks/words.py [--work FOLDER] [--ways segmenter "segmenter + vote"]

The frames are those of SemanticKITTI and PandaSet in the folder LASS3D_SAMPLES, by default shared/samples
beside the checkout. The network is the .tflite file with Cityscapes' classes in LASS3D_MODELS, by default
shared/models. What is absent is named and left out.

For each data set and way to get words, a manifest is written and the ordinary commands run: `captions`,
`pairs`, and `audit` with all labels. The shares are those of audit.json. The ways:

palette, segmenter:  the captioner and the detector of that name; a single view names each point;
looks:               the detector also sees each image mirrored and in tiles, which only a vote hears;
vote:                the images of each scan, and of up to 10 before and 10 after it, vote.

A vote adds points, which may be harder ones. So one column has the points alone to which `segmenter` gives a
phrase; one of them that a way leaves without a phrase counts as not named.

The costs are those of `captions` and `pairs` with one worker and one thread: processor time without the start
of the program but with the loading of the model, and the peak of the resident memory. With --work the folder
is kept, and a later call makes only what is not there. It shows the costs that the first one measured.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from tqdm import tqdm

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))  # a plain checkout

from benchmarks.words_tables import Cost, Result, tables
from lass3d_core.files.shards import ShardReader
from lass3d_core.labels import IGNORE
from lass3d_core.records import NONE, PairedScan
from lass3d_core.words.lexicon import Lexicon

ROOT = Path(__file__).parents[1]
SAMPLES = Path(os.environ.get("LASS3D_SAMPLES", ROOT.parent / "shared" / "samples"))
MODELS = Path(os.environ.get("LASS3D_MODELS", ROOT.parent / "shared" / "models"))
NETWORK = "deeplab_mobilenet_edgetpu_slim_cityscapes_quant.tflite"
LOOKS = ("mirrored", "tiled")
VOTE = {"earlier": 10, "later": 10}
MADE_FROM_IMAGES = ("image_captions", "entities", "text_embeddings.h5", "inputs.json")


@dataclass(frozen=True)
class Frames:
    """Sequences of a data set in SemanticKITTI's layout. folder: below LASS3D_SAMPLES."""

    key: str  # of the data set in the manifest
    name: str
    folder: str
    sequences: tuple[str, ...]

    def there(self) -> list[str]:
        """The sequences that are there; the others are named on stderr."""
        places = {name: SAMPLES / self.folder / "sequences" / name for name in self.sequences}
        for place in places.values():
            if not place.is_dir():
                print(f"left out: no frames at {place}; set LASS3D_SAMPLES", file=sys.stderr)
        return [name for name, place in places.items() if place.is_dir()]


@dataclass(frozen=True)
class Way:
    """A way to get words."""

    model: str
    looks: bool = False
    vote: bool = False

    def __str__(self) -> str:
        return self.model + " + looks" * self.looks + " + vote" * self.vote

    @property
    def folder(self) -> str:
        """The name of its folder."""
        return str(self).replace(" + ", "-")

    @property
    def without_vote(self) -> Way:
        """The way that looks at the images as this one does, and lets a single view name each point."""
        return Way(self.model, self.looks)

    def manifest(self, frames: Frames, sequences: Sequence[str], network: Path) -> dict[str, Any]:
        """The content of the manifest."""
        params = {"weights": str(network), "labels": "cityscapes"} if self.model == "segmenter" else {}
        model = {"name": self.model, "params": params}
        root = str((SAMPLES / frames.folder).resolve())
        data = {"reader": "semantickitti", "root": root, "splits": {"train": list(sequences)}}
        return {
            "schema": 1,
            "default": frames.key,
            "workers": 1,
            "datasets": {frames.key: data},
            "image_captions": model,
            "entities": model | ({"looks": list(LOOKS)} if self.looks else {}),
            "text_embeddings": {"name": "hashing"},
            "pairs": {"vote": VOTE} if self.vote else {},
        }


DATA = (
    Frames("semantickitti", "SemanticKITTI", "semantickitti", ("00", "02", "04", "05", "07", "10")),
    Frames("pandaset", "PandaSet", "pandaset_as_semantickitti", ("00", "01")),
)
SEGMENTER = Way("segmenter")
WAYS = (
    Way("palette"),
    SEGMENTER,
    Way("segmenter", looks=True),
    Way("segmenter", vote=True),
    Way("segmenter", looks=True, vote=True),
)


@dataclass(frozen=True)
class Ran:
    """What a command took: processor time, and the peak of its resident memory."""

    seconds: float
    peak_mb: float


def main() -> None:
    """Run all ways and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--work", type=Path, help="a folder that is kept and resumed (default: a temporary one)"
    )
    names = [str(way) for way in WAYS]
    parser.add_argument("--ways", nargs="+", choices=names, default=names, help="default: all")
    chosen = parser.parse_args()
    ways = [way for way in WAYS if str(way) in chosen.ways]
    with tempfile.TemporaryDirectory(prefix="lass3d-words-") as scratch:
        print(tables(list(measured((chosen.work or Path(scratch)).resolve(), ways))))


def measured(work: Path, ways: Sequence[Way]) -> Iterator[Result]:
    """Make and measure every way on all frames that are there."""
    network = (MODELS / NETWORK).resolve()
    if not network.is_file():
        print(f"left out: no network at {network}, so no segmenter; set LASS3D_MODELS", file=sys.stderr)
        ways = [way for way in ways if way.model != "segmenter"]
    found = [(frames, sequences) for frames in DATA if (sequences := frames.there())]
    with tqdm(total=len(found) * len(ways), unit="way", disable=None) as bar:
        for frames, sequences in found:
            for way in ways:
                bar.set_description(f"{frames.name}: {way}")
                yield make(work, frames, sequences, way, network)
                bar.update()


def make(work: Path, frames: Frames, sequences: Sequence[str], way: Way, network: Path) -> Result:
    """Run the commands of one way and read what they wrote."""
    place = work / way.folder
    place.mkdir(parents=True, exist_ok=True)
    manifest = place / f"{frames.key}.yaml"
    manifest.write_text(yaml.safe_dump(way.manifest(frames, sequences, network)))
    artifacts, earlier = (work / one.folder / "artifacts" / frames.key for one in (way, way.without_vote))
    if way.vote and not artifacts.exists() and earlier.exists():
        copy_of_images(earlier, artifacts)
    folders = [SAMPLES / frames.folder / "sequences" / name for name in sequences]
    captions = cost_of("captions", manifest, artifacts / "entities", files_in(folders, "image_2"))
    pairs = cost_of("pairs", manifest, artifacts / "pairs", files_in(folders, "velodyne"))
    command("audit", manifest, "--ratio", "100")
    reference = work / SEGMENTER.folder / "artifacts" / frames.key / "pairs"
    comparable = way.model == SEGMENTER.model and reference.is_dir()
    return Result(
        data=frames.name,
        way=str(way),
        audit=json.loads((artifacts / "audit" / "audit.json").read_text()),
        same=truth_where_named(both(reference, artifacts / "pairs")) if comparable else None,
        captions=captions,
        pairs=pairs,
    )


def files_in(folders: Iterable[Path], name: str) -> int:
    """How many files the folder `name` of each of the folders has, together."""
    return sum(len(list((folder / name).iterdir())) for folder in folders)


def cost_of(name: str, manifest: Path, made: Path, count: int) -> Cost | None:
    """Run a command, and say what it took when nothing was made yet; None if that is unknown.

    made: the folder that it writes. What it took is noted beside the manifest.
    """
    noted, untouched = manifest.with_name(f"{manifest.stem}-{name}.json"), not made.exists()
    first = command(name, manifest)
    if untouched:
        start = command(name, manifest).seconds  # finds everything made
        noted.write_text(json.dumps(asdict(Cost(count, first.seconds - start, first.peak_mb))))
    return Cost(**json.loads(noted.read_text())) if noted.exists() else None


def copy_of_images(source: Path, target: Path) -> None:
    """Copy what was made from the images, so that nothing looks at them again."""
    target.mkdir(parents=True)
    for name in MADE_FROM_IMAGES:
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name)
        elif (source / name).exists():
            shutil.copyfile(source / name, target / name)


def command(name: str, manifest: Path, *options: str) -> Ran:
    """Run a command of `preprocess` with one thread. Raises SystemExit with its own words if it fails."""
    line = [sys.executable, "-m", "preprocess", name, "--manifest", str(manifest), *options]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(line, stdout=out, stderr=subprocess.STDOUT, env=environment)
        # Of this child alone. Its peak starts at the size of this process, which is smaller.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        printed = out.read()
    if process.returncode:
        raise SystemExit(f"{' '.join(line)}:\n{printed}")
    return Ran(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def both(first: Path, second: Path) -> Iterator[tuple[PairedScan, PairedScan, Sequence[str]]]:
    """Each scan of two folders of pair shards, with the names of the classes."""
    for path in sorted(first.glob("*.h5")):
        with closing(ShardReader(path)) as one, closing(ShardReader(second / path.name)) as other:
            for scan_id in one.scan_ids:
                yield one.read(scan_id), other.read(scan_id), one.header.class_names


def truth_where_named(scans: Iterable[tuple[PairedScan, PairedScan, Sequence[str]]]) -> float | None:
    """Of the labelled points with a phrase in the first scan, the share that the second one names rightly.

    scans: the same scan twice, paired in two ways, and the names of the C classes. None of no point.
    """
    points = right = 0
    for first, second, names in scans:
        assert first.labels is not None
        lexicon = Lexicon(names, {})
        judged = (first.labels != IGNORE) & (first.pairs.entity != NONE)
        means = np.zeros((len(second.pairs.phrases) + 1, len(names)), bool)  # the last row: without a phrase
        for row, phrase in zip(means, second.pairs.phrases):
            row[list(lexicon.classes_of(phrase))] = True
        points += int(judged.sum())
        right += int(means[second.pairs.entity[judged], first.labels[judged]].sum())
    return right / points if points else None


if __name__ == "__main__":
    main()

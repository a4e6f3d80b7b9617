"""`lass3d-predict` and `make predict`: labels for any cloud file or folder of them.

Per cloud it writes NAME.label (uint32 raw ids, as SemanticKITTI has them) and NAME.ply (coloured, with label
and confidence), and for all of them one page, index.html.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from lass3d_core.clouds import SUFFIXES, read_cloud
from lass3d_core.clouds.ply import write_ply
from lass3d_core.errors import DataError, exit_status
from lass3d_core.files.atomic import atomic_write, write_text
from lass3d_core.model.columns import features_of
from lass3d_core.model.page import SeenCloud, page, seen_cloud
from lass3d_core.model.predict import Model, load
from lass3d_core.program import CommandLine, command_line, whole_number
from lass3d_core.progress.bars import progress_bar


@dataclass(frozen=True)
class Settings:
    """How clouds are read and predicted. columns: of files without names. scales: divisors by feature."""

    columns: tuple[str, ...] | None = None
    scales: tuple[tuple[str, float], ...] = ()
    tta: int = 1
    write_clouds: bool = True


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0, 2 for an error that the user can mend, 130 for Ctrl-C."""
    given = _parser().parse_args(arguments)

    def predict() -> None:
        settings = Settings(_columns(given.columns), _scales(given.scale), given.tta, not given.no_ply)
        model = load(given.model, given.device)
        folder = predict_files(model, given.model.name, given.input, given.into, settings)
        print(f"wrote {folder / 'index.html'}")

    return exit_status(predict, "run the same command again")


def predict_files(model: Model, model_name: str, source: Path, into: Path | None, settings: Settings) -> Path:
    """Predict the cloud or the folder of clouds at `source`; gives the folder that was written.

    into: the folder, `source` with "-predicted" behind its name if None.
    Raises DataError naming the cloud that is wrong; what was written before it stays.
    """
    clouds = clouds_in(source)
    folder = into or source.with_name(f"{source.stem if source.is_file() else source.name}-predicted")
    _require_place(source, folder, clouds)
    base = source if source.is_dir() else source.parent
    seen: list[SeenCloud] = []
    bar = progress_bar(clouds, desc="predicting", unit="cloud", disable=len(clouds) == 1)
    for path in bar:
        name = path.relative_to(base).as_posix()
        target = folder / path.relative_to(base)
        seen.append(_predict_one(model, path, name, target, settings, place=len(seen)))
    write_text(folder / "index.html", page(model.card, model_name, seen, settings.tta))
    return folder


def clouds_in(source: Path) -> list[Path]:
    """The cloud file at `source`, or all that lie below the folder. Raises DataError if there is none."""
    if not source.exists():
        raise DataError(f"{source} does not exist; give a cloud's file or a folder")
    if source.is_file():
        return [source]
    found = sorted(path for path in source.rglob("*") if path.is_file() and path.suffix.lower() in SUFFIXES)
    if not found:
        raise DataError(f"{source} holds no cloud ({', '.join(SUFFIXES)}); give another folder")
    return found


def _predict_one(
    model: Model, path: Path, name: str, target: Path, settings: Settings, place: int
) -> SeenCloud:
    cloud = read_cloud(path, settings.columns if path.suffix.lower() in (".bin", ".npy") else None)
    columns = features_of(cloud, model.card.features, dict(settings.scales), str(path))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            prediction = model.predict(cloud.points, columns.features, tta=settings.tta)
        except DataError as error:
            raise DataError(f"{path}: {error}") from None
    notes = [*columns.notes, *(str(warning.message) for warning in caught)]
    for note in notes:
        tqdm.write(f"{path}: {note}", file=sys.stderr)
    labels, confidence = prediction.labels, prediction.confidence
    with atomic_write(target.with_suffix(".label")) as part:
        np.array(model.card.raw_ids, np.uint32)[labels].tofile(part)
    if settings.write_clouds:
        table = np.array(model.colours, np.uint8)
        meaning = [f"{label} = {class_name}" for label, class_name in enumerate(model.classes)]
        scalars = {"label": labels, "confidence": confidence}
        write_ply(
            target.with_suffix(".ply"), cloud.points.astype(np.float32), table[labels], scalars, meaning
        )
    return seen_cloud(model.card, name, cloud.points, labels, confidence, notes, place)


def _require_place(source: Path, folder: Path, clouds: Sequence[Path]) -> None:
    """Raises DataError if what is written would lie among what is read, or over itself."""
    if folder.is_file():
        raise DataError(f"{folder} is a file; give a folder with INTO (--into)")
    if source.is_dir() and folder.resolve().is_relative_to(source.resolve()):
        raise DataError(
            f"{folder} lies inside {source}; its clouds would be read next time; give another INTO (--into)"
        )
    if source.is_file() and (folder / source.name).resolve() == source.resolve():
        raise DataError(f"{folder} holds {source.name} itself; give another folder with INTO (--into)")
    taken: dict[Path, Path] = {}
    for path in clouds:
        other = taken.setdefault(path.with_suffix(""), path)
        if other is not path:
            raise DataError(f"{other} and {path} would be written to one file; predict them one at a time")


def _columns(text: str | None) -> tuple[str, ...] | None:
    return tuple(name.strip() for name in text.split(",")) if text else None


def _scales(texts: Sequence[str]) -> tuple[tuple[str, float], ...]:
    scales = []
    for text in texts:
        name, _, value = text.partition("=")
        try:
            scale = float(value)
        except ValueError:
            scale = 0.0
        if not name or not scale > 0:
            raise DataError(f"SCALE (--scale) {text!r} is not of the form name=number, such as intensity=255")
        scales.append((name, scale))
    return tuple(scales)


def _parser() -> CommandLine:
    what = "Label every point of a cloud with a finished model."
    parser = command_line("lass3d-predict", "lass3d_core.model", what)
    parser.add_argument("model", type=Path, help="a model.safetensors, as training and `make model` write it")
    parser.add_argument("input", type=Path, help=f"a cloud ({', '.join(SUFFIXES)}) or a folder of them")
    parser.add_argument("--into", type=Path, help="folder to write (INPUT-predicted)")
    parser.add_argument(
        "--columns", help="columns of .bin and .npy files: x,y,z,intensity,ring; _ leaves one out"
    )
    parser.add_argument(
        "--scale", action="append", default=[], metavar="NAME=NUMBER", help="divide a feature"
    )
    parser.add_argument(
        "--tta", type=whole_number(1), default=1, metavar="N", help="passes over turned and mirrored copies"
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, ...")
    parser.add_argument("--no-ply", action="store_true", help="write no coloured clouds")
    return parser

"""What each command of `python -m train` does."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from lass3d_core.compute import parallel
from lass3d_core.datasets import open_dataset
from lass3d_core.errors import (
    CorruptArtifact,
    MissingArtifact,
    StaleArtifact,
    UnknownName,
    exit_status,
)
from lass3d_core.files.atomic import atomic_write
from lass3d_core.files.fingerprint import reasons
from lass3d_core.files.names import shortened
from lass3d_core.manifest.reading import read_manifest
from lass3d_core.manifest.schema import Manifest
from lass3d_core.model.file import read_model
from lass3d_core.settings import nearest
from train.commands.flags import MANIFEST, parser
from train.config import RunConfig, SavedRun, with_settings
from train.data.paired_scans import PairedScans
from train.data.text_models import warn_of_stand_ins
from train.demo.command import run_demo
from train.evaluate import metrics_table
from train.outputs import query_command as query
from train.outputs import suggest_command as suggest
from train.outputs import view_command as view
from train.outputs.clouds import chosen_scans, clouds_line, write_clouds
from train.outputs.export import export
from train.presets import demo_for, preset_for
from train.runs.consent import require_consent
from train.runs.finished_model import write_finished_model
from train.runs.listing import listed_runs, runs_table
from train.runs.processes import process_group
from train.runs.profile import profile_steps
from train.runs.run import Run
from train.runs.run_folder import RunFolder
from train.runs.start_line import start_summary
from train.runs.together import end_with_starter, is_one_of_several, train_together
from train.runs.train_run import train_run
from train.tables.command import make_table, planned, ratios_of, seeds_of
from train.tables.every import table_called
from train.tables.plan import Recipe, default_ratios, default_split
from train.trackers import require_packages


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit status."""
    options = parser().parse_args(arguments)
    options.arguments = sys.argv[1:] if arguments is None else arguments
    return exit_status(lambda: _run(options), options.after_interrupt)


def run_command(options: argparse.Namespace) -> int:
    """Train, evaluate, and print the figures and the folder."""
    require_packages(options.log)
    if options.processes > 1 and not is_one_of_several():
        return train_together(options.processes, options.arguments)
    end_with_starter()
    manifest, dataset = read_manifest(options.manifest, options.dataset)
    config = _config(options, manifest, dataset)
    with process_group():
        run = _run_of(config, options, manifest, dataset)
        run.require_own_folder()
        if not (options.resume or run.is_finished):
            require_consent([run], options.yes, demo_for(manifest.datasets[dataset]).__name__)
        trained = train_run(run, options.resume, start_summary, options.log)
        if parallel.rank() > 0:
            return 0
        for split in run.splits:
            print(metrics_table(run.evaluated(split)))
        for line in run.left_out:
            print(line)
        print(f"{'wrote' if trained else 'nothing to do, trained before:'} {run.folder.path}")
    return 0


def eval_command(options: argparse.Namespace) -> None:
    """Evaluate a trained run again. Test-time augmentation goes into a file of its own."""
    passes, run = options.tta, _existing(options)
    if passes == 1:
        metrics = run.metrics(run.trained_predictor(), options.split)
    else:
        metrics = run.augmented_metrics(options.split, passes)
    path = run.folder.metrics(options.split, passes)
    metrics.save(path)
    print(metrics_table(metrics))
    print(f"wrote {shortened(path)}")


def model_command(options: argparse.Namespace) -> None:
    """Write the model file of a finished run, or copy the one that is there."""
    folder = _folder(options)
    if options.run is None or not _is_whole(folder.model):
        run = _existing(options)
        evaluated = [run.evaluated(split) for split in run.splits]
        write_finished_model(run, run.trained_method(), evaluated)
    into = options.into or folder.model
    if into.resolve() != folder.model.resolve():
        with atomic_write(into) as part:
            shutil.copyfile(folder.model, part)
    print(f"wrote {shortened(into)}")


def _is_whole(model: Path) -> bool:
    """Whether a model file can be handed on as it is."""
    try:
        read_model(model)
    except (MissingArtifact, CorruptArtifact):
        return False
    return True


def runs_command(options: argparse.Namespace) -> None:
    """List the runs of all data sets of the manifest."""
    manifest, _ = read_manifest(options.manifest, options.dataset)
    print(runs_table(listed_runs(manifest.runs), Path.cwd()))


def compare_command(options: argparse.Namespace) -> None:
    """Write one page for any runs; the first is described in full, the others beside it."""
    manifest, _ = read_manifest(options.manifest, options.dataset)
    saved = SavedRun.load(options.runs[0] / "config.json")
    dataset = options.dataset or saved.config.dataset
    if dataset not in manifest.datasets:
        raise UnknownName(f"there is no data set {dataset!r}{nearest(dataset, manifest.datasets)}")
    from train.report.page import write_report

    on_disk = open_dataset(manifest.datasets[dataset], manifest.artifacts_of(dataset))
    into = options.into or Path("compare.html")
    write_report(
        options.runs[0],
        manifest.artifacts_of(dataset),
        into,
        dataset=on_disk,
        spec=manifest.datasets[dataset],
        others=options.runs[1:],
    )
    print(f"wrote {shortened(into)}")


def profile_command(options: argparse.Namespace) -> None:
    """Take some steps of a run without saving it, and print where the time went."""
    manifest, dataset = read_manifest(options.manifest, options.dataset)
    run = _run_of(_config(options, manifest, dataset), options, manifest, dataset)
    print(profile_steps(run, options.steps))


def report_command(options: argparse.Namespace) -> None:
    """Write the page of a finished run."""
    manifest, dataset = read_manifest(options.manifest, _dataset(options))
    print(f"wrote {shortened(_write_page(_existing(options), manifest, dataset))}")


def export_command(options: argparse.Namespace) -> None:
    """Write the predictions of a finished run in the format of the data set's benchmark."""
    manifest, dataset = read_manifest(options.manifest, _dataset(options))
    run, spec = _existing(options), manifest.datasets[dataset]
    folder = options.into or run.folder.export(_split(options, run), options.tta)
    print(export(run, spec, options.split, folder, options.tta))


def clouds_command(options: argparse.Namespace) -> None:
    """Write coloured clouds of some scans with the predictions of a finished run."""
    run = _existing(options)
    folder = options.into or run.folder.clouds(_split(options, run))
    scan_ids = chosen_scans(run, options.split, options.scans, options.limit)
    written = write_clouds(run, scan_ids, folder)
    print(clouds_line(run, options.split, scan_ids, len(written), folder))


def view_command(options: argparse.Namespace) -> None:
    """Write a Rerun recording of a sequence with the predictions of a finished run."""
    view.require_package()
    manifest, dataset = read_manifest(options.manifest, _dataset(options))
    run = _existing(options)
    on_disk = open_dataset(manifest.datasets[dataset], manifest.artifacts_of(dataset))
    print(view.run_view(run, on_disk, _split(options, run), options))


def demo_command(options: argparse.Namespace) -> None:
    """Train the runs of the demo, compare them, ask one question in words, and write the pages."""
    manifest, dataset = read_manifest(options.manifest, options.dataset)
    run_demo(manifest, dataset, options)


def table_command(options: argparse.Namespace) -> None:
    """Train the missing runs of a table and write it, or only print the plan."""
    manifest, dataset = read_manifest(options.manifest, options.dataset)
    spec, wanted = manifest.datasets[dataset], table_called(options.table)
    recipe = Recipe(
        manifest,
        dataset,
        seeds_of(options.seeds),
        ratios_of(options.ratios) if options.ratios else default_ratios(spec, wanted),
        options.split or default_split(spec),
        options.preset,
        tuple(options.set),
        options.tag,
        None if options.manifest == MANIFEST else str(options.manifest),
    )
    if options.plan:
        print(planned(wanted, recipe, options.processes, options.figures))
    else:
        make_table(wanted, recipe, options.processes, options.yes, options.figures)


def query_command(options: argparse.Namespace) -> None:
    """Find the points of a scan that match a text, or score how well class names are found."""
    manifest, dataset = read_manifest(options.manifest, _dataset(options))
    on_disk = open_dataset(manifest.datasets[dataset], manifest.artifacts_of(dataset))
    print(query.run_query(_existing(options), options, on_disk))


def suggest_command(options: argparse.Namespace) -> None:
    """Name the unlabelled training scans whose labels would teach a finished run most."""
    print(suggest.run_suggest(_existing(options), options))


def _write_page(run: Run, manifest: Manifest, dataset: str) -> Path:
    from train.report.page import write_report

    dataset_on_disk = open_dataset(manifest.datasets[dataset], manifest.artifacts_of(dataset))
    spec = manifest.datasets[dataset]
    return write_report(run.folder.path, run.pairs.folder, dataset=dataset_on_disk, spec=spec)


def _run(options: argparse.Namespace) -> int | None:
    torch.set_num_threads(options.threads if "threads" in options else 1)
    return COMMANDS[options.command](options)


def _config(options: argparse.Namespace, manifest: Manifest, dataset: str) -> RunConfig:
    preset = preset_for(options.preset, manifest.datasets[dataset])
    return with_settings(preset(dataset, options.method, options.ratio, options.seed), options.set)


def _run_of(config: RunConfig, options: argparse.Namespace, manifest: Manifest, dataset: str) -> Run:
    folder = RunFolder.of(manifest.runs, config, options.tag)
    pairs = PairedScans.open(manifest.artifacts_of(dataset))
    if parallel.rank() == 0:
        warn_of_stand_ins(pairs, manifest.datasets[dataset], [config.method])
    return Run.of(config, pairs, manifest.datasets[dataset], folder, default_device())


def _existing(options: argparse.Namespace) -> Run:
    """The run that the options name, with the settings of its training.

    It may be asked about other scans than it was trained on.
    Raises MissingArtifact, and StaleArtifact if classes, features or a --set differ from the run's.
    """
    manifest, dataset = read_manifest(options.manifest, _dataset(options))
    folder = _folder(options)
    pairs = PairedScans.open(manifest.artifacts_of(dataset))
    run = Run.existing(folder, pairs, manifest.datasets[dataset], default_device())
    wanted = replace(run.saved, config=with_settings(run.config, options.set))
    if wanted.digest != run.saved.digest:
        why = "; ".join(reasons(run.saved.record, wanted.record))
        raise StaleArtifact(
            f"{shortened(folder.path)} was trained with other settings ({why}); leave out SET (--set), "
            'or find the run with "make runs"'
        )
    if run.saved.pairs != pairs.training_digest:
        print(
            f"note: {shortened(folder.path)} was trained on other scans than {dataset} has now",
            file=sys.stderr,
        )
    return run


def _folder(options: argparse.Namespace) -> RunFolder:
    """The folder of the run that the options name."""
    if options.run is not None:
        if not options.run.is_dir():
            raise MissingArtifact(f'{options.run} is no folder; "make runs" lists the runs')
        return RunFolder(options.run)
    manifest, dataset = read_manifest(options.manifest, options.dataset)
    wanted = _config(options, manifest, dataset)
    return RunFolder.of(manifest.runs, wanted, options.tag)


def _dataset(options: argparse.Namespace) -> str | None:
    """The data set that the options name, or the one that the run of --run was trained on."""
    if options.dataset is None and options.run is not None:
        return SavedRun.load(_folder(options).config).config.dataset
    named: str | None = options.dataset
    return named


def _split(options: argparse.Namespace, run: Run) -> str:
    """The split that the options name. Raises UnknownName."""
    known = run.pairs.splits
    if options.split not in known:
        raise UnknownName(
            f"--split: there is no split {options.split!r} (known: {', '.join(known)})"
            f"{nearest(options.split, known)}"
        )
    return options.split


def default_device() -> torch.device:
    """The GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


COMMANDS: dict[str, Callable[[argparse.Namespace], int | None]] = {
    "run": run_command,
    "eval": eval_command,
    "model": model_command,
    "runs": runs_command,
    "compare": compare_command,
    "profile": profile_command,
    "report": report_command,
    "export": export_command,
    "clouds": clouds_command,
    "view": view_command,
    "demo": demo_command,
    "table": table_command,
    "query": query_command,
    "suggest": suggest_command,
}

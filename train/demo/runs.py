"""The runs of the demo: the same labelled scans, network and steps, three methods."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing

from lass3d_core.errors import Lass3dError
from lass3d_core.files.json_files import write_json
from lass3d_core.manifest.schema import DatasetSpec, Manifest
from train.data.text_models import warn_of_stand_ins
from train.presets import demo_for
from train.runs.run import Run
from train.runs.run_folder import RunFolder
from train.runs.side_by_side import PlannedRun, outcomes
from train.tables.plan import world_of

METHODS = {"supervised only": "supervised", "LASS3D": "lass3d", "LASS3D+": "lass3d_plus"}
"""Title -> method. The baseline stands first. The last one answers questions in words, and gets the page."""


def demo(
    manifest: Manifest, dataset: str, ratio: float, seed: int, processes: int, tag: str | None = None
) -> dict[str, Run]:
    """Train every method of METHODS on the same labelled scans. Returns title -> run.

    Finished runs are not trained again; unfinished runs are resumed.
    Raises StaleArtifact if the folder of a run holds another run, Lass3dError if a run fails.
    """
    plans = demo_plans(manifest, dataset, ratio, seed, tag)
    runs = {plan.title: plan.open() for plan in plans}
    for run in runs.values():
        run.require_own_folder()
    pairs = next(iter(runs.values())).pairs
    warn_of_stand_ins(pairs, manifest.datasets[dataset], [plan.config.method for plan in plans])
    to_do = [plan for plan in plans if not runs[plan.title].is_finished]
    done = f"all {len(plans)} runs were trained before"
    print(f"training {len(to_do)} of {len(plans)} runs" if to_do else done)
    train_all(to_do, processes)
    # The page of a run shows the other runs from this list. Its paths hold if the whole folder moves.
    listed = manifest.runs / dataset / "demo.json"
    write_json(listed, {plan.title: os.path.relpath(plan.folder, listed.parent) for plan in plans})
    return runs


def demo_plans(
    manifest: Manifest, dataset: str, ratio: float, seed: int, tag: str | None = None
) -> list[PlannedRun]:
    """The runs that the demo compares. tag: ends the names of their folders."""
    preset = demo_for(manifest.datasets[dataset])
    artifacts, spec = manifest.artifacts_of(dataset), manifest.datasets[dataset]
    configs = {title: preset(dataset, method, ratio, seed) for title, method in METHODS.items()}
    return [
        PlannedRun(title, config, artifacts, spec, RunFolder.of(manifest.runs, config, tag).path)
        for title, config in configs.items()
    ]


def demo_ratio(spec: DatasetSpec) -> float:
    """The share of labelled scans in percent: as in the tables of this world, two or three scans."""
    return 5.0 if world_of(spec) == "indoors" else 2.0


def train_all(plans: Sequence[PlannedRun], at_most: int) -> None:
    """Train every plan, `at_most` at a time.

    Raises Lass3dError if one fails. The others are then stopped; they can be resumed.
    """
    with closing(outcomes(plans, at_most)) as ended:
        for outcome in ended:
            if outcome.error is not None:
                raise Lass3dError(
                    f"the run {outcome.plan.folder} failed: {outcome.error}; "
                    "fix the cause and run the same command again: it resumes the runs"
                )

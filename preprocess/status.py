"""`make status`: the state of every stage, its size on disk, and why it is not fresh."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from lass3d_core.errors import DataError
from preprocess.project import Project
from preprocess.stages.plan import STAGES, StagePlan, plan

_SHOWN_REASONS = 3


def status(project: Project) -> str:
    """The table, one line per stage. A world that is not simulated yet is a line too, and no error.

    Raises DataError if the data cannot be read.
    """
    fresh: dict[str, bool] = {}
    try:
        rows = [_row(project, plan(project, stage, fresh)) for stage in STAGES.values()]
    except DataError as error:
        world = project.spec.simulate
        if world is None or project.spec.root.is_dir():
            raise DataError(f"{project.name}: the data cannot be read: {error}") from None
        return f"{project.name}: not simulated yet; run `make {world.world}`"
    project.inputs.save()
    width = max(len(name) for name, _, _ in rows)
    lines = [f"{name:{width}}  {size:>9}  {state}" for name, size, state in rows]
    return "\n".join([f"{project.name}, artifacts in {project.folder}", *lines])


def state_of(planned: StagePlan) -> str:
    """The state in words, such as `fresh`, `missing`, `partial (n of m)` or `stale (n of m): reasons`."""
    count = len(planned.shards)
    states = Counter(shard.state for shard in planned.shards)
    failed = sum(shard.failures for shard in planned.shards if shard.state == "fresh")
    failures = f"; {plural(failed, 'image')} failed" if failed else ""
    if states["missing"] == count:
        return f"missing ({plural(count, 'shard')})"
    if planned.waits_for is not None:
        return f"waits for {planned.waits_for}, which it reads"
    if planned.fresh:
        return f"fresh ({plural(count, 'shard')}){failures}"
    if states["stale"]:
        return f"stale ({states['stale']} of {count}): {why(planned)}{failures}"
    return f"partial ({states['fresh']} of {count}){failures}"


def why(planned: StagePlan) -> str:
    """The distinct reasons why shards are not fresh, the most frequent first."""
    frequent = Counter(reason for shard in planned.to_do for reason in shard.reasons or (shard.state,))
    shown = [reason for reason, _ in frequent.most_common(_SHOWN_REASONS)]
    more = len(frequent) - len(shown)
    return "; ".join(shown) + (f"; and {more} more reasons" if more > 0 else "")


def size_on_disk(paths: Sequence[Path]) -> str:
    """The size of the files in words; "-" if there are none."""
    found = [path.stat().st_size for path in paths if path.exists()]
    return size_in_words(sum(found)) if found else "-"


def size_in_words(size: float) -> str:
    """A number of bytes, as `340 B` or `1.2 GB`."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


def _row(project: Project, planned: StagePlan) -> tuple[str, str, str]:
    stage = planned.stage
    current = [shard.path for shard in planned.shards]
    others = sorted(set((project.folder / stage.name).glob(f"*{stage.suffix}")) - set(current))
    left = f"; {plural(len(others), 'file')} of other blocks ({size_on_disk(others)})" if others else ""
    return stage.name, size_on_disk(current), state_of(planned) + left


def plural(number: int, thing: str) -> str:
    """The number with its noun, as `1 shard` or `2 shards`."""
    return f"{number} {thing}{'' if number == 1 else 's'}"

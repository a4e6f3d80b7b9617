"""Hours, bytes and hosts for the public data sets, from the cost of one image, scan, caption and step.

Nothing is measured here. The comment of each value says whether it was measured (by `scale.py`,
`scale.py --units` or a table of docs/measurements.md), counted (from file formats or a published data set),
or assumed. `--set` changes any of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lass3d_core.errors import ManifestError
from lass3d_core.settings import WrongSettings
from lass3d_core.settings import with_settings as changed


@dataclass(frozen=True)
class Data:
    """The size of a data set.

    points: per scan. image_mb: per file. tiles: per image, for KOSMOS-2.
    shard_scans: per block, which never crosses the end of a sequence. steps, scans_per_step: of the preset.
    The sizes of images, and Waymo's points and steps, are assumed. The rest is published or counted.
    """

    train: int
    val: int
    cameras: int
    points: int
    image_mb: float
    tiles: int
    shard_scans: int
    steps: int
    scans_per_step: int

    @property
    def scans(self) -> int:
        """The number of paired scans."""
        return self.train + self.val

    @property
    def images(self) -> int:
        """The number of images of these scans."""
        return self.scans * self.cameras


@dataclass(frozen=True)
class Costs:
    """Costs of one unit. gpu_*: on one GPU. cpu_*: on one core."""

    gpu_caption_s: float = 0.2  # per tile of KOSMOS-2, batched; assumed, no GPU has been at hand
    gpu_entities_s: float = 0.6  # per image, Grounding DINO and SAM, batched; assumed
    gpu_text_s: float = 0.001  # per text, CLIP ViT-B/16, batched; assumed
    gpu_step_s: float = 1.0  # of training, all scans of a step; assumed
    cpu_caption_s: float = 70.4 / 3  # per tile; measured on two threads, docs/measurements.md
    cpu_entities_s: float = 58.0  # per image; measured on two threads, docs/measurements.md
    cpu_pair_s_per_point: float = 6.3e-8  # per point and camera; measured, --units
    cpu_write_s_per_point: float = 1.6e-7  # write, read back and compare; measured, --units
    cpu_load_s_per_point: float = 1.9e-6  # read, augment, voxelise at 5 cm, kernel maps; measured, --units
    cpu_plan_s_per_file: float = 2.3e-4  # of `make status`, its stages together; measured, docs/scale.md
    cpu_digest_gb_per_s: float = 0.5  # BLAKE2b of the input files, the first time; measured, --units
    shard_bytes_per_point: float = 18.0  # 12 coordinates, 2 remission, 1 label, 1 image, 2 entity; counted
    compact_share: float = 0.6  # of that with `compact: true`; measured, --units
    record_bytes_per_file: float = 110.0  # in a shard, per input file; counted
    text_dim: int = 512  # of CLIP ViT-B; published
    text_rows: int = 30  # of a caption; assumed, 25 words and their ends
    caption_bytes: float = 1500.0  # JSON of an image's caption and phrases; assumed
    entity_bytes: float = 12000.0  # JSON of an image's twenty masks; assumed
    index_bytes_per_file: float = 700.0  # of memory while planning: digests and records; measured
    gpus: int = 8  # of a host; assumed


@dataclass(frozen=True)
class Assumptions:
    """All inputs of the tables."""

    semantickitti: Data = Data(19_130, 4_071, 1, 122_000, 0.85, 3, 64, 25_000, 16)
    nuscenes: Data = Data(28_130, 6_019, 6, 34_700, 0.15, 2, 40, 80_000, 16)
    waymo: Data = Data(158_081, 39_987, 5, 170_000, 0.25, 2, 50, 80_000, 16)
    costs: Costs = Costs()


def with_settings(settings: Sequence[str]) -> Assumptions:
    """The assumptions, changed by settings such as "costs.gpu_step_s=0.5". Raises ManifestError."""
    try:
        return changed(Assumptions(), settings)
    except WrongSettings as error:
        raise ManifestError(f"--set: {error}") from None


def paper(assumed: Assumptions) -> str:
    """The tables as Markdown."""
    columns = {
        "SemanticKITTI": list(_lines(assumed.semantickitti, assumed.costs)),
        "nuScenes": list(_lines(assumed.nuscenes, assumed.costs)),
        "Waymo": list(_lines(assumed.waymo, assumed.costs)),
    }
    rows = zip(*columns.values(), strict=True)
    body = [f"| {' | '.join([cells[0][0], *(value for _, value in cells)])} |" for cells in rows]
    head = [f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    return "\n".join([*head, *body])


def _lines(data: Data, costs: Costs) -> Iterator[tuple[str, str]]:
    yield "scans, images", f"{data.scans:,}, {data.images:,}"
    yield from _hours(data, costs)
    yield from _bytes(data, costs)
    yield from _training(data, costs)


def _hours(data: Data, costs: Costs) -> Iterator[tuple[str, str]]:
    """Time of program one."""
    gpu = {
        "image_captions": data.images * data.tiles * costs.gpu_caption_s,
        "entities": data.images * costs.gpu_entities_s,
        "text_embeddings": data.images * costs.gpu_text_s,
    }
    for stage, seconds in gpu.items():
        yield f"`{stage}`, GPU hours", _h(seconds)
    whole = sum(gpu.values())
    yield f"the three on {costs.gpus} GPUs, hours", _h(whole / costs.gpus)
    yield "hosts of so many GPUs for one night (12 h)", f"{-(-whole // (costs.gpus * 12 * 3600)):.0f}"
    cpu = data.images * (data.tiles * costs.cpu_caption_s + costs.cpu_entities_s)
    yield "without a GPU, days", f"{cpu / 86400:,.0f}"
    pairing = data.cameras * costs.cpu_pair_s_per_point + costs.cpu_write_s_per_point
    yield "`pairs`, core hours", _h(data.scans * data.points * pairing)
    yield "input files read once for their digests, GB", f"{_input_gb(data):,.0f}"
    yield "and core hours", _h(_input_gb(data) / costs.cpu_digest_gb_per_s)
    yield "`make status`, core minutes", f"{_files(data) * costs.cpu_plan_s_per_file / 60:,.1f}"
    yield "and its memory, MB", f"{_files(data) * costs.index_bytes_per_file / 1e6:,.0f}"


def _bytes(data: Data, costs: Costs) -> Iterator[tuple[str, str]]:
    """Size on disk."""
    scan = _scan_bytes(data, costs)
    table = data.images * (costs.text_rows + 1) * costs.text_dim * 2
    yield "pairs, MB/scan", f"{scan / 1e6:.2f}"
    yield "shards of a stage", f"{data.scans / data.shard_scans:,.0f}"
    yield "a shard of pairs, MB", f"{data.shard_scans * scan / 1e6:.0f}"
    yield "all pairs, GB (compact)", f"{data.scans * scan / 1e9:,.0f} ({_gb(data.scans * scan, costs)})"
    yield "captions and entities, GB", f"{data.images * (costs.caption_bytes + costs.entity_bytes) / 1e9:.1f}"
    yield "text table, GB", f"{table / 1e9:.1f}"


def _training(data: Data, costs: Costs) -> Iterator[tuple[str, str]]:
    """Time and bandwidth of program two."""
    texts = data.cameras * (costs.text_rows + 1) * costs.text_dim * 2
    step = data.scans_per_step * (_scan_bytes(data, costs) + texts)
    loading = data.scans_per_step * data.points * costs.cpu_load_s_per_point
    yield "training, GPU hours", _h(data.steps * costs.gpu_step_s)
    yield "a step reads, MB (of it text)", f"{step / 1e6:.0f} ({data.scans_per_step * texts / 1e6:.1f})"
    yield "loader bandwidth, MB/s", f"{step / 1e6 / costs.gpu_step_s:.0f}"
    yield "cores for the loader", f"{loading / costs.gpu_step_s:.1f}"
    yield "read in a whole run, TB", f"{data.steps * step / 1e12:.1f}"


def _scan_bytes(data: Data, costs: Costs) -> float:
    return data.points * costs.shard_bytes_per_point + (2 + data.cameras) * costs.record_bytes_per_file


def _files(data: Data) -> int:
    """The number of files of points, labels and images."""
    return data.scans * (2 + data.cameras)


def _input_gb(data: Data) -> float:
    return data.scans * (20 * data.points / 1e9 + data.cameras * data.image_mb / 1e3)


def _gb(size: float, costs: Costs) -> str:
    return f"{size * costs.compact_share / 1e9:,.0f}"


def _h(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:,.0f}" if hours >= 10 else f"{hours:.1f}"

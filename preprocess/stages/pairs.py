"""Stage `pairs`: writes which image and which entity each point of a scan is paired with; see pairing.py.

A pair names its texts and never stores their embeddings, so a change of the text encoder changes no pair.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

from lass3d_core.datasets import Block
from lass3d_core.datasets.plausible import require_plausible
from lass3d_core.files.fingerprint import Record, digest
from lass3d_core.files.pair_index import IndexedShard, LabelledLists, PairIndex
from lass3d_core.files.shards import ShardHeader, ShardReader, write_shard
from lass3d_core.files.splits import read_list
from lass3d_core.manifest.classes import ClassesSpec
from lass3d_core.manifest.schema import DatasetSpec
from lass3d_core.pool import OnProgress
from lass3d_core.records import Entity, PairedScan, Scan
from lass3d_core.settings import to_json
from preprocess.project import Project
from preprocess.stages import entities
from preprocess.stages.earlier_views import earlier_views, lenders
from preprocess.stages.jsonl_shards import read_digest
from preprocess.stages.pairing import pair
from preprocess.stages.stage import Failure, Job, MakeShard, Stage, Stored
from preprocess.stages.vote_window import VoteWindow

NAME: Final = "pairs"
SCHEMA = 1
PRODUCER = "lass3d 0.1.0"
NEEDS = (entities.NAME,)
"""Neither captions nor the text table are read."""


def fingerprint_record(project: Project, block: Block) -> Record:
    """What a shard is made from: thresholds, points, labels, cameras, poses and entities.

    The entities tell the sizes of the images. An extension that is off is left out.
    """
    params = to_json(project.manifest.pairs)
    for extension in ("earlier_scans", "vote"):
        if not params[extension]:
            del params[extension]
    params = {"pairs": params, "compact": project.manifest.compact} | _own_reading(project.spec)
    inputs = project.identities(project.points_of(block))
    inputs |= project.image_identities(project.uncaptioned_images_of(block))
    upstream = {
        f"{entities.NAME} {lender.name}": read_digest(entities.STAGE.path_of(project, lender), "content")
        for lender in lenders(project, block)
    }
    return Record(stage=NAME, schema=SCHEMA, params=params, inputs=inputs, upstream=upstream)


def _own_reading(spec: DatasetSpec) -> dict[str, Any]:
    """The manifest's keys that change what is read from the same files, unless they have their defaults."""
    keys = {"classes", "columns", "features", "intensity_scale", "unit_m", "origin", "label_column"}
    keys |= {"max_time_gap_s"}
    usual = to_json(DatasetSpec(spec.reader, spec.root, spec.splits, classes=ClassesSpec({"_": (0,)})))
    usual["classes"] = to_json(ClassesSpec())
    found = {key: value for key, value in to_json(spec).items() if key in keys and value != usual[key]}
    if "classes" in found:
        del found["classes"]["synonyms"]  # the audit's alone
    return {"reading": found} if found else {}


def read_record(path: Path) -> Stored:
    """What a shard on disk was made from."""
    with closing(ShardReader(path)) as reader:
        return reader.header.record, 0


def load(project: Project) -> MakeShard:
    """Return the function that makes one shard; there is no model to load."""
    spec = project.manifest.pairs

    def make_shard(job: Job, on_progress: OnProgress) -> list[Failure]:
        block = job.block
        assert block is not None
        found: dict[str, Sequence[Entity]] = {}
        for lender in lenders(project, block):
            found |= entities.entities_in(entities.STAGE.path_of(project, lender))
        back, vote = project.earlier_scans_of(block), project.vote_of(block)
        read = partial(_plausible_scan, project)
        window = VoteWindow(project, found, spec, vote, read) if vote is not None else None

        def scans() -> Iterator[PairedScan]:
            for scan_id in block.scan_ids:
                earlier = earlier_views(project.dataset, scan_id, back)
                scan = read(scan_id)
                paired = pair(scan, found, spec, earlier)
                yield paired if window is None else window.named(scan, paired)
                on_progress(1)

        space = project.dataset.label_space
        header = ShardHeader(
            dataset=project.name,
            shard=block.name,
            split=block.split,
            class_names=space.names,
            colours=space.colours,
            raw_ids=space.raw_of_train_id,
            feature_names=project.dataset.feature_names,
            record=job.record,
            producer=PRODUCER,
        )
        write_shard(job.path, header, scans(), project.manifest.compact)
        return []

    return make_shard


def _plausible_scan(project: Project, scan_id: str) -> Scan:
    scan = project.dataset.read_scan(scan_id)
    where = str(project.dataset.input_files(scan_id).points[0])
    require_plausible(scan, project.dataset.feature_names, project.spec, where)
    return scan


def pair_index(project: Project, records: Mapping[Block, Record]) -> PairIndex:
    """The index, which tells the trainer that the pairs are complete. Raises DataError for a wrong list."""
    spec = project.spec.labelled
    train = project.dataset.scan_ids("train")
    shards = tuple(
        IndexedShard(f"{block.name}.h5", cast(Any, block.split), len(block.scan_ids), digest(record))
        for block, record in records.items()
    )
    lists = {ratio: read_list(path, train) for ratio, path in spec.lists.items()}
    labelled = LabelledLists(spec.protocol, lists)
    return PairIndex(project.name, project.dataset.label_space.names, labelled, shards)


STAGE = Stage(NAME, "scans", "pairs", ".h5", lambda manifest: NEEDS, fingerprint_record, read_record, load)

"""Stage `pairs`: writes which image and which entity each point of a scan is paired with; see pairing.py.

A pair names its texts and never stores their embeddings, so a change of the text encoder changes no pair.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final, cast

from lass3d_core.datasets import Block
from lass3d_core.files.fingerprint import Record, digest
from lass3d_core.files.pair_index import IndexedShard, LabelledLists, PairIndex
from lass3d_core.files.shards import ShardHeader, ShardReader, write_shard
from lass3d_core.files.splits import read_list
from lass3d_core.manifest.schema import Manifest
from lass3d_core.pool import OnProgress
from lass3d_core.records import Entity, PairedScan
from lass3d_core.settings import to_json
from preprocess.project import Project
from preprocess.stages import entities
from preprocess.stages.earlier_views import earlier_views, lenders
from preprocess.stages.jsonl_shards import read_digest
from preprocess.stages.pairing import pair
from preprocess.stages.stage import Failure, Job, MakeShard, Stage, Stored

NAME: Final = "pairs"
SCHEMA = 1
PRODUCER = "lass3d 0.1.0"


def needs(manifest: Manifest) -> tuple[str, ...]:
    """The entities. Neither captions nor the text table are read."""
    return (entities.NAME,)


def fingerprint_record(project: Project, block: Block) -> Record:
    """What a shard is made from: thresholds, points, labels, cameras and entities.

    The entities tell the sizes of the images. An extension that is off is left out.
    """
    params = to_json(project.manifest.pairs)
    if not params["earlier_scans"]:
        del params["earlier_scans"]
    return Record(
        stage=NAME,
        schema=SCHEMA,
        params={"pairs": params, "compact": project.manifest.compact},
        inputs=project.identities(project.points_of(block)),
        upstream={
            f"{entities.NAME} {lender.name}": read_digest(entities.STAGE.path_of(project, lender), "content")
            for lender in lenders(project, block)
        },
    )


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
        back = project.earlier_scans_of(block)

        def scans() -> Iterator[PairedScan]:
            for scan_id in block.scan_ids:
                earlier = earlier_views(project.dataset, scan_id, back)
                yield pair(project.dataset.read_scan(scan_id), found, spec, earlier)
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


STAGE = Stage(NAME, "scans", "pairs", True, ".h5", needs, fingerprint_record, read_record, load)

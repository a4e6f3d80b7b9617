"""From a trained run to its model file, `model.safetensors`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from lass3d_core import __version__
from lass3d_core.errors import DataError
from lass3d_core.files.fingerprint import Record
from lass3d_core.files.splits import spread
from lass3d_core.files.text_table import TEXT_TABLE, read_text_table_record
from lass3d_core.model.card import Figures, ModelCard, Origin, PointFeature, QueryCard
from lass3d_core.model.file import write_model
from lass3d_core.model.network import weights_of
from lass3d_core.nets.segmenter import Segmenter
from lass3d_core.nets.superpoint_segmenter import SuperpointSegmenter
from lass3d_core.nets.unet import UNetConfig
from lass3d_core.paper.adapter import AdapterConfig, FusionAdapter
from lass3d_core.records import PairedScan
from train.evaluate import Metrics
from train.methods.contract import Method
from train.methods.parts.query import QueryHead

if TYPE_CHECKING:
    from train.runs.run import Run

RANGED_SCANS = 30
"""Training scans from which the expected range of the features is taken."""


def write_finished_model(run: Run, method: Method, metrics: Sequence[Metrics]) -> None:
    """Write the model file of a trained run. Raises DataError if the predictor fits no model file."""
    segmenter, head = parts_of(method, run.config.method_name)
    rows = texts = None
    if not run.pairs.scans_with_text:
        head = None  # it has learnt no text, so it can answer none
    if head is not None:
        texts = run.pairs.text_table.phrases
        rows = torch.from_numpy(run.pairs.text_table.phrase_rows)
    card = card_of(run, segmenter, head, metrics, tuple(texts or ()))
    write_model(run.folder.model, card, weights_of(segmenter, head, rows))


def parts_of(method: Method, name: str) -> tuple[Segmenter | SuperpointSegmenter, QueryHead | None]:
    """The predictor and, if the method has one, the head that answers queries. Raises DataError."""
    segmenter, head = method.predictor, getattr(method, "query_head", None)
    if not isinstance(segmenter, (Segmenter, SuperpointSegmenter)):
        raise DataError(
            f"the predictor of {name} is no plain segmenter and fits no model file; "
            "use make eval, export and clouds"
        )
    return segmenter, head if isinstance(head, QueryHead) else None


def card_of(
    run: Run, segmenter: nn.Module, head: nn.Module | None, metrics: Sequence[Metrics], texts: tuple[str, ...]
) -> ModelCard:
    """What the model file of `run` says. metrics: of every split that was evaluated."""
    header, config = run.pairs.header, run.config
    scans = [run.pairs.read(scan_id) for scan_id in spread(run.pairs.splits["train"], RANGED_SCANS)]
    return ModelCard(
        network=network_of(config.net),
        adapter=_adapter_config(getattr(segmenter, "adapter", None)),
        superpoints=segmenter.regions if isinstance(segmenter, SuperpointSegmenter) else None,
        voxel_m=config.data.voxel_m,
        from_corner=config.data.from_corner,
        features=features_seen(header.feature_names, scans),
        class_names=header.class_names,
        colours=header.colours,
        raw_ids=header.raw_ids,
        origin=origin_of(run, metrics),
        query=_query_card(run, head, texts),
        temperature=next((one.temperature for one in metrics if one.temperature), 1.0),
        reach_m=reach_of(scans, config.data.from_corner),
    )


def network_of(net: UNetConfig) -> UNetConfig:
    """The network as the card names it: on any machine, so with the backend that runs on any."""
    # Where a run started and which kernels it used say nothing of how its weights are used.
    return replace(net, init="", backend="reference")


def features_seen(names: Sequence[str], scans: Sequence[PairedScan]) -> tuple[PointFeature, ...]:
    """Per feature, between which values 99.8 % of the points of `scans` lie."""
    columns = np.concatenate([scan.features.astype(np.float32) for scan in scans])
    low, high = np.quantile(columns, (0.001, 0.999), axis=0) if len(columns) else np.zeros((2, len(names)))
    return tuple(PointFeature(name, float(a), float(b)) for name, a, b in zip(names, low, high))


def reach_of(scans: Iterable[PairedScan], from_corner: bool) -> float:
    """Metres from the origin within which 99 % of the points lie, in the widest of `scans`."""
    reach = 1e-3
    for scan in scans:
        if len(scan.points):
            seen = scan.points - scan.points.min(axis=0) if from_corner else scan.points
            reach = max(reach, float(np.quantile(np.linalg.norm(seen, axis=1), 0.99)))
    return reach


def origin_of(run: Run, metrics: Sequence[Metrics]) -> Origin:
    """Where the weights came from, and what they reached."""
    config = run.config
    return Origin(
        method=config.method_name,
        dataset=config.dataset,
        preset=config.preset,
        ratio=config.ratio,
        seed=config.seed,
        protocol=run.split.protocol,
        labelled_scans=len(run.split.labelled),
        training_scans=len(run.split.labelled) + len(run.split.unlabelled),
        steps=config.schedule.steps,
        digest=run.saved.digest,
        version=__version__,
        figures=tuple(
            Figures(
                split=one.split,
                scans=one.scans,
                miou=one.miou_official,
                iou=one.iou,
                ece=one.ece,
                ece_calibrated=one.ece_calibrated,
                passes=one.passes,
            )
            for one in metrics
        ),
    )


def _adapter_config(adapter: nn.Module | None) -> AdapterConfig | None:
    return AdapterConfig(hidden=adapter.enter.out_features) if isinstance(adapter, FusionAdapter) else None


def _query_card(run: Run, head: nn.Module | None, texts: tuple[str, ...]) -> QueryCard | None:
    if not isinstance(head, QueryHead):
        return None
    record: Record = read_text_table_record(run.pairs.folder / TEXT_TABLE)
    return QueryCard(
        encoder=str(record["params"].get("encoder", "unknown")),
        params=dict(record["params"].get("encoder params", {})),
        dim=run.pairs.text_table.dim,
        hidden=head.config.hidden,
        texts=texts,
    )

"""The vote of `pairs.vote` on the scans of one shard: which scans vote, each of them looked at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from lass3d_core.errors import DataError
from lass3d_core.manifest.schema import PairsSpec, VoteSpec
from lass3d_core.records import PairedScan, Scan
from preprocess.project import Project
from preprocess.stages.ballots import ballots_of
from preprocess.stages.earlier_views import REACH_M
from preprocess.stages.pairing import Entities
from preprocess.stages.votes import CellVotes, added_up, cells_of, counted


class VoteWindow:
    """Names the points of scans, one after another, by the votes of the scans around each.

    found: the entities of every scan that votes. read: reads a scan.
    """

    # Neighbours share most of their windows, so a scan's votes are kept until its last neighbour has had
    # them. They take about half a megabyte; its points would take two more.

    def __init__(
        self, project: Project, found: Entities, spec: PairsSpec, vote: VoteSpec, read: Callable[[str], Scan]
    ) -> None:
        self._project, self._found, self._spec, self._vote, self._read = project, found, spec, vote, read
        self._kept: dict[str, CellVotes] = {}

    def named(self, scan: Scan, paired: PairedScan) -> PairedScan:
        """`paired`, which `pair` gave for the scan, with the entities that the vote gives. Raises DataError.

        A scan farther away than REACH_M has no vote: it saw another place.
        """
        pose = self._pose(scan.scan_id)
        cells = cells_of(scan.points, pose, self._vote.voxel_m)
        window = [self._votes_of(scan.scan_id, scan)]
        for other in self._project.lending_scans(scan.scan_id):
            if np.linalg.norm(self._pose(other)[:3, 3] - pose[:3, 3]) <= REACH_M:
                window.append(self._votes_of(other))
        try:
            votes, phrases = counted(cells, window, self._vote)
        except DataError as error:
            raise DataError(f"scan {scan.scan_id}: {error}") from None
        entity = votes.phrase[:, 0].copy()
        return replace(paired, pairs=replace(paired.pairs, entity=entity, phrases=phrases, votes=votes))

    def _votes_of(self, scan_id: str, scan: Scan | None = None) -> CellVotes:
        votes = self._kept.pop(scan_id, None)
        if votes is None:
            scan = scan or self._read(scan_id)
            cells = cells_of(scan.points, self._pose(scan_id), self._vote.voxel_m)
            votes = added_up(ballots_of(scan, self._found, self._spec), cells)
        self._kept[scan_id] = votes  # the last one in is the last one out
        if len(self._kept) > self._vote.earlier + self._vote.later + self._vote.stride:
            del self._kept[next(iter(self._kept))]
        return votes

    def _pose(self, scan_id: str) -> np.ndarray:
        # A scan that votes alone needs no poses.
        return self._project.dataset.world_from_points(scan_id) if self._vote.other_scans else np.eye(4)

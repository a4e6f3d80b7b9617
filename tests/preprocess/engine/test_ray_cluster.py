"""The stages on a Ray cluster of two hosts, played by two node processes of this machine."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lass3d_core.errors import BackendUnavailable
from lass3d_core.manifest.schema import Manifest
from preprocess.engine.ray_cluster import resources_for
from preprocess.lvm.params import RunParams

ray = pytest.importorskip("ray", reason="the extra [ray] is not installed")
ROOT = Path(__file__).parents[3]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 80_000_000})
    nodes.add_node(num_cpus=1, object_store_memory=80_000_000)
    yield nodes
    nodes.shutdown()
    with warnings.catch_warnings():  # Ray leaves its log files and processes to the collector
        warnings.simplefilter("ignore")
        del nodes
        gc.collect()


@contextmanager
def started(street: Any, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "preprocess", *arguments, "--manifest", str(street.manifest)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True) as run:
        yield run


def ended(street: Any, *arguments: str) -> tuple[int, str]:
    """Exit status and standard error of a whole command."""
    with started(street, *arguments) as run:
        _, errors = run.communicate()
    return run.returncode, errors


def workers() -> set[int]:
    """The processes that hold a ShardMaker."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if b"ray::ShardMaker" in path.read_bytes():
                found.add(int(path.parent.name))
    return found


def test_a_cluster_writes_the_same_bytes_though_workers_are_killed(
    cluster: Any, finished_street: Any, untouched_street: Any
) -> None:
    untouched_street.set(engine="ray", ray_address=cluster.address)
    killed: set[int] = set()
    with started(untouched_street, "captions", "--only", "image_captions") as run:
        while run.poll() is None:
            for worker in sorted(workers() - killed)[: 2 - len(killed)]:
                os.kill(worker, signal.SIGKILL)
                killed.add(worker)
            time.sleep(0.1)
        assert run.returncode == 0, run.communicate()[1]
    assert len(killed) == 2
    made = {name: data for name, data in finished_street.content().items() if "image_captions" in str(name)}
    assert made and made.items() <= untouched_street.content().items()


def test_a_host_that_is_lost_costs_nothing_but_time(cluster: Any, finished_street: Any, street: Any) -> None:
    shutil.rmtree(street.artifacts / "pairs")
    street.set(engine="ray", ray_address=cluster.address)
    extra = cluster.add_node(num_cpus=2, object_store_memory=80_000_000)
    with started(street, "pairs") as run:
        while not workers() and run.poll() is None:
            time.sleep(0.1)
        cluster.remove_node(extra)
        assert run.wait() == 0, run.communicate()[1]
    assert street.content() == finished_street.content()


def test_an_error_in_a_worker_is_the_same_line_as_at_home(cluster: Any, street: Any) -> None:
    shutil.rmtree(street.artifacts / "pairs")
    street.set(engine="ray", ray_address=cluster.address)
    scan = next(street.project.spec.root.glob("sequences/00/velodyne/*.bin"))
    scan.write_bytes(scan.read_bytes()[:-3])
    status, errors = ended(street, "pairs")
    assert status == 2
    assert errors.strip().splitlines()[-1].startswith(f"error: {scan} is cut off")
    assert "Traceback" not in errors


def test_no_cluster_is_one_clear_line(untouched_street: Any) -> None:
    untouched_street.set(engine="ray", ray_address="127.0.0.1:1")
    status, errors = ended(untouched_street, "captions")
    assert status == 2
    assert "no Ray cluster at '127.0.0.1:1'" in errors and "Traceback" not in errors


def test_a_model_with_weights_takes_a_gpu_and_anything_else_a_core(street: Any) -> None:
    manifest: Manifest = replace(street.project.manifest, workers=0)
    hosts = {"CPU": 8.0, "GPU": 2.0}
    assert resources_for(RunParams(), manifest, hosts) == (2, 0.0, 1.0)
    assert resources_for(RunParams(device="cpu"), manifest, hosts) == (8, 1.0, 0.0)
    assert resources_for(None, manifest, hosts) == (8, 1.0, 0.0)
    with pytest.raises(BackendUnavailable, match="has no core"):
        resources_for(None, manifest, {})

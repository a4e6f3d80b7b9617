"""Reading a file runs no code: nothing is unpickled, and a checkpoint holds only tensors and plain values."""

from __future__ import annotations

import ast
import hashlib
import io
import os
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from lass3d_core.errors import CorruptArtifact, StaleArtifact
from train.runs.checkpoint import load

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path for top in ("lass3d_core", "preprocess", "train") for path in (ROOT / top).rglob("*.py")
)

UNSAFE = {
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "cPickle.loads", "dill.load", "joblib.load"),
    *("shelve.open", "marshal.loads", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "pd.read_pickle"),
    *("np.load", "numpy.load", "eval", "exec", "os.system"),
}


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Every call in a source file, by the dotted name of what is called."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def given(call: ast.Call, keyword: str) -> str | None:
    """A keyword argument as it is written."""
    return next((ast.unparse(one.value) for one in call.keywords if one.arg == keyword), None)


def test_there_are_sources() -> None:
    assert len(SOURCES) > 100


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_call_unpickles(path: Path) -> None:
    for name, call in calls(path):
        assert name not in UNSAFE or given(call, "allow_pickle") == "False", f"line {call.lineno}: {name}"
        if name == "torch.load":
            assert given(call, "weights_only") == "True", f"line {call.lineno}"
        assert given(call, "shell") in (None, "False"), f"line {call.lineno}: a shell"


class Wicked:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch pwned",)


@pytest.mark.parametrize("archive", [True, False])
def test_a_checkpoint_that_would_run_a_command_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, archive: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    buffer = io.BytesIO()
    values = {"steps_done": 1, "run_digest": "run", "method": Wicked(), "optimiser": {}}
    if archive:
        torch.save(values, buffer, pickle_protocol=2)
    else:
        pickle.dump(values, buffer, protocol=2)
    path = tmp_path / "step-000001.pt"
    digest = hashlib.sha256(buffer.getvalue()).hexdigest().encode()
    path.write_bytes(buffer.getvalue() + b"\nsha256 " + digest)
    with pytest.raises(CorruptArtifact, match=r"step-000001\.pt cannot be read") as refused:
        load(path, "run")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("values", [[], 5, {}, {"run_digest": "run"}, {"run_digest": "run", "more": 1}])
def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path, values: object) -> None:
    buffer = io.BytesIO()
    torch.save(values, buffer)
    path = tmp_path / "step-000001.pt"
    digest = hashlib.sha256(buffer.getvalue()).hexdigest().encode()
    path.write_bytes(buffer.getvalue() + b"\nsha256 " + digest)
    with pytest.raises((CorruptArtifact, StaleArtifact), match=r"step-000001\.pt"):
        load(path, "run")

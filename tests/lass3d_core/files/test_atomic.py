"""A file that exists is whole, whatever happens while it is written."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lass3d_core.errors import StorageError
from lass3d_core.files.atomic import atomic_folder, atomic_write, remove_parts, storage_errors, write_text

ROOT = Path(__file__).parents[3]


def test_a_written_file_is_there_and_nothing_else(tmp_path: Path) -> None:
    write_text(tmp_path / "new" / "folder" / "a.txt", "grün")
    assert (tmp_path / "new" / "folder" / "a.txt").read_bytes() == "grün".encode()
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["a.txt"]


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failure_while_writing_leaves_the_old_file(tmp_path: Path, fault: type[BaseException]) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(fault), atomic_write(path) as part:
        part.write_text("ne")
        raise fault
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with atomic_write(path) as part:
        part.write_text("ne")
        assert path.read_text() == "old"
        part.write_text("new")
    assert path.read_text() == "new"


def test_a_folder_appears_when_all_of_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "scene"
    with atomic_folder(path) as part:
        (part / "inner").mkdir()
        (part / "inner" / "a.txt").write_text("a")
        assert not path.exists()
    assert (path / "inner" / "a.txt").read_text() == "a"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt])
def test_a_failure_while_writing_a_folder_leaves_nothing(tmp_path: Path, fault: type[BaseException]) -> None:
    with pytest.raises(fault), atomic_folder(tmp_path / "scene") as part:
        (part / "a.txt").write_text("a")
        raise fault
    assert not list(tmp_path.iterdir())


def test_half_a_folder_of_a_process_with_our_number_does_not_matter(tmp_path: Path) -> None:
    half = tmp_path / f"scene.{os.getpid()}.part"
    half.mkdir()
    (half / "old.txt").write_text("old")
    with atomic_folder(tmp_path / "scene") as part:
        (part / "a.txt").write_text("a")
    assert [path.name for path in (tmp_path / "scene").iterdir()] == ["a.txt"]


def test_parts_of_folders_that_killed_runs_left_are_removed(tmp_path: Path) -> None:
    for owner in (os.getpid(), 2**22 + 1):
        (tmp_path / f"scene.{owner}.part").mkdir()
        (tmp_path / f"scene.{owner}.part" / "a.txt").write_text("a")
    remove_parts(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"scene.{os.getpid()}.part"]


KILLED = """
import sys, time
from pathlib import Path
from lass3d_core.files.atomic import atomic_write
with atomic_write(Path(sys.argv[1])) as part:
    part.write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""


def test_a_killed_writer_leaves_no_file_and_its_part_is_swept_up(tmp_path: Path) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path / "a.txt")], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert writer.stdout is not None
    writer.stdout.readline()
    remove_parts(tmp_path)
    assert [path.suffix for path in tmp_path.iterdir()] == [".part"], (
        "the part of a living writer was removed"
    )
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    assert not (tmp_path / "a.txt").exists()
    remove_parts(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_parts_without_an_owner_are_swept_up(tmp_path: Path) -> None:
    for name in ("x.part", "a.h5.part", "a.b.part"):
        (tmp_path / name).touch()
    (tmp_path / "a.h5").touch()
    remove_parts(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]


@contextmanager
def small_files() -> Iterator[None]:
    """No file may grow beyond 1000 bytes: what the system answers is real.

    The limit binds the whole process, pytest's own output too where that goes to a file, so it lasts for one
    call and is never a fixture: a fixture would still hold it while pytest writes the test's dot.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_that_may_not_grow_is_one_clear_line(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(StorageError, match=r"cannot write .*a\.txt: the file grows beyond"), small_files():
        write_text(tmp_path / "a.txt", "x" * 5000)
    assert (tmp_path / "a.txt").read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_a_file_in_place_of_a_folder_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "a.txt", tmp_path / "file" / "b" / "a.txt"):
        with pytest.raises(StorageError, match="a part of the path is a file, not a folder"):
            write_text(path, "x")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_read_only_folder_is_one_clear_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="permission denied; choose a folder that you may write to"):
        write_text(tmp_path / "a.txt", "x")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "permission denied"),
        (errno.EIO, "reports an error"),
    ],
)
def test_what_the_system_refuses_is_said_in_words(number: int, words: str) -> None:
    with (
        pytest.raises(StorageError, match=rf"cannot write out/a\.h5: .*{words}"),
        storage_errors(Path("out/a.h5")),
    ):
        raise OSError(number, os.strerror(number))


def test_other_system_errors_keep_their_traceback() -> None:
    with pytest.raises(BrokenPipeError), storage_errors(Path("a.h5")):
        raise BrokenPipeError(errno.EPIPE, "broken pipe")


def test_two_writers_of_one_file_do_not_mix(tmp_path: Path) -> None:
    """Each has a part of its own; the last to finish wins, whole."""
    script = "import sys; from pathlib import Path; from lass3d_core.files.atomic import write_text\n"
    script += "for _ in range(50): write_text(Path(sys.argv[1]), sys.argv[2] * 200_000)"
    command = [sys.executable, "-c", script, str(tmp_path / "a.txt")]
    writers = [subprocess.Popen([*command, letter], cwd=ROOT) for letter in "ab"]
    seen, deadline = set(), time.monotonic() + 60
    while any(writer.poll() is None for writer in writers) and time.monotonic() < deadline:
        if (tmp_path / "a.txt").exists():
            text = (tmp_path / "a.txt").read_text()
            assert len(text) == 200_000 and len(set(text)) == 1
            seen.add(text[0])
    assert seen and all(writer.returncode == 0 for writer in writers)

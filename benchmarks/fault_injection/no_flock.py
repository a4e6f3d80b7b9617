"""A file system without flock: a library that is loaded before the system's own, and lets flock fail."""

from __future__ import annotations

import errno
import shutil
import subprocess
from pathlib import Path

ERRNOS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, 524)
"""What flock fails with on Lustre without `-o flock`, NFS without lockd, FUSE, NFSv4 (the kernel's own)."""

_SOURCE = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
int flock(int file, int operation) {
    const char *number = getenv("FLOCK_ERRNO");
    if (number) { errno = atoi(number); return -1; }
    return ((int (*)(int, int))dlsym(RTLD_NEXT, "flock"))(file, operation);
}
"""


def build(folder: Path) -> Path | None:
    """The library, built in `folder`; None without a C compiler. flock fails while FLOCK_ERRNO is set."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        return None
    source, library = folder / "no_flock.c", folder / "no_flock.so"
    source.write_text(_SOURCE)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library

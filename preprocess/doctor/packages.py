"""The packages that the project declares: installed, of a right version, and not broken.

It imports none of them, nor any other module of the project that does: a doctor is called when they are
broken.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, requires, version

from preprocess.doctor.finding import Finding

REMEDY = "make setup"


def packages() -> Iterator[Finding]:
    """Every package that the project needs."""
    try:
        from packaging.requirements import Requirement
    except ImportError as error:
        yield Finding("FIX", "packaging", f"cannot be imported ({_reason(error)}); {REMEDY}")
        return
    try:
        declared = [Requirement(line) for line in requires("lass3d") or ()]
    except PackageNotFoundError:
        yield Finding("FIX", "lass3d", f"the project is not installed; {REMEDY}")
        return
    for requirement in declared:
        if requirement.marker is None:
            yield installed(requirement.name, str(requirement.specifier), REMEDY, try_import=True)


def installed(name: str, wanted: str, remedy: str, try_import: bool = False) -> Finding:
    """Whether the package `name` is there in a version of the range `wanted`, and can be imported."""
    from packaging.specifiers import SpecifierSet

    needs = f"needs {wanted}" if wanted else "any version"
    try:
        found = version(name)
    except PackageNotFoundError:
        return Finding("FIX", name, f"not installed, {needs}; {remedy}")
    if not SpecifierSet(wanted).contains(found, prereleases=True):
        return Finding("FIX", name, f"{found}, {needs}; {remedy}")
    for module in _modules_of(name) if try_import else ():
        try:
            importlib.import_module(module)
        except Exception as error:  # a broken package raises whatever it likes
            return Finding("FIX", name, f"{found} is broken: import {module}: {_reason(error)}; {remedy}")
    return Finding("ok", name, found)


def _modules_of(package: str) -> tuple[str, ...]:
    """The modules that a package installs at the top, at most one: it imports the others."""
    files = distribution(package).files or ()
    tops = {file.parts[0] for file in files if len(file.parts) == 2 and file.parts[1] == "__init__.py"}
    named = [top for top in sorted(tops) if top.isidentifier() and not top.startswith("_")]
    same = [top for top in named if top.lower() == package.lower().replace("-", "_")]
    return tuple((same or named)[:1])


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"


def python() -> Finding:
    """The interpreter."""
    return Finding("ok", "python", f"{sys.version.split()[0]} in {sys.prefix}")

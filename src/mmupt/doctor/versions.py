"""The libraries: those that mmupt names, in the ranges that it names, and torchvision, which breaks others when it does
not load."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec

from packaging.requirements import Requirement

from mmupt.doctor.case import Case
from mmupt.doctor.finding import Finding

_SHOWN = ("torch", "transformers", "vllm", "ray")
_SLOWEST_IMPORT = 120.0  # seconds


def versions(case: Case) -> Iterator[Finding]:
    """Every library out of its range, and what there is of the large ones."""
    try:
        wanted = [Requirement(text) for text in requires("mmupt") or ()]
    except PackageNotFoundError:
        yield Finding(
            "versions", "warning", "mmupt runs from a folder that is not installed, so no version is checked",
            "pip install -e . in its folder",
        )  # fmt: skip
        wanted = []
    for requirement in wanted:
        yield from _out_of_range(requirement)
    there = [f"{name} {found}" for name in _SHOWN if (found := _version(name)) is not None]
    yield Finding("versions", "ok", ", ".join(there))
    if find_spec("torchvision") is not None and (reason := _does_not_load("torchvision")) is not None:
        yield Finding(
            "versions",
            "error",
            f"torchvision {_version('torchvision')} is installed and does not load ({reason}); transformers' vision "
            "models then do not load either",
            "pip uninstall torchvision (mmupt does without), or install the build that fits torch",
        )


def _out_of_range(requirement: Requirement) -> Iterator[Finding]:
    """An extra's library may be missing; where it is there, its version counts as much."""
    optional = requirement.marker is not None and "extra" in str(requirement.marker)
    found = _version(requirement.name)
    install = f'pip install "{requirement.name}{requirement.specifier}"'
    if found is None:
        if not optional:
            yield Finding("versions", "error", f"{requirement.name} is not installed", install)
    elif not requirement.specifier.contains(found, prereleases=True):
        text = f"{requirement.name} {found} is outside {requirement.specifier}, what mmupt is known to work with"
        yield Finding("versions", "warning" if optional else "error", text, install)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _does_not_load(name: str) -> str | None:
    """The last line of what a new process says, which cannot leave half an import behind in this one."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", f"import {name}"],
            capture_output=True,
            text=True,
            timeout=_SLOWEST_IMPORT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"its import takes more than {_SLOWEST_IMPORT:.0f} s"
    lines = done.stderr.strip().splitlines()
    return None if done.returncode == 0 else (lines[-1] if lines else f"exit code {done.returncode}")

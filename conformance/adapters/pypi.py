"""Packages of PyPI in a virtual environment, made in a cache. Imports the standard library only."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import sys
from pathlib import Path

from conformance.adapters.base import MissingError
from conformance.adapters.machine import keep, run

_OWN = dict.fromkeys(("PYTHONPATH", "PYTHONHOME", "PIP_TARGET", "PIP_PREFIX", "PIP_USER"), "")
"""What would have packages come from elsewhere, or go there."""
_PIP = "-m pip install -q --no-input --only-binary :all:".split()


def interpreter(packages: tuple[str, ...], cache: Path) -> str:
    """The interpreter of an environment that has the packages, made once. Raises MissingError, RuntimeError."""
    for module in ("venv", "ensurepip"):
        if importlib.util.find_spec(module) is None:
            raise MissingError(f"this Python has no module {module}")
    made = repr((sys.version_info[:3], sys.executable, packages)).encode()
    environment = cache / f"venv-{hashlib.sha256(made).hexdigest()[:16]}"
    python = environment / "bin" / "python"
    if environment.exists() and not os.access(python, os.X_OK):  # the interpreter that it was made of has gone
        shutil.rmtree(environment, ignore_errors=True)
    keep(environment, lambda folder: _make(folder, packages))
    return str(python)


def _make(environment: Path, packages: tuple[str, ...]) -> None:
    _run([sys.executable, "-m", "venv", str(environment)])
    try:
        # The interpreter, not bin/pip: scripts know the folder in which they were made.
        _run([str(environment / "bin" / "python"), *_PIP, *packages])
    except RuntimeError as problem:
        raise MissingError(f"pip does not bring {packages[0]}: {'; '.join(str(problem).splitlines())}") from problem


def _run(command: list[str]) -> None:
    run(command, {**_OWN, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore"})

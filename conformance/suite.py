"""Where the suite and the baselines that come with the tester are: in a wheel beside the code, else in the checkout.

Imports the loader's idea of a suite's root and the standard library.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_PACKED = _PACKAGE / "_data"


def cases() -> Path:
    """The folder of the suite that comes with the tester."""
    return _PACKED / "cases" if _PACKED.is_dir() else _PACKAGE.parent / "cases"


def baseline(target: str) -> Path | None:
    """The baseline that comes with the tester for a target of that name, whatever its profile, or None."""
    folder = _PACKED / "baselines" if _PACKED.is_dir() else _PACKAGE.parent / "reports" / "baselines"
    path = folder / f"{target.partition(':')[0]}.yaml"
    return path if path.is_file() else None


def root_of(path: Path, given: Iterable[Path] = ()) -> Path:
    """The suite that a case file belongs to: ids are paths below it.

    That is the tester's own, else the outermost folder called `cases`, else that of the `given` folders that it is in.
    """
    from conformance.cases.loader import root_of as outermost

    absolute = path.absolute()
    own = cases()
    if absolute.is_relative_to(own):
        return own
    if not in_a_suite(path):
        for folder in given:
            if absolute.is_relative_to(folder.absolute()):
                return folder.absolute()
    return outermost(path)


def in_a_suite(path: Path, given: Iterable[Path] = ()) -> bool:
    """True for a file below a folder called `cases` that is not a Python package, or below one of the `given`."""
    return _is_suite(path.parent.absolute(), tuple(given))


@lru_cache(maxsize=4096)
def _is_suite(folder: Path, given: tuple[Path, ...]) -> bool:
    for parent in (folder, *folder.parents):
        if parent.name == "cases" and not (parent / "__init__.py").exists():
            return True
    return any(folder.is_relative_to(one.absolute()) for one in given)


def placed(path: Path, given: Iterable[Path] = ()) -> tuple[Path, Path]:
    """A case file and its suite, both as they are seen from the working directory where they are below it."""
    folder, root = _placed(path.parent, tuple(given), Path.cwd())
    return folder / path.name, root


@lru_cache(maxsize=4096)
def _placed(folder: Path, given: tuple[Path, ...], here: Path) -> tuple[Path, Path]:
    root = root_of(folder / "any.yaml", given)
    there = Path(os.path.abspath(folder))  # noqa: PTH100 - symbolic links stay as they are named
    if there.is_relative_to(here) and root.is_relative_to(here):
        return there.relative_to(here), root.relative_to(here)
    return there, root


def near(path: Path) -> Path:
    """A path as it is seen from the working directory, where it is below it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path

"""Which targets there are by name: the own kernel with its profiles, and every stack that has an adapter.

A name is `stack` or `stack:profile`. Imports the adapters and the standard library.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import conformance.adapters
from conformance.adapters.base import Adapter, MissingError, Program, UnfitError
from conformance.targets.base import TargetError

LINUX_PROFILES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "no-timestamps": ("TCP timestamps are off", {"tcp_timestamps": "0"}),
    "no-sack": ("SACK is off", {"tcp_sack": "0"}),
    "syncookies": ("SYN cookies always", {"tcp_syncookies": "2"}),
    "rfc1337": ("a RST in TIME-WAIT is ignored", {"tcp_rfc1337": "1"}),
    "ecn": ("ECN is asked for", {"tcp_ecn": "1"}),
    "abort-on-overflow": ("a full backlog draws RSTs", {"tcp_abort_on_overflow": "1"}),
}
"""The own kernel's profiles: what is different in words, and its sysctls."""


@dataclass(frozen=True, slots=True)
class Named:
    """A target that can be asked for."""

    name: str
    summary: str
    missing: str | None = None
    """What it lacks on this machine, or None."""
    install: str = ""


def split(name: str) -> tuple[str, str]:
    """Stack and profile, "" for none."""
    stack, _, profile = name.partition(":")
    return stack, profile


@cache
def adapters() -> Mapping[str, Adapter]:
    """Every adapter by its name."""
    found = {}
    for module in pkgutil.iter_modules(conformance.adapters.__path__):
        if module.ispkg:
            adapter = importlib.import_module(f"conformance.adapters.{module.name}").ADAPTER
            found[adapter.name] = adapter
    return found


def names() -> list[str]:
    """All names without their profiles, the default first."""
    return ["linux", *sorted(adapters())]


def linux_sysctls(profile: str) -> Mapping[str, str]:
    """The sysctls of a profile of the own kernel. Raises TargetError."""
    if not profile:
        return {}
    if profile not in LINUX_PROFILES:
        raise TargetError(f"linux has no profile {profile!r}, only: {', '.join(LINUX_PROFILES)}")
    return LINUX_PROFILES[profile][1]


def program(name: str) -> Program:
    """The agent of a stack, built if need be, or the one at a path. Raises TargetError, with what to install."""
    if "/" in name:
        return _own(Path(name))
    stack, profile = split(name)
    adapter = adapters().get(stack)
    if adapter is None:
        raise TargetError(f"target {name!r} is not one of: {', '.join(names())}")
    asked = profile.split("+") if adapter.joined else [profile]
    for one in asked if profile else ():
        if one not in adapter.profiles:
            known = ", ".join(adapter.profiles) or "none"
            raise TargetError(f"{stack} has no profile {one!r}; it has: {known}")
    try:
        return adapter.prepare(profile, cache_folder() / stack)
    except UnfitError as unfit:
        raise TargetError(f"target {name}: can't run here: {unfit}") from unfit
    except MissingError as missing:
        raise TargetError(f"target {name}: {missing}; to install: {adapter.install}") from missing
    except RuntimeError as failure:
        raise TargetError(f"target {name}: its agent could not be built: {failure}") from failure


def _own(path: Path) -> Program:
    """An agent that somebody has written for a stack of theirs."""
    if not path.is_file():
        raise TargetError(f"{path}: there is no such agent")
    if not os.access(path, os.X_OK):
        raise TargetError(f"{path}: it can't be run; chmod +x it")
    return Program((str(path.absolute()),))


def listed(*, prepare: bool = True) -> Iterator[Named]:
    """Every target and profile; with `prepare` agents are built to see whether that can be done."""
    yield Named("linux", "this machine's own kernel, in a private network namespace")
    for profile, (words, _) in LINUX_PROFILES.items():
        yield Named(f"linux:{profile}", words)
    for name, adapter in sorted(adapters().items()):
        missing, install = None, adapter.install
        if prepare:
            try:
                program(name)
            except TargetError as problem:
                missing = str(problem.__cause__)
                if isinstance(problem.__cause__, UnfitError):
                    install = ""
        yield Named(name, adapter.summary, missing, install)
        for profile, words in adapter.profiles.items():
            yield Named(f"{name}:{profile}", words, missing, install)


def cache_folder() -> Path:
    """Where agents are built: kept from run to run, the user's own."""
    home = os.environ.get("XDG_CACHE_HOME") or (os.environ.get("HOME", "") and f"{os.environ['HOME']}/.cache")
    if home:
        folder = Path(home) / "tcp-conformance" / "stacks"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            pass
        else:
            if os.access(folder, os.W_OK):
                return folder
    folder = Path(tempfile.gettempdir()) / f"tcp-conformance-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError as problem:
        raise TargetError(f"agents can't be built in {folder}: {problem.strerror}") from problem
    if status.st_uid != os.getuid() or status.st_mode & 0o077 or folder.is_symlink():
        raise TargetError(f"agents can't be built in {folder}: it is somebody else's")
    return folder

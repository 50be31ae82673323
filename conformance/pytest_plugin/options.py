"""The plugin's options and marks, and what the options of a run come to. Imports pytest and the standard library."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from conformance.targets.asked import OPTIONS, RATE, Asked

if TYPE_CHECKING:
    from conformance.selection import Selection

DEADLINE = 300.0
"""Seconds that one variation of the default tier may take unless `--timeout` says otherwise; others have no limit."""

MARKS = {
    "must": "conformance: the case decides a MUST or MUST NOT",
    "should": "conformance: the case decides a SHOULD or SHOULD NOT",
    "may": "conformance: the case observes a MAY",
    "behaviour": "conformance: the case decides behaviour that an RFC describes without a keyword",
    "requirement(id)": "conformance: the case decides that requirement, as -m 'requirement(id=\"RFC9293-MUST-12\")'",
    "state(name)": "conformance: the case starts in that state or has it named, as -m 'state(name=\"TIME-WAIT\")'",
    "tier(name)": "conformance: the case's tier, default or long",
    "timers": "conformance: the case waits for time to pass",
}

_VALUED = ("target", "baseline", "tier")
_REPEATED = ("sysctl",)


def add(parser: pytest.Parser) -> None:
    """Add the options of the plugin."""
    group = parser.getgroup("conformance", "TCP conformance cases (*.yaml below a folder `cases`)")
    for name, values in {
        "target": {
            "default": "linux",
            "metavar": "TARGET",
            "help": "the stack under test (default: linux, this kernel)",
        },
        "baseline": {
            "metavar": "FILE",
            "help": "known deviations: a file, or the name of a target (default: that of the target)",
        },
        "report": {"metavar": "DIR", "help": "where the report goes (default: reports/<time>)"},
        "captures": {
            "default": "failed",
            "choices": ("failed", "all"),
            "help": "which cases leave a pcapng file in the report (default: failed)",
        },
        "tier": {"default": "default", "metavar": "TIER", "help": "default, quick, long or all"},
        "shard": {"metavar": "I/N", "help": "only the I-th of N parts of what is selected; see conformance merge"},
    }.items():
        group.addoption(f"--{name}", dest=f"conformance_{name}", **values)  # type: ignore[arg-type]
    for name, metavar, what in (
        ("sysctl", "NAME=VALUE", "set in the target's namespace, such as tcp_sack=0"),
        ("requirement", "ID", "only cases that decide this requirement"),
        ("section", "SECTION", "only cases for this section: 3.10.7, or 5961:3.2"),
        ("level", "LEVEL", "only cases that decide a requirement of this level: MUST, 'SHOULD NOT', BEHAVIOUR ..."),
        ("state", "STATE", "only cases that start in this state or have it named"),
    ):
        group.addoption(
            f"--{name}",
            dest=f"conformance_{name}",
            action="append",
            default=[],
            metavar=metavar,
            help=f"{what} (repeatable)",
        )
    for option in OPTIONS:
        group.addoption(
            f"--{option.name}",
            dest=f"conformance_{option.name.replace('-', '_')}",
            action="append" if option.repeated else "store",
            default=[] if option.repeated else None,
            metavar=option.metavar,
            help=option.help,
        )
    group.addoption(
        "--strict-verdicts",
        dest="conformance_strict",
        action="store_true",
        help="a SHOULD that is not met fails, too; pytest's --strict says so as well",
    )
    group.addoption(
        "--no-oracle",
        dest="conformance_no_oracle",
        action="store_true",
        help="never compare a named state with what the target says of itself",
    )


def configure(config: pytest.Config) -> None:
    """Register the marks, and settle what is said in more than one way."""
    for mark, what in MARKS.items():
        config.addinivalue_line("markers", f"{mark}: {what}")
    if "--strict" in config.invocation_params.args:
        config.option.conformance_strict = True


def folders(config: pytest.Config) -> list[Path]:
    """Folders that are suites because somebody said so, whatever they are called."""
    return [Path(folder) for folder in getattr(config.option, "conformance_folders", ())]


def is_worker(config: pytest.Config) -> bool:
    """True in a process of pytest-xdist that runs items for another."""
    return hasattr(config, "workerinput")


def asked(config: pytest.Config) -> Asked:
    """The target that was asked for, and how it is reached. Raises UsageError."""
    said = {option.name: getattr(config.option, f"conformance_{option.name.replace('-', '_')}") for option in OPTIONS}
    rate = said["rate"]
    if rate is not None and not rate.isdigit():
        raise pytest.UsageError(f"--rate {rate!r}: a number of frames a second")
    return Asked(
        target=config.option.conformance_target,
        sysctls=sysctls(config),
        agent=said["agent"],
        token_file=said["token-file"],
        service=tuple(said["service"]),
        source=tuple(said["source"]),
        interface=said["interface"],
        gateway=tuple(said["gateway"]),
        allow=tuple(said["allow"]),
        rate=RATE if rate is None else int(rate),
    )


def sysctls(config: pytest.Config) -> dict[str, str]:
    """`--sysctl`, taken apart. Raises UsageError."""
    found = {}
    for text in config.option.conformance_sysctl:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise pytest.UsageError(f"--sysctl {text!r}: say NAME=VALUE, such as tcp_sack=0")
        found[name.strip()] = value.strip()
    return found


def selection(config: pytest.Config) -> Selection:
    """What was asked for. Raises UsageError."""
    from conformance.catalogue import load
    from conformance.selection import Selection

    option = config.option
    try:
        return Selection.checked(
            load(),
            option.conformance_requirement,
            option.conformance_section,
            option.conformance_level,
            option.conformance_state,
            option.conformance_tier,
        )
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None


def shard(config: pytest.Config) -> tuple[int, int] | None:
    """Which part of how many is wanted; None for all. Raises UsageError."""
    from conformance.selection import shard_of

    asked = config.option.conformance_shard
    try:
        return None if asked is None else shard_of(asked)
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None


def deadline(config: pytest.Config) -> float | None:
    """Seconds that one variation may take: `--timeout`, where it is said; None for no limit."""
    said = getattr(config.option, "timeout", None) or os.environ.get("PYTEST_TIMEOUT")
    if said is not None:
        return float(said) or None
    return DEADLINE if config.option.conformance_tier in ("default", "quick") else None


def said(config: pytest.Config) -> dict[str, object]:
    """The options of the run, defaults included, for the report's header."""
    names = "target sysctl baseline captures tier shard requirement section level state strict no_oracle".split()
    found: dict[str, object] = {name: getattr(config.option, f"conformance_{name}") for name in names}
    found |= {"timeout": deadline(config), "keyword": config.option.keyword, "mark": config.option.markexpr}
    return found


def repeated(config: pytest.Config) -> Iterator[str]:
    """Those options, as words, that a single case needs in order to be run in the same way again."""
    defaults = {"target": "linux", "tier": "default", "baseline": None}
    for name in _VALUED:
        value = getattr(config.option, f"conformance_{name}")
        if value != defaults[name]:
            yield f"--{name}={value}"
    for name in _REPEATED:
        for value in getattr(config.option, f"conformance_{name}"):
            yield f"--{name}={value}"
    for option in OPTIONS:  # a host is not reached without them
        value = getattr(config.option, f"conformance_{option.name.replace('-', '_')}")
        if option.name == "rate" and str(value) == str(RATE):
            continue  # the command line says it always
        yield from (
            f"--{option.name}={one}" for one in ((value or ()) if option.repeated else (value,)) if one is not None
        )


def rerun(config: pytest.Config, nodeid: str) -> str:
    """The command that runs just this item, to be pasted into a shell."""
    path, _, name = nodeid.partition("::")
    place = _place(config, path)
    program = getattr(config.option, "conformance_program", "pytest")
    return shlex.join([*program.split(), f"{place}::{name}", *repeated(config)])


@lru_cache(maxsize=1)
def _place(config: pytest.Config, path: str) -> str:
    return os.path.relpath(config.rootpath / path, config.invocation_params.dir)


def report_folder(config: pytest.Config, now: str) -> Path:
    """Where the report of this run goes."""
    asked = config.option.conformance_report
    folder = Path(asked) if asked else Path("reports") / now
    return config.invocation_params.dir / folder

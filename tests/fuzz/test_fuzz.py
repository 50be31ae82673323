"""Octets from outside break nothing: some hundred inputs for each entry, and all that once broke one.

`python tests/fuzz/run.py --minutes N` does the same for as long as there is time, under atheris.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from fuzz.entries import CORPUS, ENTRIES, replay
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

RUN = Path(__file__).with_name("run.py")


@pytest.mark.parametrize("name", ENTRIES)
def test_what_is_kept_breaks_nothing(name):
    assert replay(name) >= 2


def altered(name: str) -> st.SearchStrategy[bytes]:
    """What is kept for an entry, with octets taken out and put in; and octets at random."""
    kept = st.sampled_from([file.read_bytes() for file in sorted((CORPUS / name).iterdir())])
    other = st.binary(max_size=8) | kept

    def alter(data: bytes, at: int, length: int, new: bytes) -> bytes:
        at %= len(data) + 1
        return data[:at] + new + data[at + length :]

    once = st.builds(alter, kept, st.integers(0, 4096), st.integers(0, 40), other)
    return once | st.builds(alter, once, st.integers(0, 4096), st.integers(0, 40), other) | st.binary(max_size=200)


@pytest.mark.parametrize("name", ENTRIES)
def test_what_is_altered_breaks_nothing(name):
    slow = name in ("case", "agent")

    @settings(
        max_examples=60 if slow else 250,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(altered(name))
    def check(data: bytes) -> None:
        ENTRIES[name](data)

    check()


def test_the_command_says_what_it_did_or_that_it_did_nothing():
    done = subprocess.run(
        [sys.executable, str(RUN), "codec", "--minutes", "0.02"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    if importlib.util.find_spec("atheris") is None:
        assert done.stdout.startswith("SKIPPED: ")
    else:
        assert "nothing broke" in done.stdout


def test_the_names_of_the_command_are_the_entries():
    spec = importlib.util.spec_from_file_location("fuzz_run", RUN)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert set(module.NAMES) == set(ENTRIES)

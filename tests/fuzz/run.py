"""Fuzz everything that takes octets from outside: `python tests/fuzz/run.py --minutes N [entry ...]`.

Each entry gets its share of the time in a process of its own, under atheris (`pip install atheris`, the extra `fuzz`).
An input that breaks something is left in `tests/fuzz/corpus/<entry>/`, where the tests replay it from then on; a table
says how many inputs there were. Exits with 1 when something broke, 0 without atheris, which it says.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
CORPUS = HERE / "corpus"
NAMES = ("codec", "sorting", "channel", "agent", "case", "notation", "results")
_DONE = re.compile(r"Done (\d+) runs|#(\d+)\s")


def fuzz(name: str, seconds: int) -> None:
    """In a process of its own: this entry, for so long. Doesn't return."""
    import atheris

    sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent)]
    with atheris.instrument_imports(include=["conformance", "json", "yaml"]):
        from fuzz.entries import ENTRIES
    with tempfile.TemporaryDirectory() as found:
        arguments = [
            sys.argv[0], os.environ.get("CONFORMANCE_FUZZ_FOUND", found), str(CORPUS / name),
            f"-artifact_prefix={CORPUS / name}/", f"-max_total_time={seconds}", "-max_len=4096", "-timeout=20",
            "-rss_limit_mb=1024", "-print_final_stats=1",
        ]  # fmt: skip
        atheris.Setup(arguments, ENTRIES[name])
        atheris.Fuzz()


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("entries", nargs="*", help=f"which: {', '.join(NAMES)}; all of them when none is named")
    parser.add_argument("--minutes", type=float, default=7.0, help="for all of them together")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if unknown := [name for name in asked.entries if name not in NAMES]:
        parser.error(f"{unknown[0]!r} is none of {', '.join(NAMES)}")
    if importlib.util.find_spec("atheris") is None:
        print("SKIPPED: nothing is fuzzed, for atheris is not installed: pip install atheris")
        return 0
    if asked.one:
        fuzz(asked.one, asked.seconds)
    names = asked.entries or list(NAMES)
    seconds = max(1, round(asked.minutes * 60 / len(names)))
    print(f"{'entry':<12}{'inputs':>12}{'seconds':>9}  outcome")
    broken = 0
    for name in names:
        done = subprocess.run(
            [sys.executable, __file__, "--one", name, "--seconds", str(seconds)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False,
            preexec_fn=_calmly,
        )  # fmt: skip
        inputs = max((int(a or b) for a, b in _DONE.findall(done.stdout)), default=0)
        outcome = "nothing broke" if done.returncode == 0 else f"BROKE (exit code {done.returncode})"
        print(f"{name:<12}{inputs:>12}{seconds:>9}  {outcome}", flush=True)
        if done.returncode:
            broken += 1
            print(done.stdout[-4000:])
    return 1 if broken else 0


def _calmly() -> None:
    os.nice(19)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    sys.exit(main())

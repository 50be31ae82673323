"""Keeps the page that compares the committed models: `python -m conformance.learn.page [--again | --stale] [NAME ...]`.

Takes the folders that `conformance learn` wrote (reports/learned/TARGET-ALPHABET) into reports/models, and writes the
tables of its README.md anew from the models that are there; what people wrote around them stays. With `--again` the
names are of models that are there: each is drawn anew and, on its target, held against the RFC once more. With
`--stale` those that were judged by an older event table or older rules (of the names given, or of all) are judged.
"""

from __future__ import annotations

import argparse
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from conformance.catalogue import load as load_catalogue
from conformance.learn import draw, files
from conformance.learn.alphabet import load
from conformance.learn.diff import Side, compare
from conformance.learn.fresh import is_fresh
from conformance.learn.model import Model
from conformance.learn.session import checked, open_asker

FOLDER = Path("reports") / "models"
BEGIN, END = "<!-- tables: python -m conformance.learn.page -->", "<!-- end of tables -->"
_KEPT = {"model.json": ".json", "model.dot": ".dot", "findings.txt": ".txt"}
PATIENCE = 1200.0
"""Seconds that a picture which is kept may take: by size, not by how busy the machine is, is chosen how it is drawn."""
_ORDER = ("flags", "server", "client", "client-once", "full", "full-once")


def take(learned: Path, folder: Path) -> None:
    """Copy what one run wrote, the picture drawn anew. Raises ModelError, OSError."""
    for name, suffix in _KEPT.items():
        if (learned / name).exists():
            shutil.copyfile(learned / name, folder / f"{learned.name}{suffix}")
    redraw(learned.name, folder)


def redraw(name: str, folder: Path) -> None:
    """Draw a committed model. Raises ModelError, OSError."""
    picture = draw.svg(files.read(folder / f"{name}.json"), PATIENCE)
    (folder / f"{name}.svg").write_text(picture, encoding="utf-8")


def again(name: str, folder: Path) -> None:
    """Draw a committed model anew and judge it on its target. Raises as `judge`."""
    redraw(name, folder)
    judge(name, folder)


def judge(name: str, folder: Path) -> None:
    """Hold a committed model against the RFC, on its target. Raises ModelError, OSError, TargetError, AdapterError."""
    model = files.read(folder / f"{name}.json")
    if not model.facts["finished"]:
        return
    asker = open_asker(str(model.facts["target"]), load(str(model.facts["alphabet"])))
    try:
        with tempfile.TemporaryDirectory() as scratch:
            checked(asker, model, load_catalogue(), Path(scratch))
            shutil.copyfile(Path(scratch) / "findings.txt", folder / f"{name}.txt")
    finally:
        asker.close()


def stale(folder: Path) -> list[str]:
    """The finished models that were judged by something older. Raises ModelError, OSError."""
    found = models(folder)
    return [name for name in found if found[name].facts["finished"] and not is_fresh(folder / f"{name}.txt")]


def models(folder: Path) -> dict[str, Model]:
    """The models by name: by stack, then by alphabet. Raises ModelError."""
    found = {path.stem: files.read(path) for path in folder.glob("*.json")}
    return dict(sorted(found.items(), key=lambda item: (_stack(*item), _rank(item[1]))))


def _stack(name: str, model: Model) -> str:
    return name.removesuffix(f"-{model.facts['alphabet']}")


def _rank(model: Model) -> tuple[int, str]:
    alphabet = str(model.facts["alphabet"])
    return (_ORDER.index(alphabet) if alphabet in _ORDER else len(_ORDER), alphabet)


def tables(found: dict[str, Model], old: Sequence[str] = ()) -> str:
    """The figures of each model, those with `old` verdicts, and how many differences are between any two stacks."""
    said = (
        f"Not judged by today's rules (`--stale` does it): {', '.join(old)}."
        if old
        else "Each is judged by today's rules."
    )
    return "\n".join([*_figures(found), "", said, "", *_differences(found)])


def _figures(found: dict[str, Model]) -> Iterator[str]:
    yield "| model | stack | states | inputs | queries | steps | seconds | us a step | right if no more states than |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for name, model in found.items():
        said: Any = model.facts["statistics"]
        resumed = f" (+{said['resumed']} before)" if said["resumed"] else ""
        queries = f"{said['queries']}{resumed}"
        proof = f"{said['states']}+{said['depth']}" if model.facts["finished"] else "not finished"
        flaws = len(model.facts["nondeterminism"])  # type: ignore[arg-type]
        if flaws:
            proof += f"; {flaws} words answered in two ways"
        cells = (f"[{name}]({name}.svg)", _version(str(model.facts["kernel"])), said["states"], said["inputs"], queries)
        more = (said["steps"], said["seconds"], said["microseconds_a_step"], proof)
        yield f"| {' | '.join(map(str, (*cells, *more)))} |"


def _version(kernel: str) -> str:
    """Of an own kernel the release, without whose build it is."""
    return re.sub(r"^(Linux \d+\.\d+).*", r"\1", kernel)


def _differences(found: dict[str, Model]) -> Iterator[str]:
    whole = {name: model for name, model in found.items() if model.facts["finished"]}
    for alphabet in _ORDER:
        names = [name for name, model in whole.items() if model.facts["alphabet"] == alphabet]
        if len(names) < 2:
            continue
        counts = {(a, b): len(compare(Side(a, whole[a]), Side(b, whole[b]))) for a, b in combinations(names, 2)}
        short = [_stack(name, whole[name]) for name in names]
        yield f"Differences over `{alphabet}`, of cause:"
        yield ""
        yield f"| | {' | '.join(short[1:])} |"
        yield "|---" * len(short) + "|"
        for row, one in enumerate(names[:-1]):
            cells = ["" if column <= row else str(counts[one, names[column]]) for column in range(1, len(names))]
            yield f"| {short[row]} | {' | '.join(cells)} |"
        yield ""


def written(page: str, found: dict[str, Model], old: Sequence[str] = ()) -> str:
    """The page with its tables made anew. Raises ValueError: the marks are not there."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN!r} or no {END!r} behind it")
    return f"{before}{BEGIN}\n{tables(found, old)}\n{END}{after}"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m conformance.learn.page")
    parser.add_argument("names", nargs="*", metavar="NAME", help="what was learned: folders; or models that are here")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--again", action="store_true", help="draw these models anew, and judge them on their targets")
    how.add_argument(
        "--stale", action="store_true", help="judge those, of all if none is named, whose verdicts are old"
    )
    asked = parser.parse_args()
    if asked.stale:
        for name in stale(FOLDER):
            if name in asked.names or not asked.names:
                judge(name, FOLDER)
    elif asked.again:
        for name in asked.names:
            again(name, FOLDER)
    else:
        for name in asked.names:
            take(Path(name), FOLDER)
    page = FOLDER / "README.md"
    page.write_text(written(page.read_text(encoding="utf-8"), models(FOLDER), stale(FOLDER)), encoding="utf-8")


if __name__ == "__main__":
    main()

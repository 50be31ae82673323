"""The page itself: one HTML file, offline, made of the template, the style and the scripts beside this module.

Everything that a target or a case may have said is packed (`model.pack`) or escaped by the template; the scripts write
it as text only, and the page's own policy lets no other script run. Imports jinja2 and the model.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from conformance import __version__
from conformance.catalogue.catalogue import load
from conformance.report.html.model import COLUMNS, Model, pack

HERE = Path(__file__).parent
SCRIPTS = ("core", "pcapng", "ladder", "overview", "matrix", "case", "states", "diff", "main")


def write(reports: Iterable[Path], output: Path, *, title: str = "", start: str = "") -> Model:
    """Write the page of these reports; `start` is the route that it opens with. What was read is returned.

    Raises ReportError for what is no report, and OSError. The file is whole or not there.
    """
    model = Model(load())
    for path in reports:
        model.add(path)
    save(_render(model, title, start), output)
    return model


def _render(model: Model, title: str, start: str) -> Iterable[str]:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined)
    style = (HERE / "style.css").read_text(encoding="utf-8")
    bodies = [(HERE / "scripts" / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS]
    script = '"use strict";\n(() => {\n' + "\n".join(bodies) + "\n})();\n"
    if "</" in script or "<!--" in script:
        raise ValueError("a script of the page has what would end it")
    labels = [run.label for run in model.runs]
    return environment.get_template("page.html.j2").generate(
        title=title or f"TCP conformance: {', '.join(labels[:4])}{' ...' if len(labels) > 4 else ''}",
        script=Markup(script),  # noqa: S704 - ours, and looked at above
        style=Markup(style),  # noqa: S704 - ours
        script_hash=digest(script),
        style_hash=digest(style),
        index=pack(model.index() | {"start": start}),
        chunks=model.chunks,
        runs=model.table(),
        columns=list(COLUMNS),
        tool=__version__,
        made=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    )


def digest(text: str) -> str:
    """What the policy of a page says of a script or style that it has itself."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def save(parts: Iterable[str], output: Path) -> None:
    """Write a page: the file is whole or not there. Raises OSError."""
    part = output.with_name(output.name + ".part")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w", encoding="utf-8", errors="backslashreplace") as file:
            file.writelines(parts)
        part.replace(output)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)

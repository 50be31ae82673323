"""A model as a picture for people: by Graphviz where it is installed and the model not too large, else in layers.

Inputs that do and leave nothing are left out; what leaves the state as it is stands inside its box.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from collections import defaultdict
from xml.sax.saxutils import escape

from conformance.learn.model import Model
from conformance.learn.naming import NOTHING

_USUAL = re.compile(r" (seq=snd\.nxt|ack=rcv\.nxt|seq=iss|ack=seg\.end|returns ok)(?![^ ;|])")
PATIENCE = 20.0
"""Seconds that Graphviz may take where nothing else is said."""
LARGEST = 1200
"""Arrows from state to state up to which Graphviz is asked: a thousand take it minutes, more no end."""
_CHARACTER, _LINE, _PAD = 6.2, 14, 10
_GAP_X, _GAP_Y = 190, 46


def _grouped(model: Model, state: int) -> dict[int, list[str]]:
    """Next state -> `inputs / output`, inputs with one output together."""
    found: dict[int, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for letter in model.letters:
        output, to = model.edges[state][letter]
        if to != state or output != NOTHING:
            found[to][output].append(letter)
    return {to: [f"{' | '.join(inputs)} / {short(out)}" for out, inputs in by.items()] for to, by in found.items()}


def short(output: str) -> str:
    """An output without the numbers that a right peer would expect anyway."""
    return _USUAL.sub("", output)


def drawing(model: Model) -> str:
    """The picture as a graph in DOT, edges between the same states drawn as one."""
    lines = ["digraph model {", "rankdir=LR;", 'node [shape=box style=rounded fontname="sans-serif" fontsize=11];']
    lines.append('edge [fontname="sans-serif" fontsize=9];')
    for state in range(len(model)):
        groups = _grouped(model, state)
        text = _label([model.name(state), *groups.pop(state, [])])
        lines.append(f's{state} [label="{text}"{" penwidth=2" if not state else ""}];')
        for to, labels in groups.items():
            lines.append(f's{state} -> s{to} [label="{_label(labels)}"];')
    return "\n".join([*lines, "}", ""])


def _label(lines: list[str]) -> str:
    """Lines of a label, each ending to the left."""
    return "".join(line.replace("\\", "\\\\").replace('"', '\\"') + "\\l" for line in lines)


def svg(model: Model, patience: float = PATIENCE) -> str:
    """The picture as SVG; `patience` is how many seconds Graphviz may take."""
    dot = shutil.which("dot")
    graph = drawing(model)
    if dot is not None and graph.count(" -> ") <= LARGEST:
        with contextlib.suppress(subprocess.TimeoutExpired):
            done = subprocess.run(
                [dot, "-Tsvg"], input=graph, capture_output=True, text=True, check=False, timeout=patience
            )
            if not done.returncode and "<svg" in done.stdout:
                return done.stdout[done.stdout.index("<svg") :]
    return _layered(model)


class _Box:
    """A state's place."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.width = max(len(line) for line in lines) * _CHARACTER + 2 * _PAD
        self.height = len(lines) * _LINE + 2 * _PAD
        self.x = self.y = 0.0


def _layered(model: Model) -> str:
    """States in columns by the length of the shortest word that leads there."""
    groups = [_grouped(model, state) for state in range(len(model))]
    boxes = [_Box([model.name(state), *groups[state].get(state, [])]) for state in range(len(model))]
    layers: dict[int, list[int]] = defaultdict(list)
    for state, word in enumerate(model.access()):
        layers[len(word)].append(state)
    x = tallest = 20.0
    for depth in sorted(layers):
        y = 20.0
        for state in layers[depth]:
            boxes[state].x, boxes[state].y = x, y
            y += boxes[state].height + _GAP_Y
        tallest = max(tallest, y)
        x += max(boxes[state].width for state in layers[depth]) + _GAP_X
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {x:.0f} {tallest + 60:.0f}" width="{x:.0f}" '
        f'height="{tallest + 60:.0f}" font-family="sans-serif" font-size="10">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0,0L8,4L0,8z"/></marker></defs><rect width="100%" height="100%" fill="white"/>',
    ]
    for state, group in enumerate(groups):
        for to, labels in group.items():
            if to != state:
                parts.append(_arrow(boxes[state], boxes[to], labels))
    for state, box in enumerate(boxes):
        parts.append(
            f'<rect x="{box.x:.0f}" y="{box.y:.0f}" width="{box.width:.0f}" height="{box.height:.0f}" rx="6" '
            f'fill="#f4f7fb" stroke="#345" stroke-width="{1 if state else 2}"/>'
        )
        for row, line in enumerate(box.lines):
            weight = ' font-weight="bold"' if not row else ""
            y = box.y + _PAD + (row + 0.8) * _LINE
            parts.append(f'<text x="{box.x + _PAD:.0f}" y="{y:.0f}"{weight}>{escape(line)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _arrow(start: _Box, end: _Box, labels: list[str]) -> str:
    forward = end.x > start.x
    x1 = start.x + start.width if forward else start.x
    x2 = end.x if forward else end.x + end.width
    y1, y2 = start.y + start.height * 0.4, end.y + end.height * (0.3 if forward else 0.8)
    bend = 80 if forward else -80
    if start.x == end.x:  # in one column: around the left side
        x2, bend = end.x, -90
        path = f"M{x1:.0f},{y1:.0f}C{x1 + bend:.0f},{y1:.0f} {x2 + bend:.0f},{y2:.0f} {x2:.0f},{y2:.0f}"
    else:
        path = f"M{x1:.0f},{y1:.0f}C{x1 + bend:.0f},{y1:.0f} {x2 - bend:.0f},{y2:.0f} {x2:.0f},{y2:.0f}"
    colour = "#345" if forward else "#a65"
    found = [f'<path d="{path}" fill="none" stroke="{colour}" marker-end="url(#tip)"/>']
    share = 0.3  # nearer to where it begins: arrows that end together do not begin together
    x, y = x1 + (x2 - x1) * share + bend * 0.3, y1 + (y2 - y1) * share - 4
    for row, label in enumerate(labels):
        found.append(f'<text x="{x:.0f}" y="{y + row * 11:.0f}" fill="{colour}" font-size="9">{escape(label)}</text>')
    return "\n".join(found)

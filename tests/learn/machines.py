"""Small machines that are known, to be learned."""

from __future__ import annotations

from conformance.learn.alphabet import Word
from conformance.learn.model import Model, from_mapping

COFFEE = from_mapping(
    ("coin", "button", "water"),
    {
        "empty": {"coin": ("back", "empty"), "button": ("beep", "empty"), "water": ("ok", "ready")},
        "ready": {"coin": ("ok", "paid"), "button": ("beep", "ready"), "water": ("full", "ready")},
        "paid": {"coin": ("back", "paid"), "button": ("coffee", "used"), "water": ("full", "paid")},
        "used": {"coin": ("ok", "paid again"), "button": ("beep", "used"), "water": ("ok", "ready")},
        "paid again": {"coin": ("back", "paid again"), "button": ("coffee", "empty"), "water": ("ok", "paid")},
    },
    "empty",
)
"""Makes two coffees with one filling."""


def lock(length: int) -> Model:
    """Opens after a secret of a's and b's: the wrong letter anywhere begins anew. Only long words tell its states."""
    edges = {}
    for index in range(length):
        right, wrong = ("a", "b") if index % 3 else ("b", "a")
        after = f"s{index + 1}" if index + 1 < length else "s0"
        edges[f"s{index}"] = {right: ("open" if after == "s0" else "-", after), wrong: ("-", "s0")}
    return from_mapping(("a", "b"), edges, "s0")


class Machine:
    """Answers as a model does, but for what `odd` says at the n-th query."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.asked: list[Word] = []

    def ask(self, word: Word) -> tuple[str, ...]:
        self.asked.append(word)
        return self.model.run(word)[0]

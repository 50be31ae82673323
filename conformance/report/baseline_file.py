"""Reads a baseline: YAML into entries, every mistake of the file told with its line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from conformance.engine.result import Verdict
from conformance.report.baseline import Baseline, BaselineError, Deviation, today

_VERDICTS = {str(v): v for v in (Verdict.FAIL, Verdict.DEVIATION, Verdict.UNSUPPORTED, Verdict.INCONCLUSIVE)}
_CONDITIONS = ("ip", "kernel", "option", "profile")


def load(path: Path) -> Baseline:
    """Read a baseline. Raises BaselineError with every mistake of the file, and OSError.

    The names of cases and requirements are compared by `Baseline.check`.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        raise BaselineError(f"{path}{line}: {getattr(error, 'problem', None) or error}") from error
    except UnicodeDecodeError as error:
        raise BaselineError(f"{path}: it is no UTF-8 text: {error}") from error
    reader = _Reader(path)
    baseline = reader.baseline(root, load)
    if reader.errors:
        raise BaselineError("\n".join(reader.errors))
    return baseline


class _Reader:
    """Turns YAML nodes into entries, and collects what is wrong with them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.errors: list[str] = []

    def error(self, node: Any, text: str) -> None:
        line = 1 if node is None else node.start_mark.line + 1
        self.errors.append(f"{self.path}:{line}: {text}")

    def baseline(self, root: Any, load: Callable[[Path], Baseline]) -> Baseline:
        top = self.mapping(root, ("like", "except", "reviewed", "deviations"), ("reviewed", "deviations"))
        reviewed = self.mapping(top["reviewed"], ("kernel",), ("kernel",)) if "reviewed" in top else {}
        kernels = [self.text(item) for item in self.items(reviewed.get("kernel"))]
        own = tuple(one for item in self.items(top.get("deviations")) for one in self.deviations(item))
        return Baseline(self.path, tuple(kernels), own + self.inherited(top, load))

    def inherited(self, top: Mapping[str, Any], load: Callable[[Path], Baseline]) -> tuple[Deviation, ...]:
        """The entries of `like` that `except` leaves."""
        fields = [self.mapping(item, ("case", "reason"), ("case", "reason")) for item in self.items(top.get("except"))]
        left_out = [self.text(one["case"]) for one in fields if "case" in one]
        if "like" not in top:
            return ()
        other = self.path.with_name(f"{self.text(top['like'])}.yaml")
        if other == self.path or not other.is_file():
            self.error(top["like"], f"like names another stack's baseline: there is no {other.name} beside this file")
            return ()
        entries = load(other).deviations
        for case in left_out:
            if not any(entry.meant_by(case) for entry in entries):
                self.error(top["except"], f"{other.name} has no entry for {case!r}: take the exception out")
        return tuple(entry for entry in entries if not any(entry.meant_by(case) for case in left_out))

    def deviations(self, node: Any) -> list[Deviation]:
        """What an entry says: one deviation, or one for each of its `cases`."""
        before = len(self.errors)
        several = node.id == "mapping" and any(key.value == "cases" for key, _ in node.value)
        own = ("cases",) if several else ("case", "requirement")
        allowed = (*own, "verdict", "reason", "condition", "chance", "until")
        fields = self.mapping(node, allowed, (own[0], "verdict", "reason"))
        condition = self.mapping(fields.pop("condition"), _CONDITIONS, ()) if "condition" in fields else {}
        until = self.date(fields.pop("until")) if "until" in fields else None
        cases = self.cases(node, fields.pop("cases", None)) if several else []
        texts = {name: self.text(value) for name, value in {**fields, **condition}.items()}
        verdict = _VERDICTS.get(texts.pop("verdict", ""))
        if "verdict" in fields and verdict is None:
            self.error(fields["verdict"], f"verdict should be one of {', '.join(_VERDICTS)}")
        if verdict in (Verdict.FAIL, Verdict.DEVIATION):
            for place, needed in cases if several else [(node, fields.get("requirement"))]:
                if needed is None:
                    self.error(place, f"a {verdict} needs the requirement that is broken")
        if texts.get("ip", "v4") not in ("v4", "v6"):
            self.error(condition["ip"], "ip should be v4 or v6")
        if len(self.errors) > before or verdict is None:
            return []
        line = node.start_mark.line + 1
        first = Deviation(
            texts.get("case", ""),
            verdict,
            texts["reason"],
            texts.get("requirement"),
            ip=texts.get("ip"),
            kernel=texts.get("kernel"),
            option=texts.get("option"),
            profile=texts.get("profile"),
            chance=texts.get("chance"),
            until=until,
            line=line,
            path=self.path,
        )
        if not several:
            return [first]
        return [
            replace(first, case=key.value, requirement=broken, line=key.start_mark.line + 1, group=line)
            for key, broken in cases
        ]

    def cases(self, entry: Any, node: Any) -> list[tuple[Any, str | None]]:
        """The cases of one cause: the node of each, and the requirement that it breaks."""
        if node is None or node.id != "mapping" or not node.value:
            self.error(node or entry, "cases should be a mapping of cases, each with its requirement")
            return []
        if entry.value[-1][1] is not node:
            self.error(node, "cases should come last in its entry")
        found: dict[str, tuple[Any, str | None]] = {}
        for key, value in node.value:
            if key.value in found:
                self.error(key, f"{key.value!r} stands twice")
            if value.id != "scalar":
                self.error(value, "a requirement should stand here")
                continue
            found[key.value] = (key, value.value.strip() or None)
        return list(found.values())

    def date(self, node: Any) -> date | None:
        try:
            return date.fromisoformat(self.text(node))
        except ValueError:
            self.error(node, f"until should be a date such as {today()}")
            return None

    def mapping(self, node: Any, allowed: tuple[str, ...], needed: tuple[str, ...]) -> dict[str, Any]:
        if node is None or node.id != "mapping":
            self.error(node, f"a mapping with {', '.join(allowed)} should stand here")
            return {}
        fields: dict[str, Any] = {}
        for key, value in node.value:
            name = str(key.value)
            if name not in allowed:
                self.error(key, f"{name!r} is no key here; there are {', '.join(allowed)}")
            elif name in fields:
                self.error(key, f"{name!r} stands twice")
            else:
                fields[name] = value
        for name in needed:
            if name not in fields:
                self.error(node, f"{name!r} is missing")
        return fields

    def items(self, node: Any) -> list[Any]:
        if node is None or (node.id == "scalar" and node.value in ("", "~", "null")):
            return []
        if node.id != "sequence":
            self.error(node, "a list should stand here")
            return []
        return list(node.value)

    def text(self, node: Any) -> str:
        if node.id != "scalar" or not node.value.strip():
            self.error(node, "a text should stand here")
            return ""
        return str(node.value).strip()

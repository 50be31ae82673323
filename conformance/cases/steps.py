"""One step of a case: from a YAML mapping to a frozen Step, or to problems with their places."""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping, Sequence
from typing import Any

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from conformance.cases import model as m
from conformance.cases.parameters import UndefinedParameter, substitute
from conformance.cases.values import ValueReader, whole_expr
from conformance.cases.yamltree import Problems, items, near
from conformance.tcp.expression import Number
from conformance.tcp.notation import Icmp, Kind, Nothing, Retransmission, SegmentLine, Stream, open_values
from conformance.tcp.notation import parse_payload as parse_octets
from conformance.tcp.states import State

VERBS = frozenset("listen accept connect send recv shutdown close abort exit setsockopt getsockopt poll atmark".split())
ERRNOS = frozenset(errno.errorcode.values())
MOST_ROUNDS = 5000
_COMMON = frozenset({"requirement", "conn"})
KEYS: dict[str, frozenset[str]] = {
    "send": _COMMON | {"as", "unpaced"},
    "expect": _COMMON | {"as", "within", "since", "for", "gap", "times", "lost", "acked"},
    "any-of": _COMMON,
    "call": _COMMON | {"as", "returns", "raises", "within"},
    "result": _COMMON | {"returns", "raises", "within"},
    "state": _COMMON,
    "wait": _COMMON,
    "check": _COMMON,
    "repeat": _COMMON | {"until", "steps"},
    "deliver": _COMMON,
    "stop": _COMMON,
}
"""The keys that each kind of step takes beside its own."""

_CALL = re.compile(r"\s*(listener\.)?([a-z]+)\s*\((.*)\)\s*", re.DOTALL)
_CHECK = re.compile(r"(.+?)(<=|>=|==|!=|<|>)(.+)", re.DOTALL)


class StepReader(ValueReader):
    """Reads the steps of one variation; `values` are its parameters."""

    def __init__(
        self,
        problems: Problems,
        values: Mapping[str, str],
        known_ids: frozenset[str] | None,
        shared: dict[int, m.Step] | None = None,
    ) -> None:
        super().__init__(problems, values, known_ids)
        self.shared = {} if shared is None else shared
        """Steps without parameters, by the identity of their node: equal in every variation of a case."""

    def steps(self, node: Node | None, what: str = "steps") -> tuple[m.Step, ...]:
        """A list of steps."""
        if not isinstance(node, SequenceNode):
            if node is not None:
                self.problems.at(node, f"{what} is a list of steps: '- send: SYN'")
            return ()
        found = []
        for item in node.value:
            step = self.shared.get(id(item))
            if step is None:
                problems = len(self.problems.found)
                step = self.step(item)
                if step is not None and len(self.problems.found) == problems and not _has_parameter(item):
                    self.shared[id(item)] = step
            if step is not None:
                found.append(step)
        return tuple(found)

    def step(self, node: Node) -> m.Step | None:
        """One step, or None after noting what is wrong."""
        if isinstance(node, ScalarNode) and node.value == "stop":
            return m.Stop(place=self.problems.place(node), text="stop")
        if not isinstance(node, MappingNode):
            self.problems.at(node, f"a step is one of {', '.join(KEYS)}, as '- send: SYN'")
            return None
        keys = {key: value for key, _, value in items(node)}
        kinds = [key for key in keys if key in KEYS]
        if len(kinds) != 1:
            said = ", ".join(kinds) or ", ".join(keys) or "nothing"
            hint = f" ({near(next(iter(keys)), set(KEYS))})" if not kinds and keys else ""
            self.problems.at(node, f"a step has exactly one of {', '.join(KEYS)}; this one says {said}{hint}")
            return None
        kind = kinds[0]
        for key, key_node, _ in items(node):
            if key != kind and key not in KEYS[kind]:
                self.problems.at(key_node, f"{key!r} means nothing to {kind}; {near(key, set(KEYS[kind]))}")
        said = keys[kind].value if isinstance(keys[kind], ScalarNode) else ""
        try:
            said = substitute(said, self.values) if said else ""
        except UndefinedParameter:
            pass
        common: dict[str, Any] = {
            "place": self.problems.place(node),
            "text": f"{kind}: {said}".strip().rstrip(":"),
            "requirements": self.requirements(keys.get("requirement")),
        }
        conn = self.name(keys.get("conn"), "conn")
        if conn:
            common["conn"] = conn
        reader = getattr(self, f"_{kind.replace('-', '_')}")
        step: m.Step | None = reader(keys[kind], keys, common)
        return step

    def _send(self, node: Node, keys: Mapping[str, Node], common: dict[str, Any]) -> m.Step | None:
        line = self.line(node, "send")
        if line is None:
            return None
        if isinstance(line, Nothing | Kind):
            self.problems.at(node, "only expect takes this; send takes a segment")
            return None
        opened = list(open_values(line)) if isinstance(line, SegmentLine | Stream | Icmp) else []
        if opened:
            self.problems.at(node, f"{opened[0]} leaves open what to send: only expect takes ranges, * and ?")
            return None
        unpaced = self.flag(keys.get("unpaced"), "unpaced")
        return m.Send(line=line, name=self.name(keys.get("as"), "as"), unpaced=unpaced, **common)

    def _expect(self, node: Node, keys: Mapping[str, Node], common: dict[str, Any]) -> m.Step | None:
        line = self.line(node, "expect")
        spans = {key: self.span(keys[key], key) for key in ("within", "for", "gap") if key in keys}
        if line is None:
            return None
        nothing = isinstance(line, Nothing)
        for key in ("as", "within", "gap", "times", "lost", "acked", "since"):
            if nothing and key in keys and key != "since":
                self.problems.at(keys[key], f"{key} means nothing where nothing is expected; 'for: 2s' says how long")
        if not nothing and "for" in keys:
            self.problems.at(keys["for"], "'for' goes with 'expect: nothing'; a segment takes 'within'")
        if isinstance(line, Icmp):
            self.problems.at(node, "ICMP can be sent, not expected")
            return None
        if isinstance(line, Stream) and line.start is not None and not isinstance(line.payload, tuple):
            return None
        return m.Expect(
            line=line,
            name=self.name(keys.get("as"), "as"),
            within=spans.get("within"),
            since=self.name(keys.get("since"), "since"),
            lasting=spans.get("for"),
            gap=spans.get("gap"),
            times=self._times(keys.get("times")),
            lost=self.flag(keys.get("lost"), "lost"),
            acked=self.flag(keys.get("acked"), "acked"),
            **common,
        )

    def _times(self, node: Node | None) -> tuple[int, int | None]:
        if node is None:
            return (1, 1)
        text = self.text(node, "times") or ""
        match = re.fullmatch(r"(\d{1,6})(?:(\.\.)(\d{1,6})?)?", text.strip())
        if match is None or int(match.group(1)) > MOST_ROUNDS:
            self.problems.at(node, "times takes a number or a range: 2, 1..3, 2..")
            return (1, 1)
        low = int(match.group(1))
        if not match.group(2):
            return (low, low)
        return (low, int(match.group(3)) if match.group(3) else None)

    def _any_of(self, node: Node, keys: Mapping[str, Node], common: dict[str, Any]) -> m.Step | None:
        if not isinstance(node, MappingNode) or not node.value:
            self.problems.at(node, "any-of is a mapping: a label for each way, and its steps")
            return None
        branches = []
        for label, key, value in items(node):
            steps = self.steps(value, label)
            if steps and not isinstance(steps[0], m.Expect | m.ResultOf | m.Call):
                self.problems.at(key, "a way begins with what tells it apart: an expect, a call or a result")
            branches.append((label, steps))
        return m.AnyOf(branches=tuple(branches), **common)

    def _call(self, node: Node, keys: Mapping[str, Node], common: dict[str, Any]) -> m.Step | None:
        text = self.text(node, "call")
        if text is None:
            return None
        match = _CALL.fullmatch(text)
        if match is None or match.group(2) not in VERBS:
            verb = match.group(2) if match else text.split("(")[0].strip()
            self.problems.at(node, f"a call is a verb with parentheses, as recv(1); {near(verb, set(VERBS))}")
            return None
        arguments = self._arguments(node, match.group(3))
        awaited = self._awaited(keys)
        if awaited.get("returns") == "sent" and match.group(2) != "recv":
            self.problems.at(keys["returns"], "only recv returns what was sent")
        return m.Call(
            verb=match.group(2),
            args=arguments,
            on_listener=bool(match.group(1)) or match.group(2) in ("listen", "accept"),
            name=self.name(keys.get("as"), "as"),
            **awaited,
            **common,
        )

    def _arguments(self, node: Node, text: str) -> tuple[m.Argument, ...]:
        found = []
        for part in re.findall(r'(?:"(?:[^"\\]|\\.)*"|\([^)]*\)|[^,"(])+', text):
            part = part.strip()
            if not part:
                continue
            if re.fullmatch(r"\d{1,18}|0x[0-9a-fA-F]{1,16}", part):
                found.append(m.Argument(number=int(part, 16 if part[:2] == "0x" else 10)))
            elif re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", part):
                found.append(m.Argument(word=part))
            else:
                payload = self.notation(node, part, parse_octets)
                if payload is not None:
                    found.append(m.Argument(payload=payload))
        return tuple(found)

    def _awaited(self, keys: Mapping[str, Node]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if "within" in keys:
            found["within"] = self.span(keys["within"], "within")
        if "raises" in keys:
            node = keys["raises"]
            names = []
            for item in node.value if isinstance(node, SequenceNode) else [node]:
                text = self.text(item, "raises")
                if text is not None and text not in ERRNOS:
                    self.problems.at(item, f"raises takes an errno by name; {near(text, set(ERRNOS))}")
                elif text is not None:
                    names.append(text)
            found["raises"] = tuple(names)
        if "returns" in keys:
            text = self.text(keys["returns"], "returns")
            if text is not None:
                if re.fullmatch(r"-?\d{1,18}", text):
                    found["returns"] = int(text)
                elif re.fullmatch(r"eof|any|ok|sent|[A-Z]+(\|[A-Z]+)*|none", text):
                    found["returns"] = text
                else:
                    found["returns"] = self.notation(keys["returns"], text, parse_octets)
        return found

    def _result(self, node: Node, keys: Mapping[str, Node], common: dict[str, Any]) -> m.Step | None:
        name = self.name(node, "result")
        return None if name is None else m.ResultOf(name=name, **self._awaited(keys), **common)

    def _state(self, node: Node, keys: Mapping[str, Node], common: dict[str, Any]) -> m.Step | None:
        state = self.state(node)
        return None if state is None else m.StateIs(state=state, **common)

    def state(self, node: Node) -> State | None:
        """One of the eleven states."""
        text = self.text(node, "state")
        if text is None:
            return None
        if text not in [str(state) for state in State]:
            self.problems.at(node, f"{text!r} is none of the eleven states; {near(text, {str(s) for s in State})}")
            return None
        return State(text)

    def _wait(self, node: Node, keys: Mapping[str, Node], common: dict[str, Any]) -> m.Step | None:
        span = self.span(node, "wait")
        return None if span is None else m.Wait(span=span, **common)

    def _check(self, node: Node, keys: Mapping[str, Node], common: dict[str, Any]) -> m.Check | None:
        text = self.text(node, "check")
        if text is None:
            return None
        match = _CHECK.fullmatch(text)
        if match is None:
            self.problems.at(node, "check takes a comparison: synack.win <= 65535")
            return None
        left = self.notation(node, match.group(1), whole_expr)
        right = self.notation(node, match.group(3), whole_expr)
        return None if left is None or right is None else m.Check(left=left, op=match.group(2), right=right, **common)

    def _repeat(self, node: Node, keys: Mapping[str, Node], common: dict[str, Any]) -> m.Step | None:
        text = self.text(node, "repeat") or ""
        if not re.fullmatch(r"\d{1,6}", text) or not 1 <= int(text) <= MOST_ROUNDS:
            self.problems.at(node, f"repeat takes how often, 1 to {MOST_ROUNDS}; with 'until', how often at most")
            return None
        until = self._check(keys["until"], {}, dict(common)) if "until" in keys else None
        if "steps" not in keys:
            self.problems.at(node, "repeat takes its steps beside it: 'steps: [...]'")
            return None
        body = _Body(self, keys["steps"])
        body(1)
        return m.Repeat(count=int(text), until=until, body=body, **common)

    def _deliver(self, node: Node, keys: Mapping[str, Node], common: dict[str, Any]) -> m.Step | None:
        text = self.text(node, "deliver")
        if text is None:
            return None
        if re.fullmatch(r"[A-Za-z][A-Za-z0-9 ]*", text):
            text = f'"{text}"'
        payload = self.notation(node, text, parse_octets)
        return None if payload is None else m.Deliver(payload=payload, **common)

    def _stop(self, node: Node, keys: Mapping[str, Node], common: dict[str, Any]) -> m.Step | None:
        return m.Stop(**common)


def _has_parameter(node: Node) -> bool:
    if isinstance(node, ScalarNode):
        return "$" in node.value
    if isinstance(node, SequenceNode):
        return any(_has_parameter(item) for item in node.value)
    return any(_has_parameter(value) for _, value in node.value)


class _Body:
    """The steps of a `repeat`, read for each round with its `$n`."""

    def __init__(self, reader: StepReader, node: Node) -> None:
        self._reader = reader
        self._node = node
        self._rounds: dict[int, tuple[m.Step, ...]] = {}

    def __call__(self, number: int) -> tuple[m.Step, ...]:
        known = self._rounds.get(number)
        if known is None:
            reader = StepReader(
                self._reader.problems, {**self._reader.values, "n": str(number)}, self._reader.known_ids
            )
            known = self._rounds[number] = reader.steps(self._node)
        return known


def walk(steps: Sequence[m.Step]) -> list[m.Step]:
    """All steps, those inside any-of and repeat (its first round) too."""
    found: list[m.Step] = []
    for step in steps:
        found.append(step)
        if isinstance(step, m.AnyOf):
            for _, branch in step.branches:
                found += walk(branch)
        elif isinstance(step, m.Repeat):
            found += walk(step.body(1))
    return found


__all__ = ["KEYS", "VERBS", "Number", "Retransmission", "StepReader", "walk"]

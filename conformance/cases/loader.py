"""YAML files to Cases. All mistakes of a file are told at once; `$` parameters are filled in for every variation."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from conformance.cases import checked, checks, preamble
from conformance.cases import model as m
from conformance.cases.parameters import UndefinedParameter, variants
from conformance.cases.preamble import Start
from conformance.cases.steps import VERBS, StepReader
from conformance.cases.yamltree import CaseError, Problems, compose, items, near
from conformance.tcp.states import State

CASE_KEYS = frozenset("title requirements needs vary connections start steps".split())
START_KEYS = frozenset("state open close syn setup before".split())
NEEDS_KEYS = frozenset("ip agent settings options link services half-open tier".split())
OPTIONS = frozenset("mss wscale sackOK ts fo uto".split())
SETTINGS = {
    "syncookies": ("never", "when-full", "always"),
    "rfc1337": ("off", "on"),
    "ecn": ("off", "passive", "on"),
    "timestamps": ("off", "on"),
    "sack": ("off", "on"),
    "window-scaling": ("off", "on"),
    "fastopen": ("off", "client", "server", "both"),
    "abort-on-overflow": ("off", "on"),
    "tw-reuse": ("off", "on"),
    "timers": ("fine", "coarse"),  # coarse: they tick in tenths of seconds
    "mtu-probing": ("off", "on"),
    "source-route": ("off", "on"),
    "retries2": None,
    "syn-retries": None,
    "synack-retries": None,
    "keepalive-time": None,
    "rto-min": None,
    "fin-timeout": None,
    "challenge-interval": None,
}
"""Target settings that a case may need, and their values (None: a number)."""


class CaseReader:
    """Reads one case file."""

    def __init__(
        self,
        node: MappingNode,
        problems: Problems,
        case_id: str,
        known_ids: frozenset[str] | None,
        *,
        steps: bool = True,
        waits: Sequence[float] | None = None,
    ) -> None:
        self.steps = steps
        self._waits = waits
        """Of a case whose steps are known to be right: they are read when they are wanted."""
        self._checks_steps = steps and waits is None
        self.problems = problems
        self.node = node
        self.known_ids = known_ids
        self.id = case_id
        self.keys: dict[str, Node] = {}
        for key, key_node, value in items(node):
            if key not in CASE_KEYS:
                problems.at(key_node, f"{key!r} is no key of a case; {near(key, set(CASE_KEYS))}")
            self.keys[key] = value

    def _plain(self) -> StepReader:
        return StepReader(self.problems, {}, self.known_ids)

    def read(self) -> m.Case:
        """The case. Raises CaseError with everything that is wrong."""
        problems = self.problems
        for key in ("title", "requirements", "steps"):
            if key not in self.keys and (self._checks_steps or key != "steps"):
                problems.at(self.node, f"a case needs {key!r}")
        title = self._plain().text(self.keys["title"], "title") if "title" in self.keys else ""
        requirements = self._plain().requirements(self.keys.get("requirements"), "requirements")
        if "requirements" in self.keys and not requirements and not problems.found:
            problems.at(self.keys["requirements"], "a case decides at least one requirement")
        needs = self._needs(self.keys.get("needs"))
        connections = self._connections(self.keys.get("connections"))
        start = self._start(self.keys.get("start"))
        chosen = variants(self.keys.get("vary"), problems)
        case = m.Case(
            id=self.id,
            file=problems.file,
            title=title or "",
            requirements=requirements,
            needs=needs,
            connections=connections,
            start=start.state,
            digest=_digest(problems.source),
        )
        versions = (needs.ip,) if needs.ip else (4, 6)
        variations = []
        shared: dict[int, m.Step] = {}
        by_version = "$ip" in problems.source
        for number, (label, values) in enumerate(chosen):
            build: _Build | None = None
            wait = None if self._waits is None else self._waits[min(number, len(self._waits) - 1)]
            for version in versions:
                name = ",".join(part for part in (f"ip=v{version}", label) if part)
                if build is None or by_version:
                    build = _Build(self, start, {**values, "ip": f"v{version}"}, shared)
                variations.append(m.Variation(f"{self.id}[{name}]", case, version, values, build, wait))
        if self._checks_steps and "steps" in self.keys:
            for variation in variations[:: len(versions)]:
                self._try(variation)
        problems.check()
        object.__setattr__(case, "variations", tuple(variations))
        return case

    def node_of_steps(self) -> Node | None:
        """What stands below `steps`; only the head may have been read before."""
        if self._waits is not None and "steps" not in self.keys:
            whole, _ = compose(self.problems.source, self.problems.file)
            self.keys.update((key, value) for key, _, value in items(whole) if key == "steps")
        return self.keys.get("steps")

    def _try(self, variation: m.Variation) -> None:
        """Build a variation once, so that every mistake is known before any case runs."""
        build = variation.build
        assert isinstance(build, _Build)
        steps, lead, problems = build.read()
        self.problems.found += problems.found
        checks.check(steps, lead, variation, self.problems)

    # -- the head of a case -------------------------------------------------------------------------------------

    def _needs(self, node: Node | None) -> m.Needs:
        if node is None:
            return m.Needs()
        if not isinstance(node, MappingNode):
            self.problems.at(node, f"needs is a mapping of {', '.join(sorted(NEEDS_KEYS))}")
            return m.Needs()
        found: dict[str, Any] = {}
        reader = self._plain()
        for key, key_node, value in items(node):
            if key not in NEEDS_KEYS:
                self.problems.at(key_node, f"{key!r} can't be needed; {near(key, set(NEEDS_KEYS))}")
            elif key == "ip":
                found["ip"] = {"v4": 4, "v6": 6}.get(self._word(value, "ip", ("v4", "v6")))
            elif key == "link":
                found["link"] = self._word(value, "link", ("quick-ack", "delayed-ack")) or "quick-ack"
            elif key == "half-open":
                found["half_open"] = self._word(value, "half-open", ("kept",))
            elif key == "tier":
                found["tier"] = self._word(value, "tier", ("default", "long")) or "default"
            elif key == "settings":
                found["settings"] = self._settings(value)
            else:
                known = {"agent": VERBS, "options": OPTIONS}.get(key)
                nodes = value.value if isinstance(value, SequenceNode) else [value]
                words = [reader.text(item, key) for item in nodes]
                for item, word in zip(nodes, words, strict=True):
                    if known is not None and word is not None and word not in known:
                        self.problems.at(item, f"{word!r} is unknown; {near(word, set(known))}")
                found[key] = frozenset(word for word in words if word)
        return m.Needs(**found)

    def _settings(self, node: Node) -> Mapping[str, str]:
        found: dict[str, str] = {}
        if not isinstance(node, MappingNode):
            self.problems.at(node, "settings is a mapping: {syncookies: always}")
            return found
        for key, key_node, value in items(node):
            if key not in SETTINGS:
                self.problems.at(key_node, f"{key!r} is no setting; {near(key, set(SETTINGS))}")
                continue
            allowed = SETTINGS[key]
            text = self._plain().text(value, key)
            if allowed is not None and text not in allowed:
                self.problems.at(value, f"{key} is one of {', '.join(allowed)}")
            elif allowed is None and (text is None or not text.isdigit()):
                self.problems.at(value, f"{key} is a number")
            elif text is not None:
                found[key] = text
        return found

    def _word(self, node: Node, what: str, allowed: tuple[str, ...]) -> str:
        text = self._plain().text(node, what)
        if text is not None and text not in allowed:
            self.problems.at(node, f"{what} is one of {', '.join(allowed)}")
        return text if text in allowed else ""

    def _connections(self, node: Node | None) -> Mapping[str, m.Connection]:
        found = {"main": m.Connection("main")}
        if node is None:
            return found
        if not isinstance(node, MappingNode):
            self.problems.at(node, "connections is a mapping: {b: {}, new: same pair as main, half*: unwatched}")
            return found
        for name, key, value in items(node):
            if not name.rstrip("*").replace("_", "a").isalnum() or not name[0].islower():
                self.problems.at(key, "a connection's name has lower-case letters, digits and _; 'half*' for many")
            said = value.value if isinstance(value, ScalarNode) else None
            if isinstance(value, MappingNode) and not value.value:
                found[name] = m.Connection(name)
            elif said == "unwatched":
                found[name] = m.Connection(name, unwatched=True)
            elif said is not None and said.startswith("same pair as "):
                other = said.removeprefix("same pair as ").strip()
                if other not in found:
                    self.problems.at(value, f"{other!r} is no connection; {near(other, set(found))}")
                found[name] = m.Connection(name, same_pair_as=other)
            else:
                self.problems.at(value, "a connection is {}, 'same pair as NAME' or 'unwatched'")
        return found

    def _start(self, node: Node | None) -> Start:
        reader = self._plain()
        if node is None:
            return Start()
        if isinstance(node, ScalarNode):
            state = reader.state(node)
            return Start(state=state or State.CLOSED, open="active" if state is State.SYN_SENT else "passive")
        if not isinstance(node, MappingNode):
            self.problems.at(node, "start is a state, or a mapping of " + ", ".join(sorted(START_KEYS)))
            return Start()
        found: dict[str, Any] = {}
        for key, key_node, value in items(node):
            if key not in START_KEYS:
                self.problems.at(key_node, f"{key!r} is no key of start; {near(key, set(START_KEYS))}")
            elif key == "state":
                found["state"] = reader.state(value) or State.CLOSED
            elif key == "open":
                found["open"] = self._word(value, "open", ("passive", "active")) or "passive"
            elif key == "close":
                found["close"] = self._word(value, "close", ("shutdown", "close")) or "shutdown"
            elif key == "syn":
                found["syn"] = value.value if isinstance(value, ScalarNode) else ""
            else:
                found[key] = value
        if found.get("state") is State.SYN_SENT:
            found.setdefault("open", "active")
        start = Start(**found)
        if start.state not in preamble.reachable(start.open):
            self.problems.at(node, f"{start.state} is not reached by {start.open} open; use the other")
            return Start()
        return start


class _Build:
    """Builds the steps of one variation, once."""

    def __init__(self, reader: CaseReader, start: Start, values: Mapping[str, str], shared: dict[int, m.Step]) -> None:
        self._source = reader.problems.source
        self._file = reader.problems.file
        self._node = reader.node_of_steps
        self._known_ids = reader.known_ids
        self._id = reader.id
        self._whole = reader.steps
        self._start = start
        self._values = values
        self._shared = shared
        self._built: tuple[tuple[m.Step, ...], int] | None = None

    def by_service(self, services: Iterable[str]) -> tuple[tuple[m.Step, ...], int, str | None]:
        """The steps without an agent, and the service that the preamble uses. Raises LookupError when none will do."""
        start = self._start
        if start.state is State.CLOSED:
            return *self(), None
        service = preamble.by_service(start, services)
        if service is None:
            raise LookupError(f"no service that the tester knows of brings it to {start.state} by {start.open} open")
        reader = StepReader(Problems(self._file, self._source), self._values, self._known_ids)
        lead = preamble.build(replace(start, open=preamble.SERVICES[service]), reader, self._values)
        steps, own = self()
        return (*lead, *steps[own:]), len(lead), service

    def read(self) -> tuple[tuple[m.Step, ...], int, Problems]:
        """The steps that could be read, how many are the preamble's, and what is wrong with the others."""
        if not self._whole:
            return self._read_whole()
        problems = Problems(self._file, self._source)
        reader = StepReader(problems, self._values, self._known_ids, self._shared)
        try:
            lead = preamble.build(self._start, reader, self._values)
        except UndefinedParameter as error:
            place = m.Place(self._file, 1, 1)
            problems.found.append((place, f"start uses ${error.name}, which vary does not define"))
            lead = []
        except CaseError as error:
            message = "; ".join(message for _, message in error.problems)
            problems.found.append((m.Place(self._file, 1, 1), f"start: syn: {message}"))
            lead = []
        steps = tuple(lead) + reader.steps(self._node())
        if not problems.found:
            self._built = (steps, len(lead))
        return steps, len(lead), problems

    def _read_whole(self) -> tuple[tuple[m.Step, ...], int, Problems]:
        """Only the head was read: read the case as a whole, and take the variation with these parameters."""
        whole = load_text(self._source, self._file, self._id, self._known_ids)
        mine = {name: value for name, value in self._values.items() if name != "ip"}
        same = (v for v in whole.variations if v.parameters == mine and f"v{v.version}" == self._values["ip"])
        steps, lead = next(same).build()
        self._built = (steps, lead)
        return steps, lead, Problems(self._file, self._source)

    def __call__(self) -> tuple[tuple[m.Step, ...], int]:
        if self._built is None:
            steps, lead, problems = self.read()
            problems.check()
            return steps, lead
        return self._built


def load_text(
    text: str,
    file: str,
    case_id: str,
    known_ids: frozenset[str] | None = None,
    *,
    steps: bool = True,
    trust: bool = False,
) -> m.Case:
    """The case that `text` says; `file` stands in errors. Raises CaseError.

    With `steps` false the steps are left unread until a variation is built: what is wrong with them shows then. With
    `trust` so are those of the suite's own cases, which are known to be right.
    """
    waits = checked.load().get(_digest(text)) if trust and steps else None
    node, problems = compose(text if steps and waits is None else _head(text), file)
    problems.source = text
    return CaseReader(node, problems, case_id, known_ids, steps=steps, waits=waits).read()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


_STEPS = re.compile(r"^steps:[ \t]*(#.*)?$", re.MULTILINE)
_KEY_AFTER = re.compile(r"^[^\s#-]", re.MULTILINE)


def _head(text: str) -> str:
    """A case without its steps, where these come last; else all of it."""
    match = _STEPS.search(text)
    return text if match is None or _KEY_AFTER.search(text, match.end()) else text[: match.start()]


def load_file(
    path: Path, root: Path, known_ids: frozenset[str] | None = None, *, steps: bool = True, trust: bool = False
) -> m.Case:
    """The case in a file, as `load_text`; its id is the path under `root` without suffix. Raises CaseError, OSError."""
    name = str(path)
    try:
        size = path.stat().st_size
        if size > 4 << 20:
            raise CaseError([(m.Place(name, 1, 1), f"a case file of {size} octets: at most 1048576, one case each")])
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CaseError(
            [(m.Place(name, 1, 1), f"not UTF-8 at octet {error.start}: case files are UTF-8 text")]
        ) from None
    try:
        relative = path.relative_to(root).with_suffix("")
    except ValueError:
        relative = Path(path.stem)
    return load_text(text, name, relative.as_posix(), known_ids, steps=steps, trust=trust)


def find(paths: Iterable[Path]) -> Iterator[tuple[Path, Path]]:
    """Every case file under `paths` with the root that its id is counted from, in order of their names."""
    for path in paths:
        if path.is_dir():
            for file in sorted(path.rglob("*.yaml")):
                yield file, path
        else:
            yield path, root_of(path)


def root_of(path: Path) -> Path:
    """The suite that a case file belongs to: its innermost parent called `cases`, else its folder."""
    for parent in path.absolute().parents:
        if parent.name == "cases" and not (parent / "__init__.py").exists():
            return parent
    return path.absolute().parent


def digest(cases: Iterable[m.Case]) -> str:
    """One digest of a set of cases, by id and content: 16 hexadecimal digits."""
    total = hashlib.sha256()
    for case in sorted(cases, key=lambda case: case.id):
        total.update(f"{case.id} {case.digest}\n".encode())
    return total.hexdigest()[:16]

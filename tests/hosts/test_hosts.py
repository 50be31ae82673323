"""Hosts as targets: two network namespaces play two hosts, the machine's kernel the stack of one of them."""

from __future__ import annotations

import json
import socket
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from hosts import places
from hosts.places import CONTROL_HOST, HOST, HOST6, SOURCES, conformance
from hosts.relay import Path as Way

from conformance import suite

pytestmark = pytest.mark.skipif(bool(places.missing()), reason=str(places.missing()))

TOKEN = "a token of the tests, long enough"
REACHED = (
    *("--target", f"{HOST},{HOST6}", "--allow", HOST, "--allow", HOST6, "--interface", "t0"),
    *(f"--source={prefix}" for prefix in SOURCES),
)
AGENT = ("--agent", CONTROL_HOST)
SERVICE = ("--service", "echo:7", "--service", "closes:70")
ROOT = suite.cases().parent


def verdicts(report: Path) -> dict[str, str]:
    lines = [json.loads(line) for line in (report / "report.jsonl").read_text().splitlines()]
    return {line["id"]: line["verdict"] for line in lines if line["type"] == "result"}


@pytest.fixture(scope="module")
def hosts():
    with places.two_hosts() as found:
        yield found


def test_a_host_is_tested_through_its_agent(hosts, tmp_path):
    tester, host = hosts
    with places.agent(host, TOKEN):
        checked = conformance(tester, "doctor", *REACHED, *AGENT, cwd=ROOT, CONFORMANCE_TOKEN=TOKEN)
        assert checked.returncode == 0, checked.stdout + checked.stderr
        options = (*REACHED, *AGENT, "--baseline", "linux", "--report", str(tmp_path))
        done = conformance(
            tester,
            "run",
            "cases/flags",
            "cases/states",
            "cases/close/abort.yaml",
            *options,
            cwd=ROOT,
            CONFORMANCE_TOKEN=TOKEN,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    counted = Counter(verdicts(tmp_path).values())
    assert counted["PASS"] > 350
    assert not counted["UNSUPPORTED"]
    written = (tmp_path / "report.jsonl").read_text()
    assert TOKEN not in written + done.stdout + done.stderr
    assert '"sysctls"' in written


def test_a_black_box_is_tested_by_its_services(hosts, tmp_path):
    tester, host = hosts
    with places.services(host):
        options = (*REACHED, *SERVICE, "--baseline", "linux", "--report", str(tmp_path))
        done = conformance(tester, "run", "cases/flags", "cases/reset", "cases/segment", *options, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    found = verdicts(tmp_path)
    assert found["flags/no-ack-time-wait[ip=v4,flags=NONE,text=none]"] == "PASS"
    assert Counter(found.values())["PASS"] > 100
    assert Counter(found.values())["UNSUPPORTED"] > 100


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--target", HOST), f"say --allow {HOST} if that is yours to test"),
        (("--target", HOST, "--allow", "192.0.2.99"), f"say --allow {HOST}"),
        (("--target", HOST, "--allow", HOST), "--interface NAME"),
        (("--target", HOST, "--allow", HOST, "--interface", "t0"), "--source PREFIX"),
        (("--target", HOST, "--allow", HOST, "--interface", "t0", "--source", SOURCES[0]), "say --agent"),
        ((*REACHED, "--service", "chargen:19"), "say NAME:PORT"),
        ((*REACHED, *AGENT, "--rate", "0"), "frames a second"),
        ((*REACHED, *AGENT), "no agent at"),
        (("--target", "192.0.2.77", "--allow", "192.0.2.77", *REACHED[6:], *SERVICE), "nobody on t0 answers"),
        (("--target", HOST, "--allow", HOST, "--interface", "t7", *REACHED[8:], *SERVICE), "t7"),
    ],
)  # fmt: skip
def test_what_is_missing_is_said_before_anything_is_sent(hosts, options, says, tmp_path):
    tester, _ = hosts
    done = conformance(tester, "run", "--report", str(tmp_path), *options, cwd=ROOT, CONFORMANCE_TOKEN=TOKEN)
    assert done.returncode == 3
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_wrong_token_is_refused_and_told(hosts, tmp_path):
    tester, host = hosts
    with places.agent(host, TOKEN):
        options = (*REACHED, *AGENT, "--report", str(tmp_path))
        done = conformance(tester, "run", *options, cwd=ROOT, CONFORMANCE_TOKEN="another token, as long")
    assert done.returncode == 3
    assert "agent" in done.stderr


def test_one_run_at_a_time_has_a_host(hosts, tmp_path):
    tester, host = hosts
    with places.services(host):
        code = (
            "import socket, sys; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM);"
            f"s.bind('\\0tcp-conformance/{HOST}-{HOST6}'); print('bound', flush=True); import time; time.sleep(600)"
        )
        with places.running(tester, sys.executable, "-c", code, says="bound"):
            done = conformance(tester, "run", *REACHED, *SERVICE, "--report", str(tmp_path), cwd=ROOT)
    assert done.returncode == 3
    assert "another run tests" in done.stderr


WAYS = [("--delay", "0.002"), ("--loss", "0.01", "--jitter", "0.02"), ("--duplicate", "0.01", "--reorder", "0.01")]


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
def test_a_worse_path_makes_no_false_alarm(way, tmp_path):
    with places.two_hosts("--seed", "7", *way) as (tester, host), places.agent(host, TOKEN):
        options = (*REACHED, *AGENT, "--baseline", "linux", "--report", str(tmp_path))
        done = conformance(tester, "run", "cases/states", *options, cwd=ROOT, CONFORMANCE_TOKEN=TOKEN)
    found = verdicts(tmp_path)
    assert found, done.stdout + done.stderr
    assert not [id_ for id_, verdict in found.items() if verdict in ("FAIL", "ERROR")], done.stdout


def test_the_relay_repeats_itself_and_keeps_order_unless_told():
    one, two = Way("1", loss=0.1, jitter=0.02), Way("1", loss=0.1, jitter=0.02)
    fates = [one.fate(index / 1000) for index in range(1000)]
    assert fates == [two.fate(index / 1000) for index in range(1000)]
    left = [moment for fate in fates for moment in fate]
    assert left == sorted(left)
    assert 850 < len(left) < 950
    mixed = [moment for index in range(1000) for moment in Way("1", reorder=0.1).fate(index / 1000)]
    assert len(mixed) == 1000


class Controller:
    """A controller of the agent, by hand."""

    def __init__(self, port: int) -> None:
        deadline = time.monotonic() + 10
        while True:
            try:
                self.socket = socket.create_connection(("127.0.0.1", port), timeout=5)
                break
            except ConnectionRefusedError:
                assert time.monotonic() < deadline
                time.sleep(0.02)
        self.file = self.socket.makefile("r")

    def say(self, message: object) -> None:
        self.socket.sendall(json.dumps(message).encode() + b"\n")

    def heard(self) -> dict[str, object]:
        line = self.file.readline()
        return json.loads(line) if line else {}  # type: ignore[no-any-return]

    def prove(self) -> None:
        import hashlib
        import hmac

        challenge = str(self.heard()["challenge"])
        self.say({"proof": hmac.new(TOKEN.encode(), challenge.encode(), hashlib.sha256).hexdigest()})
        self.say({"configure": {"addresses": ["127.0.0.1/8"], "testers": ["127.0.0.0/8"]}})
        assert "hello" in self.heard()


@pytest.fixture
def port(tmp_path):
    import subprocess

    with socket.create_server(("127.0.0.1", 0)) as free:
        number = free.getsockname()[1]
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    command = [sys.executable, str(places.AGENT), "--listen", f"127.0.0.1:{number}", "--token-file", str(token)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        yield number
        process.kill()


@pytest.mark.parametrize("proof", [{}, {"proof": "00"}, {"proof": 7}, [], "x", {"id": 1, "do": "open"}])
def test_without_the_token_nothing_is_done(port, proof):
    controller = Controller(port)
    assert "challenge" in controller.heard()
    controller.say(proof)
    assert controller.heard() == {}


def test_an_old_proof_proves_nothing(port):
    import hashlib
    import hmac

    first = Controller(port)
    old = hmac.new(TOKEN.encode(), str(first.heard()["challenge"]).encode(), hashlib.sha256).hexdigest()
    first.socket.close()
    first.file.close()
    second = Controller(port)
    assert "challenge" in second.heard()
    second.say({"proof": old})
    assert second.heard() == {}


def test_the_agent_binds_and_connects_only_where_it_was_told(port):
    controller = Controller(port)
    controller.prove()
    controller.say({"id": 1, "do": "open", "socket": 1, "local": ["127.0.0.2", 2000], "remote": ["127.0.0.1", 1]})
    assert controller.heard() == {"id": 1, "error": "EACCES"}
    controller.say({"id": 2, "do": "open", "socket": 1, "local": ["127.0.0.1", 0], "remote": ["192.0.2.9", 1]})
    assert controller.heard() == {"id": 2, "ok": None}
    controller.say({"id": 3, "do": "connect", "socket": 1})
    assert controller.heard() == {"id": 3, "error": "EOPNOTSUPP"}


@pytest.mark.parametrize(
    "message",
    [
        {"id": 9, "do": "listen"},
        {"id": 9, "do": "recv", "socket": [], "count": "many"},
        {"id": 9, "do": "send", "socket": 1, "data": "zz"},
        {"id": 9, "do": "setsockopt", "socket": 1, "name": "SO_LINGER", "value": [1]},
        {"id": 9, "do": "__init__"},
        {"id": 9, "do": ["listen"]},
        {"id": 9, "do": "open", "socket": 2, "local": 3, "remote": None},
    ],
)
def test_a_malformed_request_is_an_error_and_the_agent_goes_on(port, message):
    controller = Controller(port)
    controller.prove()
    controller.say({"id": 1, "do": "open", "socket": 1, "local": ["127.0.0.1", 0], "remote": ["127.0.0.1", 1]})
    controller.heard()
    controller.say(message)
    assert "error" in controller.heard()
    controller.socket.sendall(b"{not json\n")
    controller.say({"id": 10, "do": "poll", "socket": 1})
    assert "ok" in controller.heard()


def test_when_the_controller_goes_its_connections_are_reset(port):
    with socket.create_server(("127.0.0.1", 0)) as peer:
        controller = Controller(port)
        controller.prove()
        remote = ["127.0.0.1", peer.getsockname()[1]]
        controller.say({"id": 1, "do": "open", "socket": 1, "local": ["127.0.0.1", 0], "remote": remote})
        controller.say({"id": 2, "do": "connect", "socket": 1})
        connection, _ = peer.accept()
        with connection:
            controller.socket.close()
            controller.file.close()
            connection.settimeout(5)
            with pytest.raises(ConnectionResetError):
                connection.recv(1)

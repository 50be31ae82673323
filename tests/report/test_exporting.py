"""A failing case for others: the bug report, and the script, which is run against a real host."""

from __future__ import annotations

import ast
import re
import sys
from dataclasses import replace

import pytest
from browsing import LINUX, written
from click.testing import CliRunner
from hosts import places
from report_samples import REQUIREMENT, event, failing, passing, seen, sent

from conformance.catalogue.catalogue import load
from conformance.cli import main
from conformance.engine.result import Difference
from conformance.report.exporting import ExportError, bug_report, scapy_script
from conformance.report.packetdrill import packetdrill_script
from conformance.report.reading import Reading, result_of
from conformance.report.text import Numbers, segment_text
from conformance.tcp.segment import ACK, FIN, PSH, RST
from conformance.wire.codec import decode

HEADER = {"target": LINUX, "tool": "0", "case_set": "sha256:0"}
CASE = """
title: A SYN is refused
requirements: [RFC9293-3.10.7.1-ACK]
start: LISTEN
steps:
  - send: SYN
  - expect: RST,ACK
"""


def test_a_bug_report_has_all_that_a_maintainer_asks_for():
    text = "\n".join(bug_report(failing(), HEADER, load(), "conformance run x"))
    for part in (
        load().get(REQUIREMENT).summary,
        "RFC 9293 section 3.10.7.4",
        "expected  ACK seq=iss+2 ack=irs+102",
        "seen      FIN,ACK seq=iss+2 ack=irs+101",
        "---> SYN seq=irs",
        "conformance run x",
        "6.18.44",
    ):
        assert part in text


def test_no_text_of_a_target_ends_the_fence():
    result = failing(title="<b>`x`", reason="```")
    result.trace.append(event(9, "note", 4, "``` <script>\n````"))
    lines = list(bug_report(result, HEADER, load(), "run ``` it"))
    fences = [line for line in lines if re.fullmatch("`{3,}", line)]
    assert len(fences) % 2 == 0
    assert max(map(len, fences)) == 5
    assert "<b>" not in lines[0]


def test_a_script_is_python_whatever_the_case_says():
    evil = "\"\"\"'''\\\n\x00\u2028{{ 1 }}{% x %}\ud800"
    result = failing(title=evil, reason=evil)
    result.trace.append(event(9, "call", 4, evil))
    script = scapy_script(result, {"target": {"name": evil}})
    found = {node.targets[0].id for node in ast.parse(script).body if isinstance(node, ast.Assign)}
    assert found == {"ABOUT", "STEPS", "PORTS"}
    script.encode("ascii")


def test_what_was_not_recorded_can_not_be_sent_again(tmp_path):
    written(tmp_path / "r.jsonl", [passing()])
    (line,) = [line for _, line in Reading(tmp_path / "r.jsonl")]
    with pytest.raises(ExportError, match="frames were not recorded"):
        scapy_script(result_of(line), HEADER)
    found = CliRunner().invoke(main, ["export", "scapy", str(tmp_path / "r.jsonl"), "close/crossing-fins"])
    assert (found.exit_code, len(found.output.splitlines())) == (2, 1)
    found = CliRunner().invoke(main, ["export", "bug", str(tmp_path / "r.jsonl"), "nothing"])
    assert (found.exit_code, len(found.output.splitlines())) == (2, 1)


@pytest.mark.skipif(bool(places.missing()), reason=str(places.missing()))
@pytest.mark.parametrize("ip", ["v4", "v6"])
def test_the_script_sees_the_finding_again_on_a_real_host_and_notices_when_it_is_gone(tmp_path, ip):
    case = tmp_path / "cases" / "open" / "refused.yaml"
    case.parent.mkdir(parents=True)
    case.write_text(CASE)
    address, source = (places.HOST, "192.0.2.250") if ip == "v4" else (places.HOST6, "2001:db8:1::1:77")
    with places.two_hosts() as (tester, host), places.services(host):
        done = places.conformance(
            tester,
            *("run", f"cases/open/refused.yaml::[ip={ip}]", "--target", f"{places.HOST},{places.HOST6}"),
            *("--allow", places.HOST, "--allow", places.HOST6, "--interface", "t0", "--report", "r"),
            *(f"--source={prefix}" for prefix in places.SOURCES),
            *("--service", "echo:7", "--service", "closes:70"),
            cwd=tmp_path,
        )
        assert done.returncode == 1, done.stdout + done.stderr
        made = CliRunner().invoke(
            main, ["export", "scapy", str(tmp_path / "r"), "open/refused", "-o", str(tmp_path / "again.py")]
        )
        assert made.exit_code == 0, made.output
        command = (
            sys.executable,
            str(tmp_path / "again.py"),
            address,
            "--interface",
            "t0",
            "--source",
            source,
            "--no-wait",
        )
        again = tester.run(*command)
        assert again.returncode == 0, again.stdout + again.stderr
        assert "All came as it was recorded." in again.stdout
        refused = tester.run(*command, "--port", "4")
        assert refused.returncode == 1, refused.stdout + refused.stderr
        assert "Something else came" in refused.stdout
        assert "came: RA, " in refused.stdout


def test_a_packetdrill_script_expects_what_the_finding_missed():
    result = failing()
    result.trace = [one for one in result.trace if one.kind not in ("note", "probe")][:3]
    result.trace.append(event(8, "seen", 4, seen(FIN | ACK, 2, 101)))
    numbers = Numbers(*result.isns["main"])
    shown = segment_text(decode(result.trace[-1].data), "target", numbers)
    result.finding = replace(result.finding, seen=shown)
    assert list(packetdrill_script(result))[2:] == [
        "+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3",
        "+0 setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0",
        "+0 bind(3, ..., ...) = 0",
        "+0 listen(3, 16) = 0",
        "+0.00001 < S 0:0(0) win 65535 <mss 1460,sackOK,eol,eol>",
        "+0.00001~+1.000 > S. 0:0(0) ack 1 <...>",
        "+0.00006~+1.000 > . 2:2(0) ack 102",
        f"// seen instead: {shown}",
    ]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"differences": ()}, "a finding that is no segment"),
        ({"differences": (Difference("seq", "fin.end", "iss+1"),)}, "that seq should be fin.end"),
        ({"differences": (Difference("win", "5", "6"),)}, "that win should be 5"),
    ],
)
def test_what_packetdrill_has_no_words_for_is_refused(fields, says):
    result = failing()
    result.trace = [result.trace[0], event(8, "seen", 4, seen(FIN | ACK, 2, 101))]
    shown = segment_text(decode(result.trace[-1].data), "target", Numbers(*result.isns["main"]))
    result.finding = replace(result.finding, seen=shown, **fields)
    with pytest.raises(ExportError, match=re.escape(says)):
        list(packetdrill_script(result))


def culprit(result, segment: bytes, **fields):
    """The result with that segment as the one that should have been another."""
    result.trace = [one for one in result.trace if one.kind not in ("note", "probe")][:3]
    result.trace.append(event(8, "seen", 4, segment))
    numbers = Numbers(*result.isns["main"])
    shown = segment_text(decode(segment), "target", numbers)
    result.finding = replace(result.finding, seen=shown, differences=(Difference("flags", "ACK", "RST"),), **fields)
    return result


def test_an_acknowledgment_that_is_missing_counts_what_was_sent_or_the_script_is_refused():
    assert list(packetdrill_script(culprit(failing(), seen(RST, 1))))[-2:] == [
        "+0.00006~+1.000 > . 1:1(0) ack 1",
        "// seen instead: RST seq=iss+1 win=0",
    ]
    result = failing()
    text = event(3, "sent", 4, sent(PSH | ACK, 1, 1, payload=b"abc"))
    culprit(result, seen(RST, 1)).trace.insert(3, text)
    with pytest.raises(ExportError, match="what the missing acknowledgment should count"):
        list(packetdrill_script(result))


def test_a_script_connects_and_calls_on_the_socket_that_it_connected():
    result = culprit(failing(), seen(RST, 1))
    result.steps = ("call: connect()", "call: send(10)", *result.steps[2:])
    result.trace[1:1] = [event(1, "call", 1, "send returns 10")]
    lines = list(packetdrill_script(result))
    assert lines[2:5] == [
        "+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3",
        "+0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0",
        "+0 connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)",
    ]
    assert "+0.00001 write(3, ..., 10) = 10" in lines


def test_packetdrill_has_no_port_without_a_socket():
    result = culprit(failing(), seen(RST, 1))
    del result.trace[0]
    with pytest.raises(ExportError, match="a port without a socket"):
        list(packetdrill_script(result))

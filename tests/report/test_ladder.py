from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from report_samples import REQUIREMENT, event, failing, passing, seen

from conformance.catalogue.catalogue import load
from conformance.engine.result import Difference, Event, Finding, NamedState, Place
from conformance.report.ladder import ladder, render_failure
from conformance.tcp.notation import SegmentLine, parse
from conformance.tcp.segment import ACK


def test_the_ladder_tells_time_step_direction_segment_call_and_note():
    assert ladder(failing()).splitlines() == [
        "      seconds  tester   target",
        "  step 1 call: listen(1) (cases/close/crossing-fins.yaml:4)",
        "    +0.000000  |  call: listen(1) -> None",
        "  step 2 send: SYN (cases/close/crossing-fins.yaml:5)",
        "    +0.000010  ---> SYN seq=irs win=65535 <mss 1460, sackOK>",
        "    +0.000020  <--- SYN,ACK seq=iss ack=irs+1 win=65160 <mss 1460, nop, wscale 7>",
        "  step 3 send: PSH,ACK (100) (cases/close/crossing-fins.yaml:6)",
        "    +0.000030  ---> PSH,ACK seq=irs+1 ack=iss+1 win=65535 (100)",
        "    +0.000040  <--- ACK seq=iss+1 ack=irs+101 win=502 <sack irs+16..irs+21 irs+25..irs+28>",
        "    +0.000050  |  note: the barrier came back",
        "  step 4 state: ESTABLISHED (cases/close/crossing-fins.yaml:7)",
        "    +0.000060  -?-> ACK seq=irs+100 ack=iss+1 win=0",
        "> step 5 expect: ACK seq=fin.end (cases/close/crossing-fins.yaml:8)",
        ">   +0.000070  ---> FIN,ACK seq=irs+101 ack=iss+1 win=0",
        ">   +0.000080  <--- FIN,ACK seq=iss+2 ack=irs+101 win=0",
    ]


def test_a_step_that_saw_nothing_is_still_marked():
    result = failing(trace=failing().trace[:3])
    assert ladder(result).splitlines()[-1].startswith("> step 5 expect: ACK seq=fin.end (")


def test_a_finding_outside_the_steps_marks_none():
    result = failing()
    result.finding = Finding(Place("a.yaml", 1, 1), -1, "late segment", ())
    result.trace = [Event(0, "seen", "main", -1, seen(ACK, 1, 1))]
    assert ">" not in ladder(result).replace("--->", "")
    assert "the case" not in ladder(result)


def test_several_connections_are_named():
    result = passing()
    result.trace.append(event(9, "seen", 4, seen(ACK, 1, 1), "new"))
    shown = ladder(result)
    assert "<--- new: ACK seq=" in shown
    assert "---> main: SYN seq=irs" in shown


def test_what_stands_behind_the_arrow_can_be_pasted_into_a_case():
    rows = [line for line in ladder(failing()).splitlines() if "--" in line[:19] or "-?-" in line[:19]]
    shown = [row for row in rows if "sack " not in row]  # test_text has those
    assert len(shown) == 6
    for line in shown:
        assert isinstance(parse(line[19:].partition(" #")[0]), SegmentLine), line


def test_an_empty_trace_is_no_trouble():
    assert "seconds" in ladder(passing(trace=[]))


def test_a_failure_says_what_where_why_and_how_to_run_it_again():
    shown = render_failure(failing(), load(), "conformance run 'close/crossing-fins[ip=v4]'")
    lines = shown.splitlines()
    assert lines[0].startswith("FAIL close/crossing-fins[ip=v4]: Crossing FINs take")
    assert lines[1] == "cases/close/crossing-fins.yaml:8:5: the ACK does not count our FIN"
    assert lines[2] == "  step 5 reads  - expect: ACK seq=fin.end"
    assert "  expected  ACK seq=iss+2 ack=irs+102" in lines
    at = lines.index("  seen      FIN,ACK seq=iss+2 ack=irs+101")
    assert lines[at + 1] == "            ^^^^^^^           ^^^^^^^^^^^"
    assert "    ack: expected irs+102, seen irs+101" in lines
    assert f"  requirement {REQUIREMENT} (BEHAVIOUR, RFC 9293 section 3.10.7.4):" in lines
    assert f"    {load().get(REQUIREMENT).summary}" in lines
    assert "  state named in step 4: ESTABLISHED (P1 drew ACK)" in lines
    assert ladder(failing()) in shown
    assert lines[-2:] == ["run just this case:", "  conformance run 'close/crossing-fins[ip=v4]'"]


def carets(seen_text: str, *differences: Difference) -> str:
    result = failing()
    result.finding = Finding(Place("a.yaml", 1, 1), 0, "x", (), seen=seen_text, differences=differences)
    lines = render_failure(result, load(), "r").splitlines()
    mark = lines[lines.index(f"  seen      {seen_text}") + 1][12:]
    return "".join(char for char, below in zip(seen_text, mark, strict=False) if below == "^")


def test_each_kind_of_field_is_marked():
    line = 'ACK seq=iss+1 ack=irs+1 win=5 <mss 1460, ts 1 2, sackOK> "abc"'
    assert carets(line, Difference("seq", "iss", "iss+1")) == "seq=iss+1"
    assert carets(line, Difference("win", "0", "5")) == "win=5"
    assert carets(line, Difference("options", "<>", "...")) == "<mss 1460, ts 1 2, sackOK>"
    assert carets(line, Difference("ts", "none", "1 2")) == "ts 1 2"
    assert carets(line, Difference("sackOK", "none", "sackOK")) == "sackOK"
    assert carets(line, Difference("payload", "nothing", '"abc"')) == '"abc"'
    assert carets(line, Difference("window", "0", "irs+1")) == "irs+1"
    assert carets("nothing", Difference("segment", "ACK", "nothing")) == "nothing"


def test_a_result_without_a_finding_gives_its_reason_and_all_requirements():
    shown = render_failure(passing(verdict="INCONCLUSIVE", reason="the preamble was not completed"), load(), "r")
    assert "  the preamble was not completed" in shown.splitlines()
    assert f"requirement {REQUIREMENT}" in shown


def test_a_requirement_that_is_unknown_or_disputed_is_said_to_be():
    result = failing()
    result.finding = Finding(Place("a.yaml", 1, 1), 0, "x", ("RFC9293-MUST-1222", "RFC1337-3-F1"))
    shown = render_failure(result, load(), "r")
    assert "is no requirement of the catalogue" in shown
    assert "the RFCs disagree here: A RST at RCV.NXT ends TIME-WAIT" in shown


def test_an_oracle_that_disagrees_is_shown():
    result = failing(states=[NamedState(0, "main", "CLOSING", ("CLOSING",), "P5", "LAST-ACK")])
    assert "state named in step 1: CLOSING (P5); the oracle says LAST-ACK" in render_failure(result, load(), "r")


hostile = st.text(alphabet=st.characters(categories=["Cc", "Cf", "Cs", "Co", "Zl", "Zp", "Lu"]) | st.just("\x1b"))


@given(hostile, st.binary(max_size=80))
def test_hostile_data_never_reaches_the_terminal(text, frame):
    result = failing(id_=text, title=text, reason=text, steps=(text,), places=(Place(text, 1, 1),))
    result.trace = [
        Event(0, "call", text, 0, text),
        Event(1, "seen", text, 1, frame),
        Event(2, "seen", "main", 0, seen(ACK, 1, 1, payload=b"\x1b]0;owned\x07" + frame)),
    ]
    result.states = [NamedState(0, text, "CLOSED", (), text, text)]
    result.finding = Finding(Place(text, 1, 1), 0, text, (text,), text, text, text, (Difference(text, text, text),))
    for line in render_failure(result, load(), text).split("\n"):
        assert line.isprintable()


def test_a_very_long_line_is_cut_and_says_so():
    result = passing()
    result.trace = [event(0, "note", 0, "x" * 5000)]
    assert "more characters)" in ladder(result)
    assert max(map(len, ladder(result).splitlines())) < 2100

"""A step in words: what it does, then what it leaves to defaults, written out in the notation."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.cases import model as m
from conformance.tcp.notation import Icmp, Kind, Nothing, Retransmission, SegmentLine, Stream
from conformance.tcp.segment import ACK, RST, SYN


def describe(step: m.Step) -> Iterator[str]:
    """The lines that tell of a step; the first is a sentence."""
    where = "" if step.conn == "main" else f" (connection {step.conn})"
    lines = list(_lines(step))
    yield lines[0] + where
    yield from lines[1:]
    if step.requirements:
        yield f"breaks {', '.join(step.requirements)} when it does not hold"


def _lines(step: m.Step) -> Iterator[str]:
    if isinstance(step, m.Send):
        yield from _send(step)
    elif isinstance(step, m.Expect):
        yield from _expect(step)
    elif isinstance(step, m.AnyOf):
        yield "one of these ways; which one is reported"
        for label, branch in step.branches:
            yield f"{label}:"
            for inner in branch:
                yield from (f"  {line}" for line in describe(inner))
    elif isinstance(step, m.Call):
        yield f"the application calls {step.text.removeprefix('call: ')}" + _wanted(step)
    elif isinstance(step, m.ResultOf):
        yield f"the call {step.name!r} that was left pending ends" + _wanted(step)
    elif isinstance(step, m.StateIs):
        yield f"the replies so far, and probes where they don't do, must say {step.state}"
    elif isinstance(step, m.Wait):
        yield f"nothing is sent for {step.span}; what comes is kept for the next expectations"
    elif isinstance(step, m.Check):
        yield f"{step.left} {step.op} {step.right} must hold"
    elif isinstance(step, m.Repeat):
        until = "" if step.until is None else f", until {step.until.left} {step.until.op} {step.until.right}"
        yield f"{step.count} times{' at most' if until else ''}{until}; for $n = 1:"
        for inner in step.body(1):
            yield from (f"  {line}" for line in describe(inner))
    elif isinstance(step, m.Deliver):
        payload = " ".join(map(str, step.payload))
        yield f"the tester sends {payload}; it must be acknowledged, and the application must read it"
    else:
        yield "the case ends here, well"


def _send(step: m.Send) -> Iterator[str]:
    line = step.line
    name = f", called {step.name!r}" if step.name else ""
    yield f"the tester sends {line}{name}"
    if isinstance(line, SegmentLine):
        yield f"written out: {_sent(line)}"
    elif isinstance(line, Retransmission):
        yield "the same octets, with ack, win and options as they are by then"
    elif isinstance(line, Stream):
        yield f"{'from rcv.nxt, ' if line.start is None else ''}cut at the size that the target takes (rmss)"
    elif isinstance(line, Icmp):
        yield "ICMP over IPv4, ICMPv6 over IPv6"
    if step.unpaced:
        yield "at once, though a stack may limit how often it answers such segments"


def _sent(line: SegmentLine) -> str:
    words = [str(SegmentLine(line.flags, line.optional))]
    if line.field("seq") is None:
        words.append("seq=irs" if line.flags & SYN else "seq=rcv.nxt")
    if line.field("ack") is None and line.flags & ACK:
        words.append("ack=snd.nxt")
    words += [str(field) for field in line.fields]
    if line.field("win") is None:
        words.append("win=(as last said, 65535 at first)")
    if line.options is None:
        words.append("<mss 1460, or 1440 over IPv6>" if line.flags & SYN else "<ts now ts.recent, where negotiated>")
    else:
        usual = "" if line.options.only else ("besides mss: " if line.flags & SYN else "besides ts where negotiated: ")
        words.append(f"<{usual}{str(line.options)[1:-1]}>")
    words += [str(part) for part in line.payload] or ["no payload"]
    return " ".join(words)


def _expect(step: m.Expect) -> Iterator[str]:
    line = step.line
    if isinstance(line, Nothing):
        yield from _nothing(step, line)
        return
    name = f", called {step.name!r}" if step.name else ""
    yield f"the target must send {line}{_times(step)}{name}"
    if isinstance(line, SegmentLine):
        yield f"written out: {_expected(line)}"
    elif isinstance(line, Retransmission):
        yield "the same octets, cut anywhere, with ack, win and options as they are by then"
    elif isinstance(line, Stream):
        yield "in order from snd.nxt, cut anywhere"
    elif isinstance(line, Kind):
        yield "as the model of the connection recognises it"
    if step.gap is not None:
        yield f"{step.gap} after the copy before it"
    if step.within is not None:
        yield f"within {step.within}" + (f" of {step.since!r}" if step.since else " of what was sent last")
    elif step.gap is None:
        yield (
            "at once, or within 0.5 s where an ACK may be delayed"
            if isinstance(line, SegmentLine)
            else "when it is due"
        )
    if step.lost:
        yield "the tester plays not to have received it"
    if step.acked:
        yield "the tester acknowledges it"


def _times(step: m.Expect) -> str:
    low, high = step.times
    if (low, high) == (1, 1):
        return ""
    return f" {low} times" if low == high else f" {low} to {high if high is not None else 'any number of'} times"


def _expected(line: SegmentLine) -> str:
    words = [str(SegmentLine(line.flags, line.optional)), "(PSH is free)"]
    if line.field("seq") is None:
        words.append("seq=*" if line.flags & RST else "seq=iss" if line.flags & SYN else "seq=snd.nxt")
    if line.field("ack") is None and line.flags & ACK:
        words.append("ack=irs+1" if line.flags & SYN else "ack=rcv.nxt")
    words += [str(field) for field in line.fields]
    if line.field("win") is None:
        words.append("win=*")
    words.append(str(line.options) if line.options is not None else "<any options>")
    words += [str(part) for part in line.payload] or ["no payload"]
    return " ".join(words)


def _nothing(step: m.Expect, line: Nothing) -> Iterator[str]:
    what = "nothing but what it may send of its own accord" if line.new else "nothing"
    yield f"the target must send {what}"
    if step.lasting is not None:
        yield f"for {step.lasting}" + (f" from {step.since!r}" if step.since else "")
    else:
        yield "proven by a barrier: another segment is answered, and this one was not"
    if line.new:
        yield "(a due retransmission, a window update, an ACK within its permitted delay)"


def _wanted(step: m.Awaited) -> str:
    parts = []
    if step.returns is not None:
        value = step.returns
        shown = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
        shown = {"eof": "end of file", "any": "anything", "sent": "what was sent"}.get(shown, shown)
        parts.append(f"returns {shown}")
    if step.raises:
        parts.append(f"raises {' or '.join(step.raises)}")
    said = f", which {' or '.join(parts)}" if parts else ""
    return said + (f", within {step.within}" if step.within is not None else "")

"""A segment of the target in the notation of cases, its numbers named by the variables of the connection.

Equal behaviour must get equal names whatever the numbers are: each number takes the first name that fits it, from a
list for its kind of segment, so that a line of a model can be pasted into a case as an expectation.
"""

from __future__ import annotations

from conformance.engine.scope import Conn
from conformance.targets.base import Outcome
from conformance.tcp.segment import ACK, RST, SYN, URG, Segment, flag_names
from conformance.tcp.sequence import MASK, add

NOTHING = "nothing"
_PSH = 8


def reply_text(segment: Segment, conn: Conn, opening: bool = False) -> str:
    """The segment as an expectation: flags, relative numbers, how much text (one octet, or more), a zero window.

    `opening`: the application has just connected, so a SYN begins a connection, whatever was before.
    """
    flags = segment.flags
    words = [flag_names(flags & ~_PSH)]
    words.append("seq=iss" if opening and flags & (SYN | ACK) == SYN else f"seq={_sequence(segment, conn)}")
    if flags & ACK:
        words.append(f"ack={_acknowledgement(segment, conn)}")
    if not segment.win and not flags & RST:
        words.append("win=0")
    if flags & URG:
        words.append("urg=*")
    if segment.payload:
        words.append("(1)" if len(segment.payload) == 1 else "(2..)")
    return " ".join(words)


def _sequence(segment: Segment, conn: Conn) -> str:
    tcb, sent = conn.tcb, conn.last_sent
    if segment.flags & SYN:
        fresh = tcb.iss is None or tcb.syn_seq is not None or tcb.reset
        return "iss" if fresh or segment.seq == tcb.iss else "*"
    names: list[tuple[str, int | None]] = []
    if segment.flags & RST:
        names.append(("0", 0))
        names.append(("seg.ack", sent.ack if sent is not None else None))
    names += [("snd.nxt", tcb.snd_nxt), ("snd.una", tcb.snd_una), ("snd.nxt-1", add(tcb.snd_nxt, -1)), ("iss", tcb.iss)]
    return _first(names, segment.seq)


def _acknowledgement(segment: Segment, conn: Conn) -> str:
    tcb, sent = conn.tcb, conn.last_sent
    end = ("seg.end", sent.end if sent is not None else None)
    names: list[tuple[str, int | None]] = [("rcv.nxt", tcb.rcv_nxt)]
    names = [end, *names] if segment.flags & (RST | SYN) else [*names, end]
    syn = tcb.irs if tcb.syn_seq is None else tcb.syn_seq
    names += [("rcv.nxt-1", add(tcb.rcv_nxt, -1)), ("rcv.nxt+1", add(tcb.rcv_nxt, 1))]
    names += [("irs", syn), ("irs+1", add(syn, 1)), ("0", 0)]
    return _first(names, segment.ack)


def _first(names: list[tuple[str, int | None]], number: int) -> str:
    return next((name for name, value in names if value is not None and value & MASK == number), "*")


def outcome_text(verb: str, outcome: Outcome) -> str:
    """What a call came to: `recv returns data`, `close raises EBADF`. How much was read does not count."""
    if outcome.error:
        return f"{verb} raises {outcome.error}"
    value = outcome.value
    if verb == "recv":
        return f"{verb} returns {'data' if value else 'eof'}"
    if isinstance(value, frozenset):
        return f"{verb} returns {'|'.join(sorted(value)) or 'none'}"
    return f"{verb} returns {value}" if isinstance(value, int) and verb != "accept" else f"{verb} returns ok"


def joined(parts: list[str]) -> str:
    """All that one input drew, as one output."""
    return "; ".join(parts) or NOTHING


def segments_of(output: str) -> list[str]:
    """The segments of an output, without what calls came to."""
    return [part for part in output.split("; ") if part.split(" ", 1)[0].isupper()]


def outcomes_of(output: str) -> list[str]:
    """What calls came to, without the segments."""
    return [part for part in output.split("; ") if part != NOTHING and not part.split(" ", 1)[0].isupper()]


__all__ = ["NOTHING", "joined", "outcome_text", "outcomes_of", "reply_text", "segments_of"]

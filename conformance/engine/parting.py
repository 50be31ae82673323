"""What is left of a case's connections when it ends: who spoke with whom, and RSTs for what may still be open."""

from __future__ import annotations

import socket

from conformance.engine.scope import Scope
from conformance.tcp.segment import RST, Segment
from conformance.wire.base import Wire


def address_texts(scope: Scope) -> dict[str, tuple[str, int, str, int]]:
    """The endpoints of every connection as text: tester address and port, target address and port."""
    found = {}
    for conn in scope.conns.values():
        pair = conn.pair
        family = socket.AF_INET if pair.version == 4 else socket.AF_INET6
        tester, target = socket.inet_ntop(family, pair.tester), socket.inet_ntop(family, pair.target)
        found[conn.name] = (tester, pair.tester_port, target, pair.target_port)
    return found


def reset(wire: Wire, scope: Scope, gone: str | None) -> None:
    """Send a RST on every connection that may be open; the one named `gone` is known not to be."""
    for conn in scope.conns.values():
        tcb = conn.tcb
        if tcb.iss is not None and not tcb.reset and conn.name != gone:
            segment = Segment(RST, tcb.rcv_nxt, 0, 0)
            segment.sport, segment.dport = conn.pair.tester_port, conn.pair.target_port
            try:
                wire.send(conn.encoder.encode(segment))
            except OSError:
                break

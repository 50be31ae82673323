"""One small case for each verb that an agent may declare: does the call do what it says, whatever the RFC thinks of it?

The stack's replies are held against as little as shows that the call was made; what they should be is for the suite.
"""

from __future__ import annotations

from collections.abc import Mapping

_ESTABLISHED = """
title: {verb} does what it says
requirements: [RFC9293-3.5-FIG6-3WHS]
start: ESTABLISHED
steps:
"""

_STEPS: Mapping[str, str] = {
    "shutdown": """
  - call: shutdown(wr)
  - expect: FIN,ACK
""",
    "close": """
  - call: close()
  - expect: FIN,ACK
""",
    "abort": """
  - call: abort()
  - expect: RST,ACK? seq=* ack=*
""",
    "exit": """
  - call: exit()
  - expect: FIN?,RST?,ACK? seq=* ack=*
""",
    "setsockopt": """
  - call: setsockopt(SO_KEEPALIVE, 1)
""",
    "getsockopt": """
  - call: getsockopt(SO_KEEPALIVE)
    returns: any
""",
    "poll": """
  - call: poll()
    returns: OUT
  - send: PSH,ACK "tcp"
  - expect: ACK
  - call: poll()
    returns: IN|OUT
""",
    "atmark": """
  - call: atmark()
    returns: any
""",
}
_CONNECT = """
title: connect does what it says
requirements: [RFC9293-3.5-FIG6-3WHS]
start: CLOSED
steps:
  - call: connect()
    as: connect
  - expect: SYN
    as: syn
  - send: SYN,ACK seq=irs ack=syn.end
  - expect: ACK
  - result: connect
"""


def trials(verbs: frozenset[str]) -> Mapping[str, str]:
    """The text of a case for each of these verbs; listen, accept, send and recv have the positive control."""
    found = {verb: _ESTABLISHED.format(verb=verb) + steps.lstrip("\n") for verb, steps in _STEPS.items()}
    found["connect"] = _CONNECT
    return {verb: text for verb, text in sorted(found.items()) if verb in verbs}

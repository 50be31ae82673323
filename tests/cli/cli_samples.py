"""Two small cases."""

GOOD = """
title: A SYN draws SYN,ACK
requirements: [RFC9293-3.10.7.2-SYN]
start: LISTEN
steps:
  - send: SYN
  - expect: SYN,ACK
"""
BAD = GOOD.replace("expect: SYN,ACK", "expect: RST")

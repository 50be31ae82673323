"""A conformance tester for real TCP stacks, judged by RFC 9293."""

__version__ = "0.1.0"

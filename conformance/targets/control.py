"""The way to a host's agent: a TCP connection on which both sides know that the tester holds the token.

docs/adapters.md, A host. Imports the targets' contracts and the standard library.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import socket
import stat
from pathlib import Path

from conformance.targets.base import TargetError

TOKEN_VARIABLE = "CONFORMANCE_TOKEN"
DEFAULT_PORT = 7413
SHORTEST = 16
"""Characters of a token."""
_PATIENCE = 5.0
_LONGEST = 4096


def read_token(file: Path | None) -> str:
    """The token from a file of one's own, else from the environment. Raises TargetError."""
    if file is None:
        token = os.environ.get(TOKEN_VARIABLE, "").strip()
        if not token:
            raise TargetError(f"the agent's token: say --token-file FILE, or set {TOKEN_VARIABLE}")
    else:
        try:
            if stat.S_IMODE(file.stat().st_mode) & 0o077:
                raise TargetError(f"{file}: others can read the token; chmod 600 it")
            token = file.read_text().strip()
        except OSError as problem:
            raise TargetError(f"{file}: {problem.strerror}") from problem
        except UnicodeDecodeError as problem:
            raise TargetError(f"{file}: a token is text") from problem
    if len(token) < SHORTEST:
        raise TargetError(f"the agent's token has less than {SHORTEST} characters")
    return token


def split(address: str) -> tuple[str, int]:
    """Host and port of `HOST`, `HOST:PORT`, `[ADDRESS]:PORT`. Raises TargetError."""
    host, _, port = address.rpartition(":")
    if address.startswith("["):
        host = host[1:-1] if address[-1] != "]" else address[1:-1]
        port = port if address[-1] != "]" else ""
    elif not host or ":" in host:
        host, port = address, ""
    if port and not (port.isdigit() and 0 < int(port) < 65536):
        raise TargetError(f"--agent {address!r}: say ADDRESS:PORT")
    return host, int(port or DEFAULT_PORT)


def connect(address: str, token: str) -> socket.socket:
    """A connection to an agent that has accepted us. Raises TargetError."""
    host, port = split(address)
    try:
        connected = socket.create_connection((host, port), timeout=_PATIENCE)
    except OSError as problem:
        raise TargetError(f"no agent at {address}: {problem.strerror or problem}") from problem
    try:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        said = _line(connected)
        if "challenge" not in said:
            raise TargetError(f"the agent at {address} refuses: {said.get('error', 'no challenge')}")
        proof = hmac.new(token.encode(), str(said["challenge"]).encode(), hashlib.sha256).hexdigest()
        connected.sendall(json.dumps({"proof": proof}).encode() + b"\n")
    except (OSError, ValueError) as problem:
        connected.close()
        raise TargetError(f"{address} is no agent: {problem}") from problem
    except TargetError:
        connected.close()
        raise
    return connected


def _line(connected: socket.socket) -> dict[str, object]:
    """One line, and not an octet more. Raises ValueError, OSError."""
    octets = bytearray()
    while not octets.endswith(b"\n"):
        octet = connected.recv(1)
        if not octet or len(octets) > _LONGEST:
            raise ValueError("it ended the connection" if not octet else "it says too much")
        octets += octet
    said = json.loads(octets)
    if isinstance(said, dict):
        return said
    raise ValueError("it speaks another language")

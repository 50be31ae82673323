"""A stack that knows no open port: it answers SYNs by resets, and a SYN with a window of 6666 by something hostile.

python hostile.py MODE virtual|real
"""

from __future__ import annotations

import json
import os
import select
import socket
import struct
import sys
import time

MODE, CLOCK = sys.argv[1:3]
channel = socket.socket(fileno=3)
wire = socket.socket(fileno=4) if CLOCK == "real" else None
now = taken = given = 0
marked = 0


def say(message: object) -> None:
    channel.sendall(json.dumps(message).encode() + b"\n")


def out(octets: bytes) -> None:
    global given
    if wire is not None:
        try:
            wire.send(octets)
        except OSError:
            pass
        return
    given += 1
    say({"frame": octets.hex(), "at": now})


def total(data: bytes) -> int:
    value = int.from_bytes(data + b"\0" * (len(data) & 1), "big") % 0xFFFF
    return 0xFFFF - value if value else 0


def reset(frame: bytes, *, payload: bytes = b"", options: bytes = b"", doff: int | None = None, cut: int = 0,
          length: int | None = None, to: bytes | None = None) -> bytes:  # fmt: skip
    """The answer to a SYN, wrong in the ways asked for."""
    source, target = frame[26:30], frame[30:34]
    sport, dport, seq = struct.unpack_from("!HHI", frame, 34)
    words = (5 + len(options) // 4 if doff is None else doff) << 12 | 0x14
    tcp = struct.pack("!HHIIHHHH", dport, sport, 0, seq + 1 & 0xFFFFFFFF, words, 0, 0, 0) + options + payload
    pseudo = target + (to or source) + struct.pack("!HH", 6, len(tcp) & 0xFFFF)
    tcp = tcp[:16] + total(pseudo + tcp).to_bytes(2, "big") + tcp[18:]
    size = min(20 + len(tcp), 0xFFFF) if length is None else length
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, size, 1, cut, 64, 6, 0, target, to or source)
    ip = ip[:10] + total(ip).to_bytes(2, "big") + ip[12:]
    return frame[6:12] + frame[:6] + b"\x08\x00" + ip + tcp


def neighbour(to: bytes) -> bytes:
    head = struct.pack("!HHHHH", 0x0806, 1, 0x0800, 0x0604, 1)
    return b"\xff" * 6 + b"\2" * 6 + head + b"\2" * 6 + bytes([192, 0, 2, 1]) + bytes(6) + to


def hostile(frame: bytes) -> bool:
    """True when the honest answer shall follow."""
    good = reset(frame)
    if MODE == "truncated":
        for size in range(len(good)):
            out(good[:size])
    elif MODE == "lengths":
        for length in (0, 1, 19, 20, 39, 41, 1500, 65535):
            out(reset(frame, length=length))
        for doff in (0, 1, 4, 6, 15):
            out(reset(frame, doff=doff))
    elif MODE == "options":
        for area in (b"\2\0\5\0", b"\2\xff\5\0", b"\5\3\0\0", b"\x08\x28\0\0", b"\xff" * 40):
            out(reset(frame, options=area))
    elif MODE == "fragments":
        for cut in (0x2000, 0x0001, 0x3FFF, 0x1FFF):
            out(reset(frame, cut=cut, payload=b"x" * 24))
    elif MODE == "huge":
        for _ in range(20):
            out(reset(frame, payload=b"x" * 65_000))
    elif MODE == "flood":
        begun, count, answer = time.monotonic(), 0, reset(frame, options=b"\1\1\1\1")
        while time.monotonic() < begun + 2 and (wire is not None or count < 30_000):
            out(answer)
            count += 1
        print("flooded", count, "in", time.monotonic() - begun, file=sys.stderr, flush=True)
    elif MODE == "others":
        for last in range(256):
            out(reset(frame, to=frame[26:29] + bytes([last])) if last != frame[29] else b"")
    elif MODE == "nothing":
        return False
    elif MODE == "dies":
        print("\x1b[31mpcb != NULL\x07", flush=True)
        os.abort()
    elif MODE == "dribbles":
        while True:
            channel.sendall(b" ")
            time.sleep(0.05)
    elif MODE == "asks":
        for _ in range(100):
            out(neighbour(frame[26:30]))
    return MODE not in ("huge",)


def arrived(frame: bytes) -> None:
    """A frame of the tester."""
    if frame[12:14] == b"\x08\x06" or len(frame) < 54 or frame[12:14] != b"\x08\x00" or frame[23] != 6:
        if MODE == "asks" and frame[12:14] == b"\x08\x06":
            out(neighbour(frame[38:42]))  # and again, though it was answered
        return
    if frame[47] & 0x3F == 0x10:  # an ACK, to no connection
        bare = reset(frame)
        tcp = bare[34:38] + frame[42:46] + bytes(4) + b"\x50\x04" + bytes(6)
        value = total(bare[26:34] + struct.pack("!HH", 6, 20) + tcp)
        out(bare[:34] + tcp[:16] + value.to_bytes(2, "big") + tcp[18:])
    if frame[47] & 0x3F != 2:
        return
    if struct.unpack_from("!H", frame, 48)[0] != 6666 or hostile(frame):
        out(reset(frame))


def asked(message: dict) -> None:
    global now, taken, given
    if "configure" in message:
        now = taken = given = 0
        hello = {"protocol": 1, "stack": "hostile \x1b[2J", "version": "\x07", "clock": CLOCK, "ip": [4], "verbs": []}
        say({"hello": {**hello, "frames": "fd" if wire else "channel"}})
    elif "frame" in message:
        taken += 1
        arrived(bytes.fromhex(message["frame"]))
    elif message["do"] == "advance":
        now = now if given > taken_of(message) else max(now, message["to"])
        say({"id": message["id"], "ok": {"now": now, "in": taken, "out": given, "next": None}})
    else:
        say({"id": message["id"], "ok": None})


told = 0


def taken_of(message: dict) -> int:
    """Frames that were out when time was last moved."""
    global told
    before, told = told, given
    return before if given >= before else 0


rest = b""
while True:
    ready = select.select([channel, wire] if wire is not None else [channel], [], [])[0]
    if wire is not None and wire in ready:
        arrived(wire.recv(65536))
    if channel in ready:
        octets = channel.recv(65536)
        if not octets:
            sys.exit()
        *lines, rest = (rest + octets).split(b"\n")
        for line in lines:
            asked(json.loads(line))

"""Captures: one pcapng file per result, nanosecond time stamps, packet comments that name the step.

The few blocks that are needed are packed here: scapy's writer knows only microseconds, and its import alone takes
longer than a case. Imports the Result and this room's text.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TextIO

from conformance import __version__
from conformance.engine.result import Event, Result, Verdict
from conformance.report.ladder import step_name
from conformance.report.text import FRAME_KINDS, event_text, printable

_ETHERNET = 1
_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_COMMENT, _APPLICATION, _NAME, _RESOLUTION, _FLAGS = 1, 4, 2, 9, 2
_NANOSECONDS = bytes((9,))
_INBOUND, _OUTBOUND = 1, 2
_LONGEST = 0xFFF0


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + value + b"\0" * (-len(value) % 4)


def _text(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")[:_LONGEST].decode("utf-8", "ignore").encode()


def _block(kind: int, body: bytes, options: bytes = b"") -> bytes:
    body += b"\0" * (-len(body) % 4) + (options + _option(0, b"") if options else b"")
    size = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + size + body + size


def _packet(event: Event, frame: bytes, comments: list[str]) -> bytes:
    """An Enhanced Packet Block; directions are as the tester sees them."""
    high, low = divmod(event.time, 1 << 32)
    flags = struct.pack("<I", _INBOUND if event.kind == "seen" else _OUTBOUND)
    options = b"".join(_option(_COMMENT, _text(comment)) for comment in comments) + _option(_FLAGS, flags)
    return _block(_PACKET, struct.pack("<IIIII", 0, high & 0xFFFFFFFF, low, len(frame), len(frame)) + frame, options)


def capture(result: Result) -> bytes:
    """The frames of a result's trace as a pcapng file.

    Every frame's comment names its step and says the segment in the notation, as well as what the application did
    before it; the file's comment names the variation, the verdict and the finding.
    """
    head = [f"{result.verdict} {printable(result.id)}: {printable(result.title)}", printable(result.reason)]
    if result.finding is not None:
        head.append(f"{printable(str(result.finding.place))}: {printable(result.finding.message)}")
    comments = b"".join(_option(_COMMENT, _text(line)) for line in head if line)
    tool = _option(_APPLICATION, f"tcp-conformance {__version__}".encode())
    blocks = [_block(_SECTION, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1), comments + tool)]
    interface = _option(_NAME, b"tester") + _option(_RESOLUTION, _NANOSECONDS)
    blocks.append(_block(_INTERFACE, struct.pack("<HHI", _ETHERNET, 0, 0), interface))
    blocks += _packets(result)
    return b"".join(blocks)


def _packets(result: Result) -> Iterator[bytes]:
    before: list[str] = []
    for event in result.trace:
        shown = event_text(event, result)
        if not isinstance(event.data, bytes) or event.kind not in FRAME_KINDS:
            before.append(f"before: {event.kind}: {shown.notation}")
            continue
        what = " (probe)" if event.kind == "probe" else ""
        mark = " <-- the finding" if result.finding is not None and 0 <= result.finding.step == event.step else ""
        yield _packet(event, event.data, [f"{step_name(result, event.step)}{what}{mark}", str(shown), *before])
        before = []


def file_name(id_: str) -> Path:
    """The relative path of a variation's capture; ids that differ have names that differ, none leaves its folder."""
    parts = []
    for part in id_.split("/"):
        name = re.sub(r"[^A-Za-z0-9._=,\[\]+-]", "_", part).lstrip(".")[:160]
        if not name or name != part:
            name += f"-{hashlib.sha256(part.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
        parts.append(name)
    return Path(*parts[:-1], f"{parts[-1]}.pcapng")


class Captures:
    """Writes captures below a folder: of results that are not PASS, DEVIATION or UNSUPPORTED, or of all.

    No OSError escapes: the first one is told on `stderr` and stays in `failed`; a file is whole or not there.
    """

    def __init__(self, folder: Path, which: Literal["failed", "all"] = "failed", stderr: TextIO | None = None) -> None:
        self.folder = folder
        self.which = which
        self.failed: str | None = None
        self._stderr = stderr if stderr is not None else sys.stderr

    def add(self, result: Result) -> Path | None:
        """Write the capture of a result if it is wanted; its path, or None when there is none."""
        wanted = self.which == "all" or result.verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.ERROR)
        if not wanted or not any(event.kind in FRAME_KINDS for event in result.trace):
            return None
        path = self.folder / file_name(result.id)
        part = path.with_name(path.name + ".part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(capture(result))
            part.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            if self.failed is None:
                self.failed = os.strerror(error.errno) if error.errno else str(error)
                print(f"conformance: the capture {path} can't be written: {self.failed}", file=self._stderr, flush=True)
            return None
        return path

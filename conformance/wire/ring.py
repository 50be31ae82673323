"""A receive ring of a packet socket: frames are read from shared memory, with no system call for each (packet(7)).

TPACKET_V2: a frame is readable the moment the kernel has copied it, with its own time stamp; version 3 would hold it
back until a block is retired. The ring's memory is not charged to the receive buffer, so a burst survives without
root, where SO_RCVBUF is capped by rmem_max. Imports the standard library only.
"""

from __future__ import annotations

import mmap
import os
import socket
import struct

from conformance.wire.base import Frame

_SOL_PACKET = 263
_PACKET_RX_RING = 5
_PACKET_STATISTICS = 6
_PACKET_VERSION = 10
_PACKET_IGNORE_OUTGOING = 23
_TPACKET_V2 = 1
_TP_STATUS_USER = 1
_TP_STATUS_CSUMNOTREADY = 8

SLOT = 1600
"""Octets of one slot: 66 before the frame, 1,514 of the frame at an MTU of 1,500; a multiple of 16."""
BLOCK = 1 << 16
"""Octets of one block, a multiple of any page size; slots don't cross blocks."""
SLOTS = 24_600
"""By default: a burst of 20,000 frames and some, in 40 MB of kernel memory."""

_HEADER = struct.Struct("=IHHII")
"""Of struct tpacket2_hdr, from tp_snaplen on: snaplen, mac, net, sec, nsec."""
_unpack, _new = _HEADER.unpack_from, tuple.__new__


class RingError(Exception):
    """The ring can't be had; the message says why and what would help."""


class Ring:
    """The receive ring of `packet`, a bound AF_PACKET socket, whose frames are at most `mtu` + 14 octets.

    Frames that the socket had received before are lost: make the ring before sending anything.
    Raises RingError when the kernel refuses it.
    """

    def __init__(self, packet: socket.socket, *, slots: int = SLOTS, mtu: int = 1500) -> None:
        if mtu + 14 + 66 > SLOT:
            raise RingError(f"a receive ring for an MTU of {mtu} is not supported: at most {SLOT - 80}")
        per_block = BLOCK // SLOT
        blocks = -(-slots // per_block)
        try:
            packet.setsockopt(_SOL_PACKET, _PACKET_VERSION, _TPACKET_V2)
            packet.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
            request = struct.pack("=IIII", BLOCK, blocks, SLOT, blocks * per_block)
            packet.setsockopt(_SOL_PACKET, _PACKET_RX_RING, request)
            memory = mmap.mmap(packet.fileno(), blocks * BLOCK, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        except OSError as problem:
            size = blocks * BLOCK >> 20
            why = os.strerror(problem.errno or 0)
            raise RingError(
                f"no receive ring of {size} MB on the packet socket ({why}): the kernel needs CONFIG_PACKET_MMAP "
                f"and {size} MB of free memory"
            ) from problem
        self._packet = packet
        self._memory = memory
        self._words = memoryview(memory).cast("I")
        # A slot's offset cannot be computed in one step, for blocks have a rest at their end.
        self._starts = tuple(block * BLOCK + slot * SLOT for block in range(blocks) for slot in range(per_block))
        self._next = 0
        self._dropped = 0
        self.unfinished = 0
        """Frames whose checksum a device was to fill in, which never came: the link is a virtual one."""

    def read(self) -> list[Frame]:
        """Every frame that is in the ring now, in order; never waits, makes no system call.

        At most as many as the ring holds, though the kernel fills it again meanwhile: a flood keeps nobody here.
        The slots are given back before this returns.
        """
        frames: list[Frame] = []
        words, starts, at = self._words, self._starts, self._next
        start = starts[at]
        # The status is read before and written after the rest: x86 keeps that order, and elsewhere so many
        # instructions of the interpreter lie between that no processor reorders across them.
        for _ in range(len(starts)):
            status = words[start >> 2]
            if not status & _TP_STATUS_USER:
                break
            if status & _TP_STATUS_CSUMNOTREADY:
                self.unfinished += 1
            length, mac, _, seconds, nanoseconds = _unpack(self._memory, start + 8)
            mac += start
            # As Frame(...), without the call of a Python function for each.
            frames.append(_new(Frame, (seconds * 1_000_000_000 + nanoseconds, self._memory[mac : mac + length])))
            words[start >> 2] = 0
            at += 1
            if at == len(starts):
                at = 0
            start = starts[at]
        self._next = at
        return frames

    def dropped(self) -> int:
        """Frames lost since the start because the ring was full (reading the kernel's counter resets it)."""
        _, dropped = struct.unpack("=II", self._packet.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
        self._dropped += dropped
        return self._dropped

    def close(self) -> None:
        """Unmap; the socket stays open. Safe to call twice."""
        self._words.release()
        self._memory.close()

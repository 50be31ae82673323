# SPDX-License-Identifier: MIT
"""A network of an agent's own, for stacks that want devices or ports of the system's.

Imports the standard library only: an agent runs in an environment of its own.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from pathlib import Path

_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000
_SET_FLAGS, _SET_MTU, _UP = 0x8914, 0x8922, 0x1


def private_network() -> None:
    """Leave the machine's network for an empty one, with its loopback device up; before any thread. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    ids = os.getuid(), os.getgid()
    if libc.unshare(_NEW_NETWORK) < 0:
        if libc.unshare(_NEW_USER | _NEW_NETWORK) < 0:
            raise OSError(ctypes.get_errno(), "no network namespace of its own")
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {ids[0]} 1")
        Path("/proc/self/gid_map").write_text(f"0 {ids[1]} 1")
    bring_up("lo")


def bring_up(device: str, mtu: int = 0) -> None:
    """Bring a device of this network up, with this MTU (octets) unless it is 0. Raises OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        if mtu:
            fcntl.ioctl(one, _SET_MTU, struct.pack("16si20x", device.encode(), mtu))
        fcntl.ioctl(one, _SET_FLAGS, struct.pack("16sh14x", device.encode(), _UP))

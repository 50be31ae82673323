"""A packet socket on an interface of this machine, which hears only what is meant for the tester's phantom hosts.

The filter is a classic BPF program (packet(7), SO_ATTACH_FILTER): the kernel drops everything else before we see it.
Imports the standard library only.
"""

from __future__ import annotations

import ctypes
import fcntl
import ipaddress
import socket
import struct
from collections.abc import Sequence

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_LOAD_WORD, _LOAD_HALF, _LOAD_OCTET = 0x20, 0x28, 0x30
_AND, _JUMP_EQUAL, _RETURN = 0x54, 0x15, 0x06
_ARP, _IPV4, _IPV6 = 0x0806, 0x0800, 0x86DD
_ICMPV6, _SOLICITATION = 58, 135
_WHOLE = 0x40000
_SO_ATTACH_FILTER = 26
_SOL_PACKET, _PACKET_IGNORE_OUTGOING = 263, 23
_ETH_P_ALL = 3
_SIOCGIFMTU, _SIOCGIFHWADDR = 0x8921, 0x8927

Instruction = tuple[int, int, int, int]


def program(networks: Sequence[Network]) -> list[Instruction]:
    """A filter that passes frames for these networks, ARP, and neighbour solicitations; (code, jt, jf, k) each."""
    accept: Instruction = (_RETURN, 0, 0, _WHOLE)
    drop: Instruction = (_RETURN, 0, 0, 0)
    found: list[Instruction] = [(_LOAD_HALF, 0, 0, 12), (_JUMP_EQUAL, 0, 1, _ARP), accept]
    v4: list[Instruction] = []
    v6: list[Instruction] = [
        *((_LOAD_OCTET, 0, 0, 20), (_JUMP_EQUAL, 0, 3, _ICMPV6)),
        *((_LOAD_OCTET, 0, 0, 54), (_JUMP_EQUAL, 0, 1, _SOLICITATION), accept),
    ]
    for network in networks:
        at, part = (30, v4) if network.version == 4 else (38, v6)
        words = struct.unpack(f"!{len(network.network_address.packed) // 4}I", network.network_address.packed)
        masks = struct.unpack(f"!{len(words)}I", network.netmask.packed)
        test: list[Instruction] = []
        used = [index for index, mask in enumerate(masks) if mask]
        for index in used:
            left = 3 * (len(used) - used.index(index) - 1) + 1  # to behind the accept
            test += [
                (_LOAD_WORD, 0, 0, at + 4 * index),
                (_AND, 0, 0, masks[index]),
                (_JUMP_EQUAL, 0, left, words[index]),
            ]
        part += [*test, accept]
    found += [(_JUMP_EQUAL, 0, len(v4) + 1, _IPV4), *v4, drop]
    found += [(_JUMP_EQUAL, 0, len(v6), _IPV6), *v6, drop]
    return found


def open_on(interface: str, networks: Sequence[Network]) -> int:
    """The descriptor of a packet socket on `interface` with that filter.

    Raises OSError: no right to (PermissionError), no such interface.
    """
    packet = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    try:
        octets = b"".join(struct.pack("=HBBI", *instruction) for instruction in program(networks))
        buffer = ctypes.create_string_buffer(octets, len(octets))
        size = len(octets) // 8
        packet.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", size, ctypes.addressof(buffer)))
        packet.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        packet.bind((interface, _ETH_P_ALL))
    except BaseException:
        packet.close()
        raise
    return packet.detach()


def link(interface: str) -> tuple[bytes, int]:
    """The interface's own MAC address and MTU. Raises OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        request = struct.pack("16s24x", interface.encode())
        mac = fcntl.ioctl(asking, _SIOCGIFHWADDR, request)[18:24]
        mtu = struct.unpack_from("=i", fcntl.ioctl(asking, _SIOCGIFMTU, request), 16)[0]
    return mac, mtu

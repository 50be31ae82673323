"""Segments to frames and back. scapy crafts each header once and builds everything unusual (fragments, ICMP); numbers,
options and checksums are patched with struct, because a packet built by scapy costs a millisecond.

Frames begin with the Ethernet header. Addresses are 4 or 16 octets.
"""

from __future__ import annotations

import socket
import struct
from functools import lru_cache
from typing import Any

from conformance.tcp.options import decode as decode_options
from conformance.tcp.options import encode as encode_options
from conformance.tcp.segment import IcmpMessage, Segment

_TCP = struct.Struct("!HHIIHHHH")
_NUMBERS = struct.Struct("!HHIIHH")
ETHERNET = 14
IP4_HEADER = 20
IP6_HEADER = 40


@lru_cache(maxsize=4)
def _template(version: int) -> bytes:
    """An Ethernet, IP and TCP header crafted by scapy, to be patched."""
    from scapy.layers.inet import IP, TCP
    from scapy.layers.l2 import Ether

    ether = Ether(src="00:00:00:00:00:00", dst="00:00:00:00:00:00")
    if version == 4:
        return bytes(ether / IP(src="0.0.0.0", dst="0.0.0.0", flags="DF", id=0, ttl=64) / TCP())  # noqa: S104
    from scapy.layers.inet6 import IPv6

    return bytes(ether / IPv6(src="::", dst="::", hlim=64) / TCP())


def prepare() -> None:
    """Import all of scapy that may be needed, and craft the templates: half a second that no case should wait for."""
    from scapy.layers import inet, inet6

    del inet, inet6
    _template(4)
    _template(6)


def checksum(data: bytes, start: int = 0) -> int:
    """The Internet checksum of `data` (RFC 9293 section 3.1), `start` being added to the sum."""
    if len(data) & 1:
        data += b"\0"
    total = (int.from_bytes(data, "big") + start) % 0xFFFF
    return 0xFFFF - total if total else 0


class Encoder:
    """Builds frames from one tester address to one target address."""

    __slots__ = ("_addresses", "_front", "_head", "_ip_sum", "_middle", "_pseudo", "source", "target", "version")

    def __init__(self, source: bytes, target: bytes, tester_mac: bytes, target_mac: bytes) -> None:
        self.version = 4 if len(source) == 4 else 6
        self.source, self.target = source, target
        template = _template(self.version)
        if self.version == 4:
            ip = template[ETHERNET : ETHERNET + 12] + source + target
        else:
            ip = template[ETHERNET : ETHERNET + 8] + source + target
        self._head = target_mac + tester_mac + template[12:ETHERNET] + ip
        self._front, self._middle, self._addresses = self._head[:16], self._head[18:24], self._head[26:34]
        self._pseudo = int.from_bytes(source + target, "big") % 0xFFFF + socket.IPPROTO_TCP
        self._ip_sum = 0
        if self.version == 4:
            fixed = bytearray(ip)
            fixed[2:4] = fixed[10:12] = b"\0\0"
            self._ip_sum = int.from_bytes(fixed, "big") % 0xFFFF

    def tcp(self, segment: Segment) -> bytes:
        """The TCP header, options and text, with the checksum (a wrong one when the segment says so)."""
        area = encode_options(segment.options) if segment.options else b""
        doff = segment.doff or 5 + len(area) // 4
        bits = (doff & 15) << 12 | (segment.reserved & 7) << 9 | segment.flags & 0x1FF
        head = _TCP.pack(
            segment.sport, segment.dport, segment.seq, segment.ack, bits, segment.win & 0xFFFF, 0, segment.urg & 0xFFFF
        )
        data = head + area + segment.payload
        total = checksum(data, self._pseudo + len(data))
        if not segment.checksum_ok:
            total ^= 0x5A5A
        return data[:16] + total.to_bytes(2, "big") + data[18:]

    def encode(self, segment: Segment) -> bytes:
        """The whole frame."""
        data = self.tcp(segment)
        head = self._head
        if self.version == 4:
            length = IP4_HEADER + len(segment.ip_options) + len(data)
            if segment.ttl == 64 and segment.tos == 0 and segment.ident == 0 and segment.df and not segment.ip_options:
                total = (self._ip_sum + length) % 0xFFFF
                total = 0xFFFF - total if total else 0
                return b"%b%b%b%b%b%b" % (
                    self._front,
                    length.to_bytes(2, "big"),
                    self._middle,
                    total.to_bytes(2, "big"),
                    self._addresses,
                    data,
                )
            ip = bytearray(head[ETHERNET:34] + segment.ip_options)
            ip[0] = 0x40 | len(ip) // 4
            ip[1], ip[8] = segment.tos & 0xFF, segment.ttl & 0xFF
            struct.pack_into("!HHH", ip, 2, length & 0xFFFF, segment.ident & 0xFFFF, 0x4000 if segment.df else 0)
            ip[10:12] = b"\0\0"
            struct.pack_into("!H", ip, 10, checksum(bytes(ip)))
            return head[:ETHERNET] + bytes(ip) + data
        if segment.ttl == 64 and segment.tos == 0 and segment.flow == 0:
            return head[:18] + len(data).to_bytes(2, "big") + head[20:54] + data
        word = 6 << 28 | (segment.tos & 0xFF) << 20 | segment.flow & 0xFFFFF
        ip6 = struct.pack("!IHBB", word, len(data), socket.IPPROTO_TCP, segment.ttl & 0xFF)
        return head[:ETHERNET] + ip6 + head[22:54] + data

    def fragments(self, segment: Segment, size: int) -> list[bytes]:
        """The frame cut into IP fragments of at most `size` octets of IP payload (a multiple of 8), by scapy."""
        from scapy.layers.inet import IP, fragment
        from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, fragment6
        from scapy.packet import Raw

        frame = self.encode(segment)
        ether, rest = frame[:ETHERNET], frame[ETHERNET:]
        if self.version == 4:
            header = IP4_HEADER + len(segment.ip_options)
            packet = IP(rest[:header]) / Raw(rest[header:])
            packet.flags, packet.id, packet.chksum, packet.len = 0, segment.ident or 1, None, None
            return [ether + bytes(part) for part in fragment(packet, fragsize=size)]
        packet = IPv6(rest[:IP6_HEADER])
        packet.nh, packet.plen = 44, None
        whole = packet / IPv6ExtHdrFragment(nh=socket.IPPROTO_TCP, id=segment.ident or 1) / Raw(rest[IP6_HEADER:])
        return [ether + bytes(part) for part in fragment6(whole, IP6_HEADER + 8 + size)]

    def icmp(
        self, kind: str, quoted: Segment, *, mtu: int = 0, number: int | None = None, code: int | None = None
    ) -> bytes:
        """An ICMP (or ICMPv6) message that quotes `quoted`, a segment that the target sent. By scapy.

        Raises ValueError when this IP version has no such message.
        """
        back = Encoder(self.target, self.source, b"\0" * 6, b"\0" * 6)
        datagram = back.encode(quoted)[ETHERNET:]
        type_, default_code = icmp_number(self.version, kind)
        type_ = type_ if number is None else number
        code = default_code if code is None else code
        return self._head[:ETHERNET] + _icmp(self, type_, code, mtu, datagram)


_ICMP4 = {
    "net-unreachable": (3, 0),
    "host-unreachable": (3, 1),
    "protocol-unreachable": (3, 2),
    "port-unreachable": (3, 3),
    "fragmentation-needed": (3, 4),
    "source-route-failed": (3, 5),
    "admin-prohibited": (3, 13),
    "source-quench": (4, 0),
    "redirect": (5, 1),
    "time-exceeded": (11, 0),
    "reassembly-timeout": (11, 1),
    "parameter-problem": (12, 0),
    "other": (3, 0),
}
_ICMP6 = {
    "net-unreachable": (1, 0),
    "admin-prohibited": (1, 1),
    "host-unreachable": (1, 3),
    "port-unreachable": (1, 4),
    "packet-too-big": (2, 0),
    "fragmentation-needed": (2, 0),
    "time-exceeded": (3, 0),
    "reassembly-timeout": (3, 1),
    "parameter-problem": (4, 0),
    "protocol-unreachable": (4, 1),
    "other": (1, 0),
}


def icmp_number(version: int, kind: str) -> tuple[int, int]:
    """Type and code of an ICMP message by its name. Raises ValueError when this IP version has none."""
    table = _ICMP4 if version == 4 else _ICMP6
    if kind not in table:
        raise ValueError(f"ICMP for IPv{version} has no {kind}; it has {', '.join(sorted(table))}")
    return table[kind]


def _icmp(encoder: Encoder, type_: int, code: int, mtu: int, datagram: bytes) -> bytes:
    from scapy.layers.inet import ICMP, IP
    from scapy.layers.inet6 import ICMPv6Unknown, IPv6
    from scapy.packet import Raw

    family = socket.AF_INET if encoder.version == 4 else socket.AF_INET6
    source, target = socket.inet_ntop(family, encoder.source), socket.inet_ntop(family, encoder.target)
    word = struct.pack("!I", mtu)
    packet: Any
    if encoder.version == 4:
        head = bytes(ICMP(type=type_, code=code, chksum=0))[:4]
        message = head[:2] + b"\0\0" + word + datagram[:548]
        message = message[:2] + checksum(message).to_bytes(2, "big") + message[4:]
        packet = IP(src=source, dst=target, proto=socket.IPPROTO_ICMP) / Raw(message)
    else:
        packet = IPv6(src=source, dst=target) / ICMPv6Unknown(type=type_, code=code, msgbody=word + datagram[:1232])
    return bytes(packet)


_IP4_TCP = struct.Struct("!12xHBBHHHBBxx8xHHIIHHHH")
_IP6_TCP = struct.Struct("!12xHIHBB32xHHIIHHHH")
_LEAST4 = ETHERNET + IP4_HEADER + 20
_LEAST6 = ETHERNET + IP6_HEADER + 20


def decode(frame: bytes) -> Segment | IcmpMessage | None:
    """What a frame carries, or None when it is neither a whole TCP segment nor an ICMP error. Never raises."""
    size = len(frame)
    if size >= _LEAST4:
        kind, first, tos, length, ident, cut, ttl, protocol, *tcp = _IP4_TCP.unpack_from(frame)
        if kind == 0x0800:
            if (
                first == 0x45
                and protocol == socket.IPPROTO_TCP
                and not cut & 0xBFFF
                and 40 <= length <= size - ETHERNET
            ):
                return _tcp(frame, 26, 34, ETHERNET + length, tcp, tos, ttl, ident, cut != 0, 0)
            return _decode4(frame)
        if kind == 0x86DD and size >= _LEAST6:
            _, word, length, protocol, ttl, *tcp = _IP6_TCP.unpack_from(frame)
            if word >> 28 == 6 and protocol == socket.IPPROTO_TCP and 20 <= length <= size - ETHERNET - IP6_HEADER:
                end = ETHERNET + IP6_HEADER + length
                return _tcp(frame, 22, 54, end, tcp, word >> 20 & 0xFF, ttl, 0, True, word & 0xFFFFF)
    kind2 = frame[12:14]
    if kind2 == b"\x08\x00":
        return _decode4(frame)
    if kind2 == b"\x86\xdd":
        return _decode6(frame)
    return None


def _tcp(
    frame: bytes,
    addresses: int,
    start: int,
    end: int,
    tcp: list[int],
    tos: int,
    ttl: int,
    ident: int,
    df: bool,
    flow: int,
) -> Segment:
    """The segment between `start` and `end`; the addresses of the pseudo-header stand before it, at `addresses`."""
    sport, dport, seq, ack, bits, win, _, urg = tcp
    size = end - start
    data = frame[addresses:end]
    if size & 1:
        data += b"\0"
    good = (int.from_bytes(data, "big") + socket.IPPROTO_TCP + size) % 0xFFFF == 0
    doff = bits >> 12
    header = doff * 4
    options: tuple[Any, ...] = ()
    if header == 20:
        payload = frame[start + 20 : end]
    elif header < 20 or header > size:
        options, payload = (("raw", frame[start + 20 : end]),), b""
    else:
        options, payload = decode_options(frame[start + 20 : start + header]), frame[start + header : end]
    return Segment(
        bits & 0x1FF,
        seq,
        ack,
        win,
        options,
        payload,
        urg,
        sport,
        dport,
        doff,
        bits >> 9 & 7,
        good,
        ttl,
        tos,
        ident,
        df,
        flow,
    )


def _decode4(frame: bytes) -> Segment | IcmpMessage | None:
    if len(frame) < 34 or frame[14] >> 4 != 4:
        return None
    header = (frame[14] & 15) * 4
    length = (frame[16] << 8) + frame[17]
    flags = frame[20]
    if header < 20 or length < header or ETHERNET + length > len(frame) or flags & 0x3F or frame[21]:
        return None
    body = frame[ETHERNET + header : ETHERNET + length]
    if frame[23] == socket.IPPROTO_ICMP:
        return _decode_icmp(4, body)
    if frame[23] != socket.IPPROTO_TCP:
        return None
    segment = _decode_tcp(body, int.from_bytes(frame[26:34], "big"))
    if segment is not None:
        segment.tos, segment.ttl, segment.df = frame[15], frame[22], flags & 0x40 != 0
        segment.ident = (frame[18] << 8) + frame[19]
        segment.ip_options = frame[ETHERNET + IP4_HEADER : ETHERNET + header]
    return segment


def _decode6(frame: bytes) -> Segment | IcmpMessage | None:
    if len(frame) < 54 or frame[14] >> 4 != 6:
        return None
    length = (frame[18] << 8) + frame[19]
    if ETHERNET + IP6_HEADER + length > len(frame):
        return None
    body = frame[54 : 54 + length]
    if frame[20] == socket.IPPROTO_ICMPV6:
        return _decode_icmp(6, body)
    if frame[20] != socket.IPPROTO_TCP:
        return None
    segment = _decode_tcp(body, int.from_bytes(frame[22:54], "big"))
    if segment is not None:
        word = int.from_bytes(frame[14:18], "big")
        segment.tos, segment.ttl, segment.flow = word >> 20 & 0xFF, frame[21], word & 0xFFFFF
    return segment


def _decode_tcp(body: bytes, addresses: int) -> Segment | None:
    size = len(body)
    if size < 20:
        return None
    sport, dport, seq, ack, bits, win = _NUMBERS.unpack_from(body)
    doff = bits >> 12
    header = doff * 4
    data = body if size % 2 == 0 else body + b"\0"
    good = (int.from_bytes(data, "big") + addresses + socket.IPPROTO_TCP + size) % 0xFFFF == 0
    if header < 20 or header > size:
        options: tuple[Any, ...] = (("raw", body[20:]),)
        payload = b""
    else:
        options = decode_options(body[20:header]) if header > 20 else ()
        payload = body[header:]
    urg = (body[18] << 8) + body[19]
    return Segment(bits & 0x1FF, seq, ack, win, options, payload, urg, sport, dport, doff, bits >> 9 & 7, good)


def _decode_icmp(version: int, body: bytes) -> IcmpMessage | None:
    if len(body) < 8 or (version == 6 and body[0] >= 128) or (version == 4 and body[0] not in (3, 4, 5, 11, 12)):
        return None
    return IcmpMessage(version, body[0], body[1], body[8:], int.from_bytes(body[4:8], "big"))

"""Just as much of rtnetlink as the namespace needs: pyroute2's messages over a socket of ours.

pyroute2's IPRoute would bring asyncio and a quarter of a second with it.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import struct
import sys
import types
from typing import Any

_RTM_NEWLINK, _RTM_NEWADDR, _RTM_NEWROUTE, _RTM_GETROUTE, _RTM_NEWNEIGH = 16, 20, 24, 26, 28
_CREATE, _DUMP = 0x600, 0x300
"""NLM_F_CREATE|NLM_F_EXCL, NLM_F_DUMP."""
_IFF_UP, _IFF_NOARP, _IFA_F_NODAD, _NUD_PERMANENT = 0x1, 0x80, 0x02, 0x80

Attributes = list[list[object]]


class Route:
    """A netlink socket of the namespace it is made in. Raises ImportError; its methods OSError, the kernel's reason."""

    def __init__(self) -> None:
        self._messages = _pyroute2_messages()
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def veth(self, near: str, near_mac: str, far: str, far_mac: str, mtu: int) -> None:
        """Make a pair of links."""
        peer = {"attrs": [["IFLA_IFNAME", far], ["IFLA_ADDRESS", far_mac], ["IFLA_MTU", mtu]]}
        data = {"attrs": [["VETH_INFO_PEER", peer]]}
        info = {"attrs": [["IFLA_INFO_KIND", "veth"], ["IFLA_INFO_DATA", data]]}
        attributes: Attributes = [["IFLA_IFNAME", near], ["IFLA_ADDRESS", near_mac], ["IFLA_MTU", mtu]]
        attributes.append(["IFLA_LINKINFO", info])
        self._ask("ifinfmsg", _RTM_NEWLINK, _CREATE, {}, attributes)

    def up(self, index: int, *, arp: bool = True) -> None:
        """Set a link up, answering ARP or not."""
        flags = _IFF_UP if arp else _IFF_UP | _IFF_NOARP
        self._ask("ifinfmsg", _RTM_NEWLINK, 0, {"index": index, "flags": flags, "change": _IFF_UP | _IFF_NOARP}, [])

    def address(self, index: int, address: str, prefix: int) -> None:
        """Give a link an address, usable at once (no duplicate address detection)."""
        fields: dict[str, Any] = {
            "family": _family(address),
            "prefixlen": prefix,
            "flags": _IFA_F_NODAD,
            "index": index,
        }
        self._ask("ifaddrmsg", _RTM_NEWADDR, _CREATE, fields, [["IFA_LOCAL", address], ["IFA_ADDRESS", address]])

    def neighbour(self, index: int, address: str, mac: str) -> None:
        """Make a permanent neighbour."""
        fields: dict[str, Any] = {"family": _family(address), "ifindex": index, "state": _NUD_PERMANENT}
        self._ask("ndmsg", _RTM_NEWNEIGH, _CREATE, fields, [["NDA_DST", address], ["NDA_LLADDR", mac]])

    def route(self, index: int, prefix: str, router: str, *, quickack: bool) -> None:
        """Route a prefix through a router."""
        address, length = prefix.split("/")
        fields: dict[str, Any] = {
            "family": _family(address),
            "dst_len": int(length),
            "table": 254,
            "proto": 4,
            "type": 1,
        }
        attributes: Attributes = [["RTA_DST", address], ["RTA_GATEWAY", router], ["RTA_OIF", index]]
        if quickack:
            attributes.append(["RTA_METRICS", {"attrs": [["RTAX_QUICKACK", 1]]}])
        self._ask("rtmsg", _RTM_NEWROUTE, _CREATE, fields, attributes)

    def quickack_routes(self) -> list[str]:
        """The prefixes whose route the kernel shows with `quickack 1`."""
        found = []
        for family in (socket.AF_INET, socket.AF_INET6):
            for message in self._ask("rtmsg", _RTM_GETROUTE, _DUMP, {"family": family}, []):
                metrics = message.get_attr("RTA_METRICS")
                if metrics is not None and metrics.get_attr("RTAX_QUICKACK") == 1:
                    found.append(f"{message.get_attr('RTA_DST')}/{message['dst_len']}")
        return found

    def _ask(self, message: str, kind: int, flags: int, fields: dict[str, Any], attributes: Attributes) -> list[Any]:
        request = self._messages[message]()
        for name, value in fields.items():
            request[name] = value
        request["attrs"] = attributes
        request["header"]["type"] = kind
        request["header"]["flags"] = 1 | (4 if flags != _DUMP else 0) | flags  # NLM_F_REQUEST, NLM_F_ACK
        request.encode()
        self._socket.send(bytes(request.data))
        found: list[Any] = []
        while True:
            data = self._socket.recv(1 << 16)
            at = 0
            while at < len(data):
                length, answer = struct.unpack_from("=IH", data, at)
                if answer == 2:  # NLMSG_ERROR, 0 being the acknowledgment
                    error = -struct.unpack_from("=i", data, at + 16)[0]
                    if error:
                        raise OSError(error, f"{os.strerror(error)} ({message} {fields})")
                    return found
                if answer == 3:  # NLMSG_DONE
                    return found
                reply = self._messages[message](data[at : at + length])
                reply.decode()
                found.append(reply)
                at += (length + 3) & ~3


def _family(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _pyroute2_messages() -> dict[str, Any]:
    """pyroute2's message classes, without its package's __init__, which imports all else that it has (0.2 s)."""
    spec = importlib.util.find_spec("pyroute2")
    if spec is None:
        raise ImportError("pyroute2 is not installed for this Python: run: pip install pyroute2")
    bare = types.ModuleType("pyroute2")
    bare.__path__ = list(spec.submodule_search_locations or [])
    bare.__spec__ = spec
    sys.modules["pyroute2"] = bare
    try:
        return _import_messages()
    except (ImportError, AttributeError):  # a release in which they need more of their package: then all of it
        for name in [name for name in sys.modules if name.partition(".")[0] == "pyroute2"]:
            del sys.modules[name]
        return _import_messages()


def _import_messages() -> dict[str, Any]:
    from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
    from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
    from pyroute2.netlink.rtnl.ndmsg import ndmsg
    from pyroute2.netlink.rtnl.rtmsg import rtmsg

    return {kind.__name__: kind for kind in (ifaddrmsg, ifinfmsg, ndmsg, rtmsg)}

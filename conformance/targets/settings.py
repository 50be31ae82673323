"""Settings that a case may need (`cases.loader.SETTINGS`), as sysctls of the own kernel, and back.

Pure tables; imports the standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Sysctl(NamedTuple):
    """How the own kernel is told a setting: words as they stand in cases to values, or a number times `scale`."""

    name: str
    words: Mapping[str, str] = {}
    others: Mapping[str, str] = {}
    """Further values of the kernel that come to one of the words."""
    scale: int = 1


_SWITCH = {"off": "0", "on": "1"}

SYSCTLS: Mapping[str, Sysctl] = {
    "syncookies": Sysctl("tcp_syncookies", {"never": "0", "when-full": "1", "always": "2"}),
    "rfc1337": Sysctl("tcp_rfc1337", _SWITCH),
    "ecn": Sysctl("tcp_ecn", {"off": "0", "on": "1", "passive": "2"}),
    "timestamps": Sysctl("tcp_timestamps", _SWITCH, {"2": "on"}),  # 2: without a random offset
    "sack": Sysctl("tcp_sack", _SWITCH),
    "window-scaling": Sysctl("tcp_window_scaling", _SWITCH),
    "fastopen": Sysctl("tcp_fastopen", {"off": "0", "client": "1", "server": "2", "both": "3"}),
    "abort-on-overflow": Sysctl("tcp_abort_on_overflow", _SWITCH),
    "tw-reuse": Sysctl("tcp_tw_reuse", _SWITCH, {"2": "off"}),  # 2: on loopback only, where no case runs
    "mtu-probing": Sysctl("tcp_mtu_probing", _SWITCH, {"2": "on"}),  # 2: from the first segment on
    "source-route": Sysctl("conf.all.accept_source_route", _SWITCH),
    "retries2": Sysctl("tcp_retries2"),
    "syn-retries": Sysctl("tcp_syn_retries"),
    "synack-retries": Sysctl("tcp_synack_retries"),
    "keepalive-time": Sysctl("tcp_keepalive_time"),
    "rto-min": Sysctl("tcp_rto_min_us", scale=1000),  # in milliseconds, as the kernel's own documents count it
    "fin-timeout": Sysctl("tcp_fin_timeout"),
    "challenge-interval": Sysctl("tcp_invalid_ratelimit"),  # in milliseconds
}


def to_sysctls(settings: Mapping[str, str]) -> dict[str, str]:
    """The sysctls, by their full names, that give the own kernel these settings.

    Raises KeyError for a setting or a word that is none.
    """
    found = {}
    for setting, value in settings.items():
        if setting == "timers":
            continue  # they are as they are
        sysctl = SYSCTLS[setting]
        found[f"net.ipv4.{sysctl.name}"] = sysctl.words[value] if sysctl.words else str(int(value) * sysctl.scale)
    return found


def from_sysctls(sysctls: Mapping[str, str]) -> dict[str, str]:
    """What sysctls, by their full names, come to as settings; those that the kernel lacks are left out."""
    found = {}
    for setting, sysctl in SYSCTLS.items():
        value = sysctls.get(f"net.ipv4.{sysctl.name}")
        if value is None:
            continue
        if sysctl.words:
            word = {number: word for word, number in sysctl.words.items()} | dict(sysctl.others)
            found[setting] = word.get(value, value)
        else:
            found[setting] = str(int(value) // sysctl.scale)
    return found

"""Debian's Linux 6.12 in an emulated machine (QEMU without KVM), with the host's agent inside; no root, no device.

Frames and the channel are descriptors that the emulator inherits. The user space is this machine's own, in an initrd.
"""

from __future__ import annotations

import hashlib
import lzma
import re
from collections.abc import Mapping
from pathlib import Path

from conformance.adapters.base import Adapter, MissingError, Program
from conformance.adapters.debian import depends, fetch
from conformance.adapters.machine import PYTHON, keep, need_python, sysctls_word, tool
from conformance.adapters.qemu.initrd import build

_HERE = Path(__file__).parent
_AGENT = _HERE.parent / "host" / "agent.py"
_MACHINE = _HERE.parent / "uml" / "init.sh"
_METAPACKAGE = "linux-image-6.12-cloud-amd64"
_MODULES = ("net/core/failover", "drivers/net/net_failover", "drivers/net/virtio_net")
_OFFLOADS = (
    "csum gso guest_csum guest_tso4 guest_tso6 guest_ufo guest_ecn host_tso4 host_tso6 host_ufo host_ecn".split()
)
_KERNEL = "console=ttyS0 quiet panic=-1 tsc=unstable clocksource=hpet mitigations=off lsm=capability audit=0"
"""No counter of the emulated processor: it runs as unevenly as the emulator does."""
_MAC = "02:00:5e:00:00:01"


def prepare(profile: str, cache: Path) -> Program:
    """The kernel unpacked in the cache, and an initrd for it."""
    emulator, busybox, ip = (tool(name).resolve() for name in ("qemu-system-x86_64", "busybox", "ip"))
    need_python("for its user space, which is this machine's")
    python = PYTHON.resolve()
    root = keep(cache / "root", _fetch)
    kernel = next(iter(sorted((root / "boot").glob("vmlinuz-*"))))
    texts = {"init": _HERE / "init.sh", "machine.sh": _MACHINE, "agent.py": _AGENT}
    files = {name: path.read_bytes() for name, path in texts.items()}
    sources = [*files.values(), (_HERE / "initrd.py").read_bytes(), Path(__file__).read_bytes()]
    tools = [str((path.resolve(), path.stat().st_mtime)) for path in (busybox, ip, python, kernel)]
    made = hashlib.sha256(b"".join(sources) + "".join(tools).encode()).hexdigest()

    def pack(initrd: Path) -> None:
        for number, name in enumerate(_MODULES):
            packed = next(iter(root.glob(f"lib/modules/*/kernel/{name}.ko.xz")))
            files[f"modules/{number}.ko"] = lzma.decompress(packed.read_bytes())
        initrd.write_bytes(build(busybox, {"ip": ip, "python3": python}, [str(_AGENT), "--stdio"], files))

    initrd = keep(cache / f"initrd-{made[:16]}", pack)
    offloads = ",".join(f"{name}=off" for name in _OFFLOADS)

    def program(sysctls: Mapping[str, str]) -> Program:
        return Program(
            (
                *(str(emulator), "-M", "pc,usb=off", "-accel", "tcg", "-cpu", "max", "-m", "256M"),
                *"-nodefaults -no-user-config -display none -no-reboot".split(),
                *("-kernel", str(kernel), "-initrd", str(initrd), "-append", f"{_KERNEL} {sysctls_word(sysctls)}"),
                *("-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"),
                *("-device", "virtio-serial-pci", "-chardev", "socket,id=agent,fd=3"),
                *("-device", "virtserialport,chardev=agent,name=agent"),
                *("-netdev", "socket,id=wire,fd=4", "-device", f"virtio-net-pci,netdev=wire,mac={_MAC},{offloads}"),
            ),
            clock="real",
            at_once=16,
            announces=True,
            with_sysctls=program,
        )

    return program({})


def _fetch(root: Path) -> None:
    """Debian's kernel of the series."""
    found = re.search(r"Depends: (linux-image-\S+)", depends(_METAPACKAGE))
    if found is None:
        raise MissingError(f"apt does not know {_METAPACKAGE}")
    fetch((found[1],), root)


ADAPTER = Adapter(
    name="linux-6.12",
    summary="Linux 6.12 in an emulated machine, rootless",
    install="apt-get install -y qemu-system-x86 busybox-static iproute2 python3-minimal",
    prepare=prepare,
)

"""The own kernel as target: what it gives out, how it refuses, and that nothing of it is left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import conformance
from conformance.targets.base import TargetError
from conformance.targets.holders import explain_denied
from conformance.targets.netns import BATCH, OwnKernel

ROOT = str(Path(conformance.__file__).parents[1])


def holders_of(namespace: int) -> list[str]:
    """Every process that is in the network namespace, by its inode."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/ns/net"):
        try:
            if entry.stat().st_ino == namespace:
                found.append(entry.parts[2])
        except OSError:
            continue
    return found


def run(code: str, *wrapper: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": ROOT}
    return subprocess.Popen(
        [*wrapper, sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment, cwd="/"
    )


ORPHAN = """
import sys
from conformance.targets.netns import OwnKernel
from conformance.targets.base import TargetError
try:
    kernel = OwnKernel.start({sysctls})
except TargetError as problem:
    print("ERROR", problem, flush=True)
    sys.exit(3)
pair = kernel.open_pair(4, "quick-ack")
opening = kernel.socket(pair)
opening.connect()
print(kernel.describe()["namespace"], kernel.calibration.barrier_sound, flush=True)
{then}
"""


def test_kill_9_leaves_nothing(kernel):
    child = run(ORPHAN.format(sysctls="", then="sys.stdin.read()"))
    namespace = int(child.stdout.readline().split()[0])
    assert holders_of(namespace)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    deadline = time.monotonic() + 2
    while holders_of(namespace) and time.monotonic() < deadline:
        time.sleep(0.005)
    assert holders_of(namespace) == []


def test_close_leaves_nothing(kernel):
    target = OwnKernel.start()
    namespace = target.describe()["namespace"]
    assert holders_of(namespace)
    target.close()
    assert holders_of(namespace) == []
    target.close()


def test_ctrl_c_is_not_the_holders(kernel):
    (pid,) = holders_of(kernel.describe()["namespace"])
    os.kill(int(pid), signal.SIGINT)
    assert os.getpgid(int(pid)) != os.getpgid(0)
    for _ in range(BATCH + 1):  # it still answers
        kernel.socket(kernel.open_pair(6, "quick-ack")).dispose()


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("setpriv"), reason="tried by root, with setpriv")
def test_as_nobody(kernel):
    child = run(
        ORPHAN.format(sysctls='{"tcp_sack": "0"}', then='print(kernel.capabilities.options); kernel.close()'),
        "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
    )  # fmt: skip
    output, _ = child.communicate(timeout=20)
    if "cannot make a private network namespace" in output:
        pytest.skip(output)
    first, second = output.splitlines()
    assert first.endswith("True")
    assert "sackOK" not in second
    assert "wscale" in second


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("tcp_made_up", "1", "sysctl net.ipv4.tcp_made_up: this kernel has no such setting"),
        ("net.ipv4.tcp_sack", "x", "sysctl net.ipv4.tcp_sack=x: Invalid argument"),
        ("net.ipv4.tcp_adv_win_scale", "99", "sysctl net.ipv4.tcp_adv_win_scale=99: Invalid argument"),
        ("kernel.panic", "1", "'kernel.panic': not a setting of a network namespace"),
        ("net.ipv4./etc/passwd", "1", "not a setting of a network namespace"),
        ("net.ipv4..tcp_sack", "1", "not a setting of a network namespace"),
    ],
)
def test_a_bad_sysctl_is_named(kernel, name, value, words):
    with pytest.raises(TargetError) as refused:
        OwnKernel.start({name: value})
    assert words in str(refused.value)


def test_sysctls_are_set_and_recorded(kernel):
    facts = kernel.describe()
    assert facts["sysctls"]["net.ipv4.tcp_congestion_control"] == "reno"
    assert facts["sysctls"]["net.ipv4.tcp_rmem"] == "4096 131072 6291456"
    assert facts["quickack"] == ["198.18.0.0/16", "2001:db8::/34"]
    assert {"tx-checksum", "tso", "gso"} <= set(facts["offloads"]["v0"])
    assert json.loads(json.dumps(facts)) == facts
    with OwnKernel.start({"tcp_syncookies": "2", "tcp_timestamps": "0", "tcp_invalid_ratelimit": "0"}) as other:
        assert other.capabilities.settings["syncookies"] == "always"
        assert other.capabilities.options == {"mss", "wscale", "sackOK"}
        assert other.capabilities.challenge_interval == 0
        assert other.describe()["namespace"] != facts["namespace"]


def test_pairs_do_not_clash(kernel):
    pairs = [kernel.open_pair(version, link) for version in (4, 6) for link in ("quick-ack", "delayed-ack")] * 1
    pairs += [kernel.open_pair(4, "quick-ack") for _ in range(500)]
    assert len({pair.tester for pair in pairs}) == len({pair.target_port for pair in pairs}) == len(pairs)
    sibling = kernel.sibling_pair(pairs[0], same_target_port=True)
    cousin = kernel.sibling_pair(pairs[0], same_target_port=False)
    assert sibling.tester == cousin.tester == pairs[0].tester
    assert sibling.target_port == pairs[0].target_port != cousin.target_port
    assert len({pairs[0].tester_port, sibling.tester_port, cousin.tester_port}) == 3
    for pair in [*pairs, sibling, cousin, sibling]:
        kernel.release(pair)
    again = kernel.open_pair(4, "quick-ack")
    assert again.tester not in {pair.tester for pair in pairs}
    assert again.target_port not in {pair.target_port for pair in pairs}
    kernel.release(again)


def test_sockets_come_in_batches_and_never_run_out(kernel):
    pair = kernel.open_pair(6, "quick-ack")
    sockets = [kernel.socket(pair) for _ in range(3 * BATCH + 7)]
    assert {one.getsockopt("SO_REUSEADDR").value for one in sockets} == {1}
    for one in sockets:
        one.dispose()
    kernel.release(pair)


def test_health_counts_what_the_kernel_lost(kernel, make_peer):
    before = kernel.health()
    assert set(before) >= {"dropped", "ListenDrops", "TCPTimeWaitOverflow", "TCPAbortOnMemory"}
    pair = kernel.open_pair(4, "quick-ack")
    listener = kernel.socket(pair)
    listener.listen(0)
    for _ in range(4):
        peer = make_peer(kernel.sibling_pair(pair, same_target_port=True))
        if replies := peer.ask("S", ack=0):
            peer.ask("A", seq=peer.seq + 1, ack=replies[0].seq + 1)
    assert kernel.health()["ListenDrops"] > before["ListenDrops"]
    listener.dispose()


def test_denied_namespaces_are_explained(tmp_path):
    settings, root = tmp_path / "sys", tmp_path / "root"
    (settings / "kernel").mkdir(parents=True)
    root.mkdir()
    assert explain_denied("no", 1000, settings, root).endswith("run with sudo")
    assert "seccomp=unconfined" in explain_denied("no", 0, settings, root)
    (settings / "kernel/apparmor_restrict_unprivileged_userns").write_text("1\n")
    told = explain_denied("no", 1000, settings, root)
    assert "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0" in told
    assert "\n" not in told

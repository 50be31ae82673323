"""What is recorded is recorded whole."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from conformance.pytest_plugin.recording import Whole


def test_ctrl_c_waits_for_the_end_of_what_must_be_whole():
    done = []
    before = signal.getsignal(signal.SIGINT)

    def interrupted():
        with Whole():
            os.kill(os.getpid(), signal.SIGINT)
            done.append("written")
            done.append("counted")

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert done == ["written", "counted"]
    assert signal.getsignal(signal.SIGINT) is before


def test_without_ctrl_c_and_in_another_thread_nothing_happens():
    before = signal.getsignal(signal.SIGINT)
    faults = []

    def other():
        try:
            with Whole():
                pass
        except BaseException as error:
            faults.append(error)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    with Whole():
        pass
    assert not faults
    assert signal.getsignal(signal.SIGINT) is before

"""From the name of a target to an opened one; and the default target opened early, while cases are still collected."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future

from conformance.adapters.base import Program
from conformance.targets.asked import OPTIONS, RATE, Asked, is_address, plan
from conformance.targets.base import Target, TargetError
from conformance.targets.settings import from_sysctls, to_sysctls
from conformance.targets.stacks import linux_sysctls, program, split

Settings = Mapping[str, str]
Opener = Callable[[Settings], Target]
"""Opens the target with the given settings; raises TargetError when it can't be had so."""


def opener(asked: Asked) -> Opener:
    """What opens that target (`stack`, `stack:profile` or a host), with whatever settings a case needs besides.

    Raises TargetError.
    """
    stack, profile = split(asked.target)
    if stack == "linux":
        _none_of_a_host(asked)
        return _linux(asked.target, {**linux_sysctls(profile), **asked.sysctls})
    if asked.sysctls:
        raise TargetError(f"--sysctl is for the own kernel, not for {asked.target}")
    if is_address(asked.target):
        return _host(asked)
    _none_of_a_host(asked)
    return _adapted(asked.target, program(asked.target))


def _none_of_a_host(asked: Asked) -> None:
    for option in OPTIONS:
        if getattr(asked, option.name.replace("-", "_")) not in (None, (), RATE):
            raise TargetError(f"--{option.name} is for a host; {asked.target!r} is none")


def _host(asked: Asked) -> Opener:
    way = plan(asked)

    def open_host(settings: Settings) -> Target:
        from conformance.targets.host import Host

        if settings:
            raise TargetError(_as_it_is(asked.target, settings))
        return Host(asked.target, way)

    return open_host


def _adapted(name: str, agent: Program) -> Opener:
    def open_adapted(settings: Settings) -> Target:
        from conformance.targets.adapted import AdaptedStack
        from conformance.targets.program import ProgramStack

        started = agent
        if settings:
            if agent.with_sysctls is None:
                raise TargetError(_as_it_is(name, settings))
            started = agent.with_sysctls(to_sysctls(settings))
        return ProgramStack(name, started) if agent.clock == "real" else AdaptedStack(name, started)

    return open_adapted


def _as_it_is(name: str, settings: Settings) -> str:
    return f"{name} can't be set to " + ", ".join(f"{setting}: {value}" for setting, value in settings.items())


def _linux(name: str, sysctls: Mapping[str, str]) -> Opener:
    def open_linux(settings: Settings) -> Target:
        from conformance.targets.netns import OwnKernel

        kernel = OwnKernel.start({**sysctls, **to_sysctls(settings)})
        kernel.name = name
        said = kernel.describe()["sysctls"]
        if isinstance(said, Mapping):
            kernel.capabilities = dataclasses.replace(
                kernel.capabilities, settings={**from_sysctls(said), "timers": "fine"}
            )
        return kernel

    return open_linux


class Early:
    """An opener whose default target is opened by a thread at once; whoever asks first gets it."""

    def __init__(self, open_target: Opener) -> None:
        self._open = open_target
        self._target: Future[Target] | None = Future()
        self._thread = threading.Thread(target=self._run, args=(self._target,), name="opening", daemon=True)
        self._thread.start()

    def _run(self, target: Future[Target]) -> None:
        try:
            target.set_result(self._open({}))
        except BaseException as error:  # whoever asks must hear of it
            target.set_exception(error)

    def __call__(self, settings: Settings) -> Target:
        """Open a target, or hand over the one that was opened early. Raises TargetError."""
        early = self._target
        if settings or early is None:
            return self._open(settings)
        self._target = None
        return early.result()

    def first(self) -> Target:
        """The target that was opened early, which stays to be asked for. Raises TargetError."""
        assert self._target is not None
        target = self._target.result()
        self._thread.join()
        return target

    def close(self) -> None:
        """Close the early target if nobody asked for it."""
        early, self._target = self._target, None
        if early is not None and early.exception() is None:
            early.result().close()

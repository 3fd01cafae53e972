"""Checks candidates in scratch processes, where they can do no harm."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from trimtab.artifacts.names import artifact_name
from trimtab.engine.engine import LoadedScript, Plan
from trimtab.errors import Fault
from trimtab.runtime import wire
from trimtab.runtime.processes import Worker

SILENCE = 3.0
"""Seconds without a sign of life after which a scratch process is stuck in code that no time limit interrupts."""

Checked = tuple[dict[str, LoadedScript], dict[str, Fault]]


async def check(start: Callable[[], Awaitable[Worker]], plan: Plan) -> Checked:
    """Load what a plan loads, in a process of its own. Returns what could be loaded, and what could not.

    A process that dies over several scripts does not say which one it was: then each half of them gets a process of its
    own, and so on.
    """
    if plan.probes:
        silent = await _probe(start, plan)
        if silent:
            return {}, silent
        plan = msgspec.structs.replace(plan, probes=[])
    if not plan.reload:
        return {}, {}
    checked = await _check_in_one(start, plan)
    if isinstance(checked, wire.Checked):
        return checked.loaded, checked.faults
    if len(plan.reload) == 1:
        name = plan.reload[0]
        return {}, {name: msgspec.structs.replace(checked, file=name)}
    middle = len(plan.reload) // 2
    loaded: dict[str, LoadedScript] = {}
    faults: dict[str, Fault] = {}
    for half in (plan.reload[:middle], plan.reload[middle:]):
        half_loaded, half_faults = await check(start, _part(plan, half))
        loaded |= half_loaded
        faults |= half_faults
    return loaded, faults


def _part(plan: Plan, reload: list[str]) -> Plan:
    """The plan with some of its candidates alone, and the libraries."""
    others = set(plan.reload).difference(reload)
    upserts = {name: content for name, content in plan.upserts.items() if name not in others}
    return msgspec.structs.replace(plan, reload=reload, upserts=upserts)


async def _probe(start: Callable[[], Awaitable[Worker]], plan: Plan) -> dict[str, Fault]:
    """Ask the resources of a plan for a sign of life, each in a process of its own. Returns why some give none."""

    async def probe(name: str) -> dict[str, Fault]:
        checked = await _check_in_one(start, msgspec.structs.replace(plan, reload=[], probes=[name]))
        return checked.faults if isinstance(checked, wire.Checked) else {artifact_name(name): checked}

    answers = await asyncio.gather(*map(probe, plan.probes))
    return {name: fault for faults in answers for name, fault in faults.items()}


async def _check_in_one(start: Callable[[], Awaitable[Worker]], plan: Plan) -> wire.Checked | Fault:
    worker = await start()
    watchdog = asyncio.create_task(_kill_when_silent(worker))
    try:
        worker.send(wire.Check(plan))
        answer = await worker.receive()
        if isinstance(answer, wire.Checked):
            return answer
        status = await worker.ended
        ended = f"was killed by signal {-status}" if status < 0 else f"ended with exit code {status}"
        return Fault("CheckFailed", f"the process that tried it {ended}; it must not do that")
    finally:
        watchdog.cancel()
        worker.kill()
        await worker.close()


async def _kill_when_silent(worker: Worker) -> None:
    while asyncio.get_running_loop().time() - worker.last_sign < SILENCE:  # noqa: ASYNC110 - nothing to wait for
        await asyncio.sleep(SILENCE / 10)
    worker.kill()

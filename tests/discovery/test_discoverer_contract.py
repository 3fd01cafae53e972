"""What every discoverer must hold, whichever it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from tests.discovery.held_places import KINDS, ON_SERVERS, HeldPlace
from tests.discovery.held_rules import RULES, RULES_ON_SERVERS
from trimtab.api import Discoverer, OutsideError, Snapshot, is_ignored, name_problem

SOON = 30.0
"""Seconds within which something must come, on a busy machine."""

FIRST = {"a": "1", "b": "2"}
SECOND = {"a": "1", "b": "3", "c": "4"}


@pytest.fixture(params=(*KINDS, *RULES), scope="module")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HeldPlace]:
    with request.param(tmp_path_factory.mktemp("place")) as place:
        yield place


@pytest.fixture
def place(server: HeldPlace) -> Iterator[HeldPlace]:
    """A place that holds ``FIRST`` and can be reached."""
    server.hold(FIRST)
    yield server
    server.start()


def run(place: HeldPlace, work: Callable[[Discoverer], Awaitable[None]]) -> None:
    """Do something with a new discoverer of the place."""

    async def in_time() -> None:
        discoverer = place.make()
        try:
            async with asyncio.timeout(2 * SOON):
                await work(discoverer)
        finally:
            await begin_to_wait(discoverer, 0)

    asyncio.run(in_time())


async def begin_to_wait(discoverer: Discoverer, seconds: float) -> None:
    """Cancel a wait, as the host does when it ends: that closes what a discoverer keeps open."""
    waiting = asyncio.create_task(discoverer.wait())
    await asyncio.sleep(seconds)
    waiting.cancel()
    await asyncio.wait({waiting})


@asynccontextmanager
async def watching(discoverer: Discoverer, outages: list[OutsideError]) -> AsyncIterator[asyncio.Queue[Snapshot]]:
    """Wait and scan again and again, as the host does; gives what is seen."""
    seen: asyncio.Queue[Snapshot] = asyncio.Queue()

    async def watch() -> None:
        while True:
            try:
                await discoverer.wait()
                seen.put_nowait(await discoverer.scan())
            except OutsideError as error:
                outages.append(error)
                await asyncio.sleep(0.05)

    async with AsyncExitStack() as stack:
        task = asyncio.create_task(watch())
        stack.push_async_callback(asyncio.wait, {task})
        stack.callback(task.cancel)
        yield seen


async def until(seen: asyncio.Queue[Snapshot], artifacts: Mapping[str, bytes]) -> None:
    async with asyncio.timeout(SOON):
        while (await seen.get()).artifacts != artifacts:
            pass


def test_a_scan_is_whole_and_the_same_every_time(place: HeldPlace) -> None:
    async def work(discoverer: Discoverer) -> None:
        first = await discoverer.scan()
        assert first == Snapshot(place.artifacts(FIRST), {})
        assert await discoverer.scan() == first

    run(place, work)
    run(place, work)


def test_what_is_changed_added_and_gone_is_seen(place: HeldPlace) -> None:
    async def work(discoverer: Discoverer) -> None:
        for content in (FIRST, SECOND, {"c": "5"}, FIRST):
            place.hold(content)
            assert (await discoverer.scan()).artifacts == place.artifacts(content)

    run(place, work)


def test_names_are_those_of_scripts_rules_or_settings(place: HeldPlace) -> None:
    async def work(discoverer: Discoverer) -> None:
        assert discoverer.name in ("folder", "discoverers.place")
        for name in (await discoverer.scan()).artifacts:
            assert name.startswith("settings:") or (name_problem(name) is None and not is_ignored(name))

    run(place, work)


def test_an_outage_is_an_error_that_passes(place: HeldPlace) -> None:
    async def work(discoverer: Discoverer) -> None:
        for content in (FIRST, SECOND):
            place.stop()
            for _ in range(2):
                with pytest.raises(OutsideError) as outage:
                    await discoverer.scan()
                assert outage.value.retryable
                assert "secret" not in str(outage.value)
            place.start()
            place.hold(content)
            assert (await discoverer.scan()).artifacts == place.artifacts(content)

    run(place, work)


def test_a_discoverer_can_be_made_before_its_place_can_be_reached(place: HeldPlace) -> None:
    place.stop()

    async def work(discoverer: Discoverer) -> None:
        place.start()
        place.hold(SECOND)
        assert (await discoverer.scan()).artifacts == place.artifacts(SECOND)

    run(place, work)


def test_changes_are_noticed_one_after_another(place: HeldPlace) -> None:
    async def work(discoverer: Discoverer) -> None:
        outages = list[OutsideError]()
        await discoverer.scan()
        async with watching(discoverer, outages) as seen:
            for content in (SECOND, FIRST, {"c": "5"}, SECOND):
                place.hold(content)
                await until(seen, place.artifacts(content))
        assert not outages

    run(place, work)


def test_what_changed_between_a_scan_and_the_wait_is_noticed(place: HeldPlace) -> None:
    async def work(discoverer: Discoverer) -> None:
        await discoverer.scan()
        place.hold(SECOND)
        async with watching(discoverer, []) as seen:
            await until(seen, place.artifacts(SECOND))

    run(place, work)


def test_an_outage_while_waiting_is_told_and_so_is_its_end(place: HeldPlace) -> None:
    async def work(discoverer: Discoverer) -> None:
        outages = list[OutsideError]()
        await discoverer.scan()
        async with watching(discoverer, outages) as seen:
            place.stop()
            async with asyncio.timeout(SOON):
                while not outages:  # noqa: ASYNC110 - a list tells nobody
                    await asyncio.sleep(0.01)
            place.start()
            place.hold(SECOND)
            await until(seen, place.artifacts(SECOND))

    run(place, work)


def test_a_wait_that_is_cancelled_leaves_a_discoverer_that_works(place: HeldPlace) -> None:
    async def work(discoverer: Discoverer) -> None:
        await discoverer.scan()
        for pause in (0.0, 0.005, 0.02, 0.1, 0.15):
            await begin_to_wait(discoverer, pause)
        place.hold(SECOND)
        async with watching(discoverer, []) as seen:
            await until(seen, place.artifacts(SECOND))

    run(place, work)


@pytest.mark.parametrize("server", [*ON_SERVERS, *RULES_ON_SERVERS], indirect=True)
def test_a_place_that_answers_nothing_is_an_outage_and_holds_up_nobody(place: HeldPlace) -> None:
    async def work(discoverer: Discoverer) -> None:
        await discoverer.scan()
        place.pause()
        looking = asyncio.create_task(discoverer.scan())
        ticks = 0
        while not looking.done():
            await asyncio.sleep(0.01)
            ticks += 1
        assert ticks > 5  # the loop went on; the timeout of these discoverers is 0.5 s
        with pytest.raises(OutsideError, match=r"0\.5 s|in time"):
            looking.result()
        place.resume()
        place.hold(SECOND)
        async with watching(discoverer, []) as seen:
            await until(seen, place.artifacts(SECOND))

    run(place, work)


def test_a_restore_puts_the_bytes_back_or_says_that_it_does_not(place: HeldPlace) -> None:
    async def work(discoverer: Discoverer) -> None:
        before = await discoverer.scan()
        name = min(before.artifacts)
        restored = await discoverer.restore(name, b"restored")
        after = await discoverer.scan()
        assert after.artifacts == ({**before.artifacts, name: b"restored"} if restored else before.artifacts)

    run(place, work)

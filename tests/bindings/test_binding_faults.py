"""What every binding must hold in both languages when its server is away, silent, slow or started anew."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

import msgspec
import pytest

from tests.bindings.binding_cases import SERVED, Case, Login, Place
from tests.bindings.talking import Talk, paused
from trimtab.api import CallError, Resource
from trimtab.plugin_manager import Plugins

both_languages = pytest.mark.parametrize("language", ["python", "javascript"])
every_server = pytest.mark.parametrize("case", SERVED, ids=str, indirect=True)
every_login = pytest.mark.parametrize("case", [case for case in SERVED if case.login], ids=str, indirect=True)

SECRET = "wr0ng@secret"
WRONG = Login("somebody", SECRET)

DRIVERS = ("httpcore", "httpx", "redis.client", "pymongo", "sqlalchemy", "psycopg", "java.", " object at 0x")
"""What only users of a driver would understand."""

_numbers = itertools.count()


@pytest.fixture
def markers(case: Case, place: Place) -> list[str]:
    """Texts that are kept in the server, and that no other test has."""
    made = [f"f{next(_numbers)}" for _ in range(3)]
    with Talk(case, "python", case.at(place)) as talk:
        assert talk.handle("write", *made).faults == []
    return made


@contextmanager
def away(place: Place) -> Iterator[None]:
    """Inside the block, the server does not run."""
    place.process.kill()
    try:
        yield
    finally:
        place.process.start()


@contextmanager
def dying(place: Place) -> Iterator[None]:
    """Inside the block, the server takes a call and then ends."""
    place.process.pause()
    try:
        with later(place.process.kill):
            yield
    finally:
        place.process.start()


@contextmanager
def later(act: Callable[[], None]) -> Iterator[None]:
    """Inside the block, something happens after a moment."""
    timer = Timer(0.2, act)
    timer.start()
    try:
        yield
    finally:
        timer.join()


@contextmanager
def resource(case: Case, options: dict[str, object]) -> Iterator[Resource]:
    kind = Plugins.load().resource_kinds()[case.kind]
    made = kind.create(msgspec.convert(options, kind.options), f"{case.kind}.it", Path())
    try:
        yield made
    finally:
        made.close()


# --- away ---


@both_languages
@every_server
def test_a_refused_connection_is_an_error_that_says_whose_and_may_be_retried(case: Case, language: str) -> None:
    with Talk(case, language, case.nowhere()) as talk:
        error = talk.error("read")
    assert (error.name, error.retryable, error.is_plain) == ("ConnectionError", True, True)
    assert f"{case.kind}.it" in error.message
    assert "expected" in error.message
    assert not any(word in error.message for word in DRIVERS), error.message


@both_languages
@every_server
def test_an_error_that_is_not_caught_fails_its_event_alone(case: Case, language: str) -> None:
    with Talk(case, language, case.nowhere()) as talk:
        events = [{"to": "patient", "do": do, "n": "m", "caught": False} for do in ("nothing", "read", "nothing")]
        handled = talk.runner.handle(*events)
    (fault,) = handled.faults
    assert (fault.name, len(handled.emitted)) == ("ConnectionError", 2)
    (count,) = handled.calls
    assert (count.calls, count.failed) == (1, 1)


@both_languages
@every_server
def test_a_server_that_was_started_anew_is_not_noticed_or_costs_one_call(
    case: Case, place: Place, language: str, markers: list[str]
) -> None:
    with Talk(case, language, case.at(place)) as talk:
        talk.ask("read", markers[0])
        with away(place):
            pass
        _value, errors = talk.persist("read", markers[0])
        assert len(errors) <= case.errors_after_restart
        new = f"{markers[0]}.new"
        talk.ask("write", new)
        assert talk.ask("read", new) == case.kept(new)


@both_languages
@every_server
def test_a_server_that_is_away_for_a_while_is_used_again_when_it_is_back(
    case: Case, place: Place, language: str
) -> None:
    with Talk(case, language, case.at(place, timeout="500ms")) as talk:
        talk.persist("read", "m")
        with away(place):
            for _ in range(2):
                error = talk.error("read")
                assert (error.name, error.retryable, error.is_plain) == ("ConnectionError", True, True)
        talk.persist("read", "m")


@both_languages
@every_server
def test_a_server_that_dies_in_the_middle_of_a_call_is_an_error_that_may_be_retried(
    case: Case, place: Place, language: str, markers: list[str]
) -> None:
    with Talk(case, language, case.at(place, timeout="1s")) as talk:
        talk.persist("read", markers[0])
        with dying(place):
            error = talk.error("read", markers[0])
        assert (error.name, error.retryable, error.is_plain) == ("ConnectionError", True, True)
        talk.persist("read", markers[0])


# --- slow ---


@both_languages
@every_server
def test_a_slow_answer_is_waited_for(case: Case, place: Place, language: str, markers: list[str]) -> None:
    with Talk(case, language, case.at(place)) as talk:
        talk.ask("read", markers[0])
        with paused(place), later(place.process.resume):
            assert talk.ask("read", markers[1]) == case.kept(markers[1])
        assert talk.ask("read", markers[0]) == case.kept(markers[0])


# --- silent ---


@both_languages
@every_server
def test_silence_is_an_error_that_can_be_caught_and_the_next_call_gets_its_own_answer(
    case: Case, place: Place, language: str, markers: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    first, second, third = markers
    with Talk(case, language, case.at(place, timeout="200ms")) as talk:
        assert talk.persist("read", first)[0] == case.kept(first)
        with paused(place):
            error = talk.error("read", second)
        assert (error.name, error.retryable, error.is_plain) == ("TimeoutError", True, True)
        assert f"{case.kind}.it" in error.message
        assert talk.persist("read", third)[0] == case.kept(third)
        assert talk.persist("read", second)[0] == case.kept(second)
    assert caplog.text == ""


@both_languages
@every_server
def test_a_server_that_is_silent_from_the_beginning_is_an_error_too(
    case: Case, place: Place, language: str, markers: list[str]
) -> None:
    with Talk(case, language, case.at(place, timeout="200ms")) as talk:
        with paused(place):
            error = talk.error("read", markers[0])
        assert (error.name, error.retryable, error.is_plain) == ("TimeoutError", True, True)
        assert talk.persist("read", markers[1])[0] == case.kept(markers[1])


@both_languages
@every_server
def test_the_time_limit_ends_a_call_for_good_and_no_answer_goes_to_another(
    case: Case, place: Place, language: str, markers: list[str]
) -> None:
    with Talk(case, language, case.at(place)) as talk:
        for cut, asked in itertools.pairwise(markers):
            talk.ask("read", asked)
            with paused(place):
                handled = talk.handle("read", cut, to="hasty", caught=True)
            assert ([fault.name for fault in handled.faults], handled.emitted) == (["TimeLimitExceeded"], [])
            assert talk.persist("read", asked)[0] == case.kept(asked)
            assert [talk.ask("read", each) for each in markers] == [case.kept(each) for each in markers]


@both_languages
@every_server
def test_a_write_that_the_time_limit_cuts_off_answers_no_read(
    case: Case, place: Place, language: str, markers: list[str]
) -> None:
    with Talk(case, language, case.at(place)) as talk:
        talk.ask("read", markers[0])
        with paused(place):
            (fault,) = talk.handle("write", f"{markers[0]}.cut", to="hasty").faults
        assert fault.name == "TimeLimitExceeded"
        assert talk.persist("read", markers[1])[0] == case.kept(markers[1])
        assert talk.ask("read", markers[2]) == case.kept(markers[2])


# --- the sign of life ---


@every_server
def test_a_check_passes_where_the_server_answers(case: Case, place: Place) -> None:
    with resource(case, case.at(place)) as made:
        made.check()


@every_server
def test_a_check_refuses_an_address_where_nothing_listens(case: Case) -> None:
    with resource(case, case.nowhere()) as made, pytest.raises(CallError) as caught:
        made.check()
    assert type(caught.value) is CallError
    assert (caught.value.name, caught.value.retryable) == ("ConnectionError", True)
    assert f"{case.kind}.it" in str(caught.value)


# --- secrets ---


@both_languages
@every_server
def test_the_password_is_in_no_error(case: Case, language: str) -> None:
    with Talk(case, language, case.nowhere(WRONG)) as talk:
        message = talk.error("read").message
    assert not any(secret in message for secret in ("wr0ng", str(WRONG)))


@both_languages
@every_login
def test_a_wrong_password_is_an_error_of_its_own_that_does_not_show_it(case: Case, place: Place, language: str) -> None:
    assert case.login is not None
    wrong = Login(case.login.user, SECRET)
    with Talk(case, language, {**case.options(place.address, wrong), "timeout": "10s"}) as talk:
        error = talk.error("read")
    assert (error.name, error.retryable, error.is_plain) == ("AuthenticationError", False, True)
    assert "wr0ng" not in error.message
    assert f"{case.kind}.it" in error.message

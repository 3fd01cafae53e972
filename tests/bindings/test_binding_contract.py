"""What every binding must hold in both languages, whichever it is, while its server is well."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.bindings.binding_cases import CASES, SERVED, Case, Place
from tests.bindings.talking import Talk, connections, open_in_server
from tests.servers.programs import until
from trimtab.engine.calls import Call
from trimtab.errors import ChangeRefused
from trimtab.testing import ScriptRunner

pytestmark = pytest.mark.parametrize("language", ["python", "javascript"])
every_case = pytest.mark.parametrize("case", CASES, ids=str, indirect=True)
every_server = pytest.mark.parametrize("case", SERVED, ids=str, indirect=True)
every_extra = pytest.mark.parametrize("case", [case for case in CASES if case.extras], ids=str, indirect=True)

_numbers = itertools.count()


@pytest.fixture
def marker() -> str:
    """A text that no other test writes."""
    return f"m{next(_numbers)}"


@pytest.fixture
def talk(case: Case, place: Place, language: str) -> Iterator[Talk]:
    with Talk(case, language, case.at(place)) as talking:
        yield talking


@every_case
def test_what_is_written_is_read(case: Case, talk: Talk, marker: str) -> None:
    assert talk.ask("read", marker) is None
    talk.ask("write", marker)
    assert talk.ask("read", marker) == case.kept(marker)


@every_extra
def test_what_one_kind_alone_can_do_gives_its_answer(case: Case, talk: Talk) -> None:
    assert [talk.ask(extra.name) for extra in case.extras] == [extra.answer for extra in case.extras]


@every_case
def test_each_call_is_counted_and_timed_for_its_script_and_resource(case: Case, talk: Talk) -> None:
    (count,) = talk.handle("read", "a", "b", "c").calls
    assert count.script.startswith("patient.")
    assert (count.resource, count.calls, count.failed) == (f"{case.kind}.it", 3, 0)
    assert len(count.samples) == 3
    assert min(count.samples) > 0


@every_case
def test_a_resource_that_is_not_declared_refuses_the_script_with_the_line_that_declares_it(
    case: Case, language: str
) -> None:
    source, file = {
        "python": (f"from trimtab import {case.kind}\n{case.kind}('nowhere')\n", "a__py"),
        "javascript": (f"import {{ {case.kind} }} from 'trimtab';\n{case.kind}('nowhere');\n", "a__js"),
    }[language]
    with ScriptRunner() as runner, pytest.raises(ChangeRefused) as refused:
        runner.load(**{file: f"{source}"})
    (fault,) = refused.value.faults.values()
    assert (fault.name, fault.line) == ("PolicyError", 2)
    assert f"[resources.{case.kind}.nowhere] in trimtab.toml" in fault.message


@every_case
def test_an_error_of_the_other_side_has_its_name_and_code_and_is_not_worth_another_try(
    case: Case, talk: Talk, marker: str
) -> None:
    error = talk.error("refused", marker)
    assert (error.name, error.code, error.retryable, error.is_plain) == (*case.error, False, True)
    assert "expected" in error.message
    (fault,) = talk.handle("refused", marker).faults
    assert fault.name == error.name
    assert error.message in fault.message


@every_case
def test_after_an_error_of_the_other_side_the_next_call_works(case: Case, talk: Talk, marker: str) -> None:
    talk.error("refused", f"{marker}x")
    talk.ask("write", marker)
    assert talk.ask("read", marker) == case.kept(marker)


@every_case
def test_a_rehearsed_call_is_shown_with_its_arguments_and_touches_nothing(
    case: Case, place: Place, talk: Talk, language: str, marker: str
) -> None:
    before = connections(place)
    shown: list[Call] = []
    with Talk(case, language, case.at(place), rehearsed=shown) as rehearsing:
        rehearsing.ask("write", marker)
        assert connections(place) <= before
    (call,) = shown
    assert call.script.startswith("patient.")
    assert call.resource == f"{case.kind}.it"
    assert f"{call.method}(" in case.write
    assert marker in repr(call.arguments)
    assert talk.ask("read", marker) is None


@every_extra
def test_what_one_kind_alone_can_do_is_rehearsed_too(case: Case, language: str) -> None:
    for extra in case.extras:
        shown: list[Call] = []
        with Talk(case, language, case.nowhere(), rehearsed=shown) as rehearsing:
            assert rehearsing.handle(extra.name, "m").faults == []
        assert shown != []


@every_server
def test_nothing_connects_before_the_first_call(case: Case, place: Place, language: str) -> None:
    before = connections(place)
    with Talk(case, language, case.at(place)) as talking:
        assert connections(place) <= before
        talking.ask("read")
        assert connections(place) - before != set()


@every_server
def test_many_events_share_the_connections_of_the_resource(case: Case, place: Place, talk: Talk, marker: str) -> None:
    markers = [f"{marker}.{number}" for number in range(50)]
    before = connections(place)
    assert talk.handle("write", *markers).faults == []
    assert talk.handle("read", *markers).emitted == [case.kept(each) for each in markers]
    assert 1 <= len(connections(place) - before) <= case.connections


@every_server
def test_a_resource_that_is_closed_leaves_no_connection(case: Case, place: Place, language: str) -> None:
    before = connections(place)
    with Talk(case, language, case.at(place)) as talking:
        talking.ask("read")
        used = connections(place) - before
    assert used != set()
    until(lambda: not used & open_in_server(place), "the server to see the connections closed")


@every_server
def test_a_changed_resource_moves_the_calls_and_the_old_connections_end(
    case: Case, place: Place, talk: Talk, marker: str
) -> None:
    before = connections(place)
    talk.ask("write", marker)
    used = connections(place) - before
    talk.declare(case.nowhere())
    assert talk.error("read", marker).name == "ConnectionError"
    until(lambda: not used & open_in_server(place), "the server to see the old connections closed")
    talk.declare(case.at(place, timeout="9s"))
    assert talk.ask("read", marker) == case.kept(marker)

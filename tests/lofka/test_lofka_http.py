"""Requests of Lofka scripts, to a real server."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lofka.lofka_http import EchoServer
from trimtab.engine.calls import Call
from trimtab.errors import ChangeRefused
from trimtab.testing.scripts import Handled, ScriptRunner

SINK = {"lofka": {"sink": "out"}}


def run(body: str, *events: Any, **options: Any) -> Handled:
    """Handle events by a script with this body of ``processing_data(text)``."""
    with ScriptRunner(settings=SINK, **options) as runner:
        runner.load(a__js=f"function processing_data(text) {{\n{body}\n}}")
        return runner.handle(*(events or (1,)))


def test_a_blocking_get_returns_what_its_callback_returns(http_server: EchoServer) -> None:
    url = f"{http_server.url}/get?c=0"
    handled = run(
        f'return syncHttp.get("{url}", {{a: "ä b", n: 1.5, o: {{x: 1}}, t: true}}, function (t) {{ return t }})'
    )
    (answer,) = handled.emitted
    assert '"args": {"c": "0", "a": "\\u00e4 b", "n": "1.5", "o": "{\\"x\\":1}", "t": "true"}' in answer


def test_a_blocking_get_as_json_hands_over_a_value(http_server: EchoServer) -> None:
    handled = run(f'return syncHttp.getJSON("{http_server.url}/get", {{a: 1}}, function (j) {{ return j.args.a }})')
    assert handled.emitted == ["1"]


def test_a_text_is_posted_as_plain_text_and_an_object_as_a_form(http_server: EchoServer) -> None:
    handled = run(f"""
var text = syncHttp.post("{http_server.url}/p", "über", JSON.parse);
var form = syncHttp.post("{http_server.url}/p", {{a: "b c", d: 3}}, JSON.parse);
return [text.type, text.body, form.type, form.form.a, form.form.d].join("|");""")
    assert handled.emitted == ["text/plain|über|application/x-www-form-urlencoded|b c|3"]


@pytest.mark.parametrize("name", ["$", "asyncHttp"])
def test_asynchronous_requests_are_made_after_the_function_and_wait_together(
    http_server: EchoServer, name: str
) -> None:
    source = f"""
function processing_data(text) {{
  var seen = [];
  var nothing = [
    {name}.getJSON("{http_server.url}/meet/3", {{}}, function (j) {{ seen.push(j.path); print("one") }}),
    {name}.get("{http_server.url}/meet/3", undefined, function (t) {{ seen.push(t); print("two") }}),
    {name}.post("{http_server.url}/meet/3", {{x: 1}}, function (t) {{ seen.push(t); print("three") }})
  ];
  return nothing.every(function (n) {{ return n === undefined }}) + " " + seen.length;
}}"""
    with ScriptRunner(settings=SINK) as runner:
        runner.load(a__js=source)
        assert runner.handle(1).emitted == ["true 0"]
        assert sorted(entry.message for entry in runner.logged) == ["one", "three", "two"]


def test_the_requests_of_many_events_wait_together(http_server: EchoServer) -> None:
    body = f'$.get("{http_server.url}/meet/5", {{}}, function () {{ print(text) }}); return text;'
    with ScriptRunner(settings=SINK) as runner:
        runner.load(a__js=f"function processing_data(text) {{ {body} }}")
        assert runner.handle(*range(5)).emitted == [str(n) for n in range(5)]
        assert sorted(entry.message for entry in runner.logged) == [str(n) for n in range(5)]


def test_an_event_has_ended_when_nothing_of_it_is_waiting_any_more(http_server: EchoServer) -> None:
    source = f"""
function ask(path, then) {{ $.get("{http_server.url}" + path, {{}}, then) }}
function processing_data(text) {{
  ask("/one", function () {{
    print("one");
    async_execute(function () {{ ask("/two", function () {{ print(syncHttp.getJSON("{http_server.url}/three").path) }}) }});
  }});
}}"""
    with ScriptRunner() as runner:
        runner.load(a__js=source)
        assert runner.handle(1).faults == []
        assert [entry.message for entry in runner.logged] == ["one", "/three"]
    assert http_server.asked == ["GET /one", "GET /two", "GET /three"]


def test_the_first_failure_fails_the_event_when_the_rest_has_been_done(http_server: EchoServer) -> None:
    source = f"""
function processing_data(text) {{
  $.get("{http_server.url}/status/404", {{}}, print);
  $.get("{http_server.url}/get", {{}}, function () {{
    $.get("{http_server.url}/get", {{}}, function () {{ print("done") }});
  }});
  return text;
}}"""
    with ScriptRunner(settings=SINK) as runner:
        runner.load(a__js=source)
        handled = runner.handle(1)
        assert [(fault.name, fault.line) for fault in handled.faults] == [("HttpError", 3)]
        assert (handled.emitted, [entry.message for entry in runner.logged]) == ([], ["done"])


def test_what_a_library_asks_for_waits_too(http_server: EchoServer) -> None:
    library = f"function ask(text) {{ $.get('{http_server.url}/meet/2', {{}}, function () {{ print(text) }}) }}"
    with ScriptRunner() as runner:
        runner.load(_ask__js=library, a__js="load('./_ask.js'); function processing_data(text) { ask(text) }")
        assert runner.handle(1, 2).faults == []
        assert sorted(entry.message for entry in runner.logged) == ["1", "2"]


def test_at_the_top_level_they_are_done_before_the_script_counts_as_loaded(http_server: EchoServer) -> None:
    source = f"$.getJSON('{http_server.url}/get', {{}}, console.logJSON);\nfunction processing_data() {{}}"
    with ScriptRunner() as runner:
        runner.load(a__js=source)
        assert '"path": "/get"' in runner.logged[0].message


@pytest.mark.parametrize("call", ["syncHttp.get", "$.get"])
def test_any_status_but_200_is_an_error_that_fails_the_event(http_server: EchoServer, call: str) -> None:
    handled = run(f'{call}("{http_server.url}/status/404", {{}}, function () {{ print("never") }})')
    (fault,) = handled.faults
    assert (fault.name, fault.file, fault.line) == ("HttpError", "a.js", 2)
    assert "/status/404, got 404" in fault.message


def test_an_error_can_be_caught(http_server: EchoServer) -> None:
    handled = run(f"""
try {{ syncHttp.get("{http_server.url}/status/503", {{}}, String) }} catch (e) {{ return e.name + " " + e.code }}""")
    assert handled.emitted == ["HttpError 503"]


def test_an_error_in_a_callback_fails_the_event(http_server: EchoServer) -> None:
    handled = run(f'$.get("{http_server.url}/get", {{}}, function (t) {{\n  t.no.such;\n}})')
    assert [(fault.name, fault.line) for fault in handled.faults] == [("TypeError", 3)]


def test_a_get_follows_redirects(http_server: EchoServer) -> None:
    handled = run(f'return syncHttp.getJSON("{http_server.url}/moved", {{}}, function (j) {{ return j.path }})')
    assert handled.emitted == ["/get"]


def test_a_slow_answer_ends_with_the_time_of_the_event(http_server: EchoServer) -> None:
    handled = run(f'$.get("{http_server.url}/slow", {{}}, print)')
    assert [fault.name for fault in handled.faults] in (["TimeLimitExceeded"], ["TimeoutError"])


def test_the_time_of_an_event_can_be_raised(http_server: EchoServer) -> None:
    with ScriptRunner(settings={"lofka": {"timeout": "30s"}}) as runner:
        runner.load(a__js=f"function processing_data() {{ $.get('{http_server.url}/slow', {{}}, print) }}")
        assert runner.handle(1).faults == []


def test_load_runs_a_script_from_a_url_in_the_global_scope(http_server: EchoServer) -> None:
    http_server.texts["/lib.js"] = "var factor = 3;\nfunction times(n) { return factor * n * base }\nfactor;"
    source = f"var base = 2;\nvar last = load('{http_server.url}/lib.js');\nfunction processing_data() {{ print(times(7), last) }}"
    with ScriptRunner() as runner:
        runner.load(a__js=source)
        assert runner.handle(1).faults == []
        assert runner.logged[0].message == "42 3"


def test_load_of_what_is_not_there_refuses_the_script(http_server: EchoServer) -> None:
    with ScriptRunner() as runner, pytest.raises(ChangeRefused) as refused:
        runner.load(a__js=f"\nload('{http_server.url}/status/404');\nfunction processing_data() {{}}")
    fault = refused.value.faults["a.js"]
    assert (fault.name, fault.line) == ("HttpError", 2)


def test_rehearsed_requests_are_shown_and_answered_with_nothing(http_server: EchoServer) -> None:
    http_server.texts["/lib.js"] = "function lib() { return 'lib' }"
    calls: list[Call] = []
    source = f"""
load("{http_server.url}/lib.js");
function processing_data(text) {{
  $.post("{http_server.url}/send", {{to: "a"}}, function (t) {{ print("sent", t) }});
  return syncHttp.getJSON("{http_server.url}/get", {{}}, function (j) {{ return lib() + JSON.stringify(j) }});
}}"""
    with ScriptRunner(settings=SINK, rehearsed=calls) as runner:
        runner.load(a__js=source)
        assert runner.handle(1).emitted == ["lib{}"]
    assert [call.method for call in calls] == ["load", "get", "post"]
    assert http_server.asked == ["GET /lib.js"]


def test_requests_are_counted(http_server: EchoServer) -> None:
    handled = run(f'$.get("{http_server.url}/get", {{}}, print)')
    assert [(count.script, count.resource, count.calls) for count in handled.calls] == [("a.js", "http.default", 1)]

"""The contract of the binding: every form of a Redis, both languages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.redis.redis_cases import CASES, REFUSALS, Case, Refusal
from trimtab.testing import ScriptRunner

pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated:DeprecationWarning")  # the driver's, of hmset

PYTHON = """
from trimtab import emit, redis

r = redis("cache")
CASES = {{
{cases}
}}


def handle(event):
    try:
        answer = CASES[event]()
    except Exception as error:
        name = getattr(error, "name", type(error).__name__)
        code, retryable = getattr(error, "code", None), getattr(error, "retryable", None)
        assert error.__cause__ is None
        answer = {{"name": name, "message": str(error), "code": code, "retryable": retryable}}
    emit("out", answer)
"""
JAVASCRIPT = """
import {{ emit, redis }} from "trimtab";

const r = redis("cache");
const CASES = {{
{cases}
}};

export function handle(event) {{
  let answer;
  try {{
    answer = CASES[event]();
  }} catch (error) {{
    const {{ name, message, code = null, retryable = null }} = error;
    answer = {{ name, message, code, retryable }};
  }}
  emit("out", answer);
}}
"""


ALL: list[Case | Refusal] = [*CASES, *REFUSALS]


def python_script() -> str:
    cases = [f"    {json.dumps(case.name)}: lambda: [{case.python}]," for case in ALL]
    return PYTHON.format(cases="\n".join(cases))


def javascript() -> str:
    cases = [f"  {json.dumps(case.name)}: () => [{case.javascript}]," for case in ALL]
    return JAVASCRIPT.format(cases="\n".join(cases))


@pytest.fixture(scope="module", params=["py", "js"])
def runner(request: pytest.FixtureRequest, any_redis: Any) -> Iterator[ScriptRunner]:
    with ScriptRunner({"redis.cache": {"url": any_redis.url}}) as runner:
        runner.load(**{f"cases__{request.param}": python_script() if request.param == "py" else javascript()})
        yield runner


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_script_gets(case: Case, runner: ScriptRunner, empty_redis: Any) -> None:
    handled = runner.handle(case.name)
    assert handled.faults == []
    assert handled.emitted == [case.expected]


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: case.name)
def test_a_script_can_catch(case: Refusal, runner: ScriptRunner, empty_redis: Any) -> None:
    handled = runner.handle(case.name)
    assert handled.faults == []
    [error] = handled.emitted
    assert isinstance(error, dict), error
    assert case.says in error.pop("message")
    assert error == {"name": case.error, "code": error["code"], "retryable": case.retryable}
    assert case.code in {None, error["code"]}


def test_after_all_that_the_connection_is_in_step(runner: ScriptRunner, empty_redis: Any) -> None:
    for name in (REFUSALS[0].name, REFUSALS[2].name, REFUSALS[4].name, CASES[0].name):
        handled = runner.handle(name)
    assert handled.emitted == [CASES[0].expected]

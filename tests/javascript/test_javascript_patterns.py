"""Scripts that look for a pattern: the builder, its JSON, its functions."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

import trimtab.sandbox.javascript
from tests.cep.random_patterns import patterns
from tests.javascript.javascript_support import Lab, emitted, handle, load, place
from trimtab.cep import Pattern, PatternBuilder, begin
from trimtab.cep.pattern import Combined, Expr, FunctionCall, Stage
from trimtab.cep.reading import read_pattern
from trimtab.cep.writing import write_pattern
from trimtab.engine.objects import camel_case
from trimtab.errors import ScriptError

HANDLE = "export function handle(match, ctx) {}\n"


def built(expression: str) -> Pattern:
    """What Python reads of a pattern that a script builds."""
    script = load(f'import {{ begin }} from "trimtab";\nexport const pattern = {expression};\n{HANDLE}')
    return read_pattern(script.pattern)


def test_a_script_with_a_pattern_handles_matches() -> None:
    script = load("""
        import { begin } from "trimtab";
        export const pattern = begin("first").where("temp > 40").next("second").where("temp > last('first').temp")
          .within("20s").skipPastLastEvent();
        export const source = "gps";
        export function handle(match, ctx) {}
        export function onTimer() {}
    """)
    wanted = (
        begin("first")
        .where("temp > 40")
        .next("second")
        .where("temp > last('first').temp")
        .within("20s")
        .skip_past_last_event()
    )
    assert script.pattern == write_pattern(wanted.build())
    assert [(spec.name, spec.match, spec.source) for spec in script.handlers] == [
        ("handle", True, "gps"),
        ("onTimer", False, None),
    ]
    assert script.function("handle") == 0


def test_a_script_without_one_has_none() -> None:
    script = load("import { pattern, begin } from 'trimtab'; export function handle() {}")
    assert script.pattern is None
    assert [spec.match for spec in script.handlers] == [False]


JSON = '{ nodes: [{ name: "a", quantifier: { properties: ["SINGLE"] } }], edges: [] }'


@pytest.mark.parametrize(
    "source",
    [
        'import { pattern as p } from "trimtab"; export const pattern = p.begin("a"); export function handle() {}',
        'const { begin } = require("trimtab"); const pattern = begin("a"); function handle() {}',
        'const { pattern } = require("trimtab"); exports.pattern = pattern.begin("a"); exports.handle = () => {};',
        f"export const pattern = {JSON}; export const handle = () => {{}};",
    ],
)
def test_every_form_of_script_may_have_a_pattern(source: str) -> None:
    script = load(source)
    assert read_pattern(script.pattern).stages == (Stage("a"),)
    assert script.handlers[0].match


@pytest.mark.parametrize("value", ["/^a+$/", '"a pattern"', "{ a: 1 }", "[1]", "null", "5", "() => 1"])
def test_anything_else_of_that_name_is_the_scripts_own(value: str) -> None:
    script = load(f"const pattern = {value}; function handle() {{}}")
    assert script.pattern is None
    assert not script.handlers[0].match


def test_the_name_of_what_is_imported_does_not_make_a_pattern() -> None:
    script = load('const { pattern } = require("trimtab"); function handle() {}')
    assert script.pattern is None


def javascript(stages: tuple[Stage, ...]) -> str:
    """A chain, written with the builder."""
    edges = {
        "STRICT": "next",
        "SKIP_TILL_NEXT": "followedBy",
        "SKIP_TILL_ANY": "followedByAny",
        "NOT_NEXT": "notNext",
        "NOT_FOLLOW": "notFollowedBy",
    }
    parts = []
    for number, stage in enumerate(stages):
        call = f".{edges[stage.edge]}" if number else "begin"
        group = None if stage.group is None else javascript(stage.group)
        parts.append(
            f"{call}({text(stage.name)})" if group is None else f"{call}({group}, {{name: {text(stage.name)}}})"
        )
        parts += options(stage)
    return "".join(parts)


def text(value: Any) -> str:
    return json.dumps(value)


def options(stage: Stage) -> list[str]:
    quantifier = stage.quantifier
    node = write_pattern(Pattern((Stage("a", condition=stage.condition, quantifier=quantifier),)))["nodes"][0]
    within = "{}" if quantifier.window is None else f"{{within: '{quantifier.window}ms'}}"
    calls = [f".where({text(node['condition'])})"] if stage.condition is not None else []
    if quantifier.repeat == "LOOPING":
        calls.append(f".timesOrMore({quantifier.least}, {within})")
    if quantifier.repeat == "TIMES":
        calls.append(f".times({quantifier.least}, {quantifier.most}, {within})")
    if quantifier.until is not None:
        calls.append(f".until({text(node['quantifier']['untilCondition'])})")
    calls += [".optional()"] if quantifier.optional else []
    calls += [".greedy()"] if quantifier.greedy else []
    calls += {"STRICT": [".consecutive()"], "SKIP_TILL_ANY": [".allowCombinations()"]}.get(quantifier.inner, [])
    for window in stage.windows:
        previous = text(window.type == "PREVIOUS_AND_CURRENT")
        calls.append(f".within('{window.size}ms', {{previous: {previous}}})")
    return calls


SKIPS = {
    "NO_SKIP": "noSkip()",
    "SKIP_TO_NEXT": "skipToNext()",
    "SKIP_PAST_LAST_EVENT": "skipPastLastEvent()",
    "SKIP_TO_FIRST": "skipToFirst(STAGE)",
    "SKIP_TO_LAST": "skipToLast(STAGE)",
}


@given(patterns())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_everything_that_json_can_say_can_be_written(wanted: Pattern) -> None:
    skip = SKIPS[wanted.skip.kind].replace("STAGE", text(wanted.skip.stage))
    got = built(f"{javascript(wanted.stages)}.{skip}")
    assert (got.stages, got.skip) == (wanted.stages, wanted.skip)


def test_groups_without_a_name_get_one() -> None:
    got = built('begin(begin("group").next("pattern")).times(2).next(begin("c"))')
    assert [stage.name for stage in got.stages] == ["group_2", "group_3"]
    assert got.name == "pattern_2"


def test_options_may_come_without_the_highest_number() -> None:
    [stage] = built('begin("a").times(2, { within: 1.5 })').stages
    assert (stage.quantifier.least, stage.quantifier.most, stage.quantifier.window) == (2, 2, 1500)


def test_each_call_gives_another_pattern() -> None:
    script = load("""
        import { begin, emit } from "trimtab";
        const start = begin("a");
        const [hot, cold] = [start.where("t > 9"), start.where("t < 1")];
        const first = (pattern) => pattern.toJSON().nodes[0].condition ?? null;
        export function handle() { emit("out", [start, hot, cold].map(first)); }
    """)
    [(_, conditions)] = emitted(handle(script, 1))
    assert [each and each["expression"] for each in conditions] == [None, "t > 9", "t < 1"]


# --- functions ---

WITH_FUNCTIONS = """
import { begin } from "trimtab";
const isHot = (event) => event.temp > 40;
export const pattern = begin("first").where(isHot)
  .next("second").where((event, partial) => event.temp > partial.first[0].temp && partial.third.length === 0)
  .oneOrMore().until(isHot)
  .next(begin("third").where("x > 1").or((event) => { throw new RangeError(event.why); }));
export function handle(match, ctx) {}
"""


def test_functions_stay_in_the_script_and_the_json_names_their_places() -> None:
    script = load(WITH_FUNCTIONS, name="rules/hot.js")
    got = read_pattern(script.pattern)
    hot, above, throws = (FunctionCall("JS", f"rules/hot.js#@{number}") for number in range(3))
    first, second, third = got.stages
    assert (first.condition, second.condition, second.quantifier.until) == (hot, above, hot)
    assert third.group is not None
    assert third.group[0].condition == Combined("or", (Expr("x > 1"), throws))


def test_functions_are_asked_by_their_places() -> None:
    script = load(WITH_FUNCTIONS)
    assert [script.ask("@0", {"temp": temp}, {}) for temp in (40, 41)] == [False, True]
    assert [script.ask("@1", {"temp": temp}, {"first": [{"temp": 50}]}) for temp in (50, 51)] == [False, True]
    with pytest.raises(ScriptError) as caught:
        script.ask("@2", {"why": "too hot"}, {})
    assert str(caught.value).endswith("RangeError: too hot")
    assert place(caught.value.fault)[:2] == ("script.js", 7)
    with pytest.raises(ScriptError, match="expected a function @3, got none"):
        script.ask("@3", {}, {})


def test_functions_inside_json_stay_in_the_script_too() -> None:
    script = load("""
        const node = (name, condition) => ({ name, condition, quantifier: { properties: ["SINGLE"] } });
        export const pattern = { nodes: [node("a", (event) => event.ok)], edges: [] };
        export function handle(match) {}
    """)
    assert read_pattern(script.pattern).stages == (Stage("a", condition=FunctionCall("JS", "script.js#@0")),)
    assert script.ask("@0", {"ok": 1}, {}) is True


# --- refusals ---


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('begin("a").where("")', "a: expected a condition: an expression or a function"),
        ('begin("a").where(5)', "a: expected a condition"),
        ('begin("")', "stage: expected the name of a stage, or a group"),
        ('begin("a").times(0)', "a: expected a whole number from 1 on, got 0"),
        ('begin("a").times(1.5)', "a: expected a whole number from 0 on, got 1.5"),
        ('begin("a").timesOrMore(0)', "a: expected a whole number from 1 on"),
        ('begin("a").oneOrMore().times(2)', "a: expected one quantifier"),
        ('begin("a").oneOrMore().until("x").until("y")', "a: expected until once"),
        ('begin("a").oneOrMore().consecutive().allowCombinations()', "got 'both'"),
        ('begin("a").within("20 seconds")', "a: expected a duration such as"),
        ('begin("a").within(0)', "a: expected a duration such as"),
        ('begin("a").oneOrMore({ within: "soon" })', "a: expected a duration such as"),
    ],
)
def test_what_cannot_be_said_is_refused_where_it_is_said(expression: str, expected: str) -> None:
    with pytest.raises(ScriptError) as caught:
        built(expression)
    assert expected in caught.value.fault.message
    assert place(caught.value.fault)[:2] == ("script.js", 2)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('begin("a").greedy()', "GREEDY with LOOPING or TIMES"),
        ('begin("a").optional().notNext("b")', "not optional before a NOT edge"),
        ('begin("a").next("a")', "a name that no other node has"),
        ('begin("a").skipToFirst("b")', "a node of the outermost graph"),
        ("{ nodes: [], edges: [] }", "at least one node"),
    ],
)
def test_what_flink_refuses_is_refused_when_the_script_is_loaded(expression: str, expected: str) -> None:
    with pytest.raises(ScriptError) as caught:
        built(expression)
    assert caught.value.fault.name == "RuleError"
    assert expected in caught.value.fault.message
    assert caught.value.fault.file == "script.js"


def test_a_pattern_without_handle_is_refused() -> None:
    with pytest.raises(ScriptError, match=r"handle: expected a function handle\(match, ctx\)"):
        load('import { begin } from "trimtab"; export const pattern = begin("a");')


def test_what_a_script_does_to_builtins_does_not_reach_other_scripts() -> None:
    lab = Lab()
    lab.load("Array.prototype.map = () => []; export function handle() {}", name="bad.js")
    script = lab.load(f'import {{ begin }} from "trimtab"; export const pattern = begin("a"); {HANDLE}', name="good.js")
    assert read_pattern(script.pattern).stages == (Stage("a"),)


def test_a_script_that_exports_none_cannot_begin_one() -> None:
    with pytest.raises(ScriptError, match="expected a script that exports what it begins as `pattern`"):
        load('import { begin } from "trimtab"; begin("a"); export function handle() {}')


def test_a_library_may_hold_the_pattern() -> None:
    library = 'import { begin } from "trimtab"; export const pattern = begin("a");'
    script = load(f'export * from "./_rising.js"; {HANDLE}', {"_rising.js": library})
    assert read_pattern(script.pattern).stages == (Stage("a"),)


def test_the_declarations_for_editors_name_every_method() -> None:
    declarations = Path(trimtab.sandbox.javascript.__file__).with_name("trimtab.d.ts").read_text()
    (body,) = re.findall(r"^  export interface Pattern<.*?> \{$(.*?)^  \}", declarations, re.MULTILINE | re.DOTALL)
    script = load("""
        import { begin, emit } from "trimtab";
        const pattern = begin("a");
        const names = Object.getOwnPropertyNames(Object.getPrototypeOf(pattern));
        export function handle() { emit("out", names.filter((name) => name !== "constructor")); }
    """)
    [(_, names)] = emitted(handle(script, 1))
    assert set(re.findall(r"^    (?:readonly )?(\w+)[(:]", body, re.MULTILINE)) == set(names)


def test_both_languages_have_the_same_methods() -> None:
    declarations = Path(trimtab.sandbox.javascript.__file__).with_name("trimtab.d.ts").read_text()
    (body,) = re.findall(r"^  export interface Pattern<.*?> \{$(.*?)^  \}", declarations, re.MULTILINE | re.DOTALL)
    javascript = set(re.findall(r"^    (\w+)\(", body, re.MULTILINE)) - {"toJSON"}
    python = {camel_case(name.rstrip("_")) for name in vars(PatternBuilder) if not name.startswith("_")} - {"build"}
    assert javascript == python


def test_typescript_may_have_a_pattern() -> None:
    script = load(
        """
        import { begin, type MatchHandler } from "trimtab";
        interface Reading { temp: number }
        export const pattern = begin<Reading>("a").where((event: Reading) => event.temp > 40);
        export const handle: MatchHandler<Reading> = (match) => {};
        """,
        name="hot.ts",
    )
    assert read_pattern(script.pattern).stages == (Stage("a", condition=FunctionCall("JS", "hot.ts#@0")),)
    assert script.ask("@0", {"temp": 41}, {})

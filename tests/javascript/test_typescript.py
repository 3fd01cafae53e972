"""TypeScript scripts."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

import pytest

from tests.javascript.javascript_support import Lab, emitted, handle, place
from trimtab.api import HandlerSpec, ScriptError
from trimtab.sandbox.javascript import JavaScriptEngine
from trimtab.sandbox.javascript.sourcemap import Mappings

SOURCE = """import { emit } from "trimtab";
interface Event { x: number }
enum Color { Red,
  Green }
export const timeout: string = "100ms";
export function handle(event: Event, ctx: any): void {
  emit("out", [Color.Green, event.x as number]);

  const nothing: any = null;   if (event.x > 1) nothing.boom;
}
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("typescript") / "cache"


@pytest.fixture(scope="module")
def lab(cache: Path) -> Lab:
    return Lab(cache=cache)


def test_types_are_taken_away_and_faults_name_the_place_in_what_was_written(lab: Lab) -> None:
    script = lab.load(SOURCE, name="colors.ts")
    assert script.handlers == (HandlerSpec("handle", timeout=0.1),)
    run = handle(script, {"x": 1}, {"x": 2})
    assert emitted(run) == [(0, [1, 1])]
    assert place(run.faults[1]) == ("colors.ts", 9, 49)


def test_a_syntax_error_has_its_line_and_column(lab: Lab) -> None:
    with pytest.raises(ScriptError) as caught:
        lab.load("export function handle() {}\n  let x: = 5;\n", name="bad.ts")
    assert str(caught.value) == "bad.ts:2:10: SyntaxError: Type expected."


def test_a_file_of_declarations_is_no_script(lab: Lab) -> None:
    with pytest.raises(ScriptError, match=r"^types\.d\.ts: ScriptError: expected a script, got a \.d\.ts file"):
        lab.load("export declare function handle(): void;", name="types.d.ts")


@pytest.mark.parametrize("specifier", ["./_geo", "./_geo.js", "./_geo.ts"])
def test_libraries_may_be_typescript_too(lab: Lab, specifier: str) -> None:
    script = lab.load(
        f'import {{ emit }} from "trimtab";\nimport {{ far, type Far }} from "{specifier}";\n'
        "export function handle(e: number): void { const f: Far = far(e); emit('out', f); }",
        {"_geo.ts": "export type Far = boolean;\n\nexport function far(e: number): Far { return e > 1; }"},
        name="near.ts",
    )
    assert script.libraries == {"_geo.ts"}
    assert emitted(handle(script, 1, 2)) == [(0, False), (1, True)]


def test_a_missing_import_has_its_place_in_what_was_written(lab: Lab) -> None:
    with pytest.raises(ScriptError) as caught:
        lab.load("type A = 1;\n\nimport { a } from './_no';\nexport function handle() { a(); }", name="lost.ts")
    assert place(caught.value.fault)[:2] == ("lost.ts", 3)


def test_what_is_in_the_cache_is_not_compiled_again_by_another_engine(lab: Lab, cache: Path) -> None:
    lab.load(SOURCE, name="colors.ts")
    start = perf_counter()
    script = Lab(cache=cache, engine=JavaScriptEngine()).load(SOURCE, name="other_name.ts")
    assert perf_counter() - start < 0.2  # loading the compiler alone takes longer
    assert place(handle(script, {"x": 2}).faults[0]) == ("other_name.ts", 9, 49)


def test_a_spoiled_cache_is_computed_anew(lab: Lab, tmp_path: Path) -> None:
    spoiled = Lab(cache=tmp_path, engine=JavaScriptEngine())
    spoiled.load("export function handle(e: 1) {}", name="a.ts")
    (file,) = tmp_path.iterdir()
    file.write_bytes(b"{half")
    script = Lab(cache=tmp_path, engine=lab.engine).load("export function handle(e: 1) {}", name="a.ts")
    assert script.handlers == (HandlerSpec("handle"),)


def test_source_maps_are_read_to_the_nearest_mapping_before_a_place() -> None:
    mappings = Mappings("AAAA;AACA,IAAI;;AAEA")  # 1:1 -> 1:1; 2:1 -> 2:1, 2:5 -> 2:5; nothing; 4:1 -> 4:5
    assert mappings.original(2, 3) == (2, 1)
    assert mappings.original(2, 9) == (2, 5)
    assert mappings.original(3, 1) is None
    assert mappings.original(4, 7) == (4, 5)
    assert mappings.original(9, 1) is None

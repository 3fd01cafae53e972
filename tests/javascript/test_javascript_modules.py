"""Libraries and packages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.javascript.javascript_support import Lab, emitted, handle, load, place
from trimtab.api import ScriptError
from trimtab.testing import ScriptRunner


def test_libraries_are_found_from_the_importing_file_with_or_without_their_ending() -> None:
    script = load(
        """
        import { emit } from "trimtab";
        import { a } from "./_a.js"; import { b } from "../_lib/b"; import { c } from "../_lib/sub";
        export function handle() { emit("out", [a, b, c]); }
        """,
        {
            "alarms/_a.js": "export const a = 1;",
            "_lib/b.mjs": 'export { d as b } from "./d";',
            "_lib/d.cjs": "exports.d = 2;",
            "_lib/sub/index.js": "module.exports = { c: 3 };",
            "_unused.js": "throw new Error();",
        },
        "alarms/near.js",
    )
    assert emitted(handle(script, 1)) == [(0, [1, 2, 3])]
    assert script.libraries == {"alarms/_a.js", "_lib/b.mjs", "_lib/d.cjs", "_lib/sub/index.js"}


def test_libraries_that_are_required_or_imported_later_count_from_the_start() -> None:
    source = """
        const { emit } = require("trimtab");
        async function handle(e) {
          emit("out", e ? require("./_a.js").a : (await import("./_b.js")).b);
        }
        """
    libraries = {"_a.js": "exports.a = 1; require('./_c');", "_b.js": "export const b = 2;", "_c.js": ""}
    assert load(source, libraries).libraries == {"_a.js", "_b.js", "_c.js"}
    files = {name.replace(".", "__"): text for name, text in libraries.items()}
    with ScriptRunner() as runner:
        runner.load(script__js=source, **files)
        assert runner.handle(0, 1).emitted == [2, 1]


def test_a_library_is_run_once_for_all_that_use_it() -> None:
    script = load(
        'const a = require("./_a"), b = require("./_b"); function handle() { require("trimtab").emit("out", [a, b]); }',
        {"_a.js": "module.exports = require('./_n').next();", "_b.js": "module.exports = require('./_n').next();",
         "_n.js": "let n = 0; exports.next = () => ++n;"},
    )  # fmt: skip
    assert emitted(handle(script, 1)) == [(0, [1, 2])]


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ('import "./_no.js"', "expected a library at './_no.js', found no _no.js"),
        ('import "./other.js"', "a library is a file whose name, or a folder's, begins with _"),
        ('import "../_a.js"', "'../_a.js' leaves the scripts folder"),
        ('import "/etc/passwd"', "expected a package, a library's relative path or 'trimtab', got '/etc/passwd'"),
        ('import "node:fs"', "expected a package, a library's relative path or 'trimtab', got 'node:fs'"),
        ('import "left-pad"', "expected a package 'left-pad' beside the scripts, looked in: node_modules"),
    ],
)
@pytest.mark.parametrize("form", ["import", "require"])
def test_what_cannot_be_imported_is_refused_with_its_place(
    statement: str, message: str, form: str, tmp_path: Path
) -> None:
    (tmp_path / "other.js").write_text("export const x = 1;")
    if form == "require":
        statement = f"require({statement.removeprefix('import ')})"
    with pytest.raises(ScriptError) as caught:
        Lab(roots=(tmp_path,)).load(f"\n{statement}; function handle() {{}}", {"_a.js": ""})
    assert message in caught.value.fault.message
    assert caught.value.fault.name == "ModuleNotFound"
    assert place(caught.value.fault)[:2] == ("script.js", 2)


def test_a_name_that_a_module_does_not_export_is_refused_with_its_place() -> None:
    with pytest.raises(ScriptError, match=r"script\.js:2:3: SyntaxError: Could not find export 'emti'"):
        load('import {\n  emti\n} from "trimtab"; export function handle() {}')


def test_a_library_path_that_is_put_together_is_refused() -> None:
    with ScriptRunner() as runner:
        runner.load(script__js="async function handle() { await import('./_' + 'a.js'); }", _a__js="")
        (fault,) = runner.handle(1).faults
    assert "as a literal text somewhere in script.js" in fault.message


def test_require_of_an_es_module_says_what_to_do() -> None:
    with pytest.raises(ScriptError, match=r"_a\.js is an ES module, which require cannot load; use import"):
        load("require('./_a.js'); function handle() {}", {"_a.js": "export const a = 1;"})


def test_faults_in_commonjs_files_name_the_right_file_and_line() -> None:
    script = load(
        "const a = require('./_a'), b = require('./_b');\n\nfunction handle(e) {\n  [a, b, (c) => c.x][e]();\n}",
        {"_a.js": "\nmodule.exports = () => { null.x; };", "_b.js": "\n\n\nmodule.exports = () => { null.x; };"},
    )
    faults = handle(script, 0, 1, 2).faults
    assert [place(faults[index])[:2] for index in range(3)] == [("_a.js", 2), ("_b.js", 4), ("script.js", 4)]


def test_a_syntax_error_in_a_library_names_the_library() -> None:
    with pytest.raises(ScriptError) as caught:
        load('import "./_a.js"; export function handle() {}', {"_a.js": "\nexport const a = ;"})
    assert place(caught.value.fault)[:2] == ("_a.js", 2)


# --- packages ---


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    folder = tmp_path / "scripts"
    folder.mkdir()
    return folder


def package(folder: Path, name: str, manifest: dict[str, object] | None, **files: str) -> None:
    """Write a package; ``__`` in a keyword stands for a folder, ``_`` before the ending for the dot."""
    root = folder / "node_modules" / name
    root.mkdir(parents=True)
    if manifest is not None:
        (root / "package.json").write_text(json.dumps(manifest))
    for file, text in files.items():
        path = root / ".".join(file.replace("__", "/").rsplit("_", 1))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def run_once(scripts: Path, source: str, name: str = "alarms/near.js") -> object:
    script = Lab(roots=(scripts,)).load(source, name=name)
    run = handle(script, 1)
    assert not run.faults
    ((_index, value),) = emitted(run)
    return value


def test_packages_of_both_forms_are_imported_and_required(scripts: Path) -> None:
    package(
        scripts, "common", {"main": "lib/main"}, lib__main_js="exports.twice = (x) => require('./half')(x) * 4;",
        lib__half_js="module.exports = (x) => x / 2 + require('../zero.json').zero;", zero_json='{"zero": 0}',
    )  # fmt: skip
    package(
        scripts, "modern",
        {"type": "module", "exports": {".": {"import": "./i.js", "default": "./no.js"}, "./sub": "./s.js"}},
        i_js="import { twice } from 'common'; export default (x) => twice(x) * 2;", s_js="export const sub = 'sub';",
    )  # fmt: skip
    package(
        scripts,
        "untyped",
        {"module": "m.js", "main": "c.js"},
        m_js="export const form = 'es';",
        c_js="exports.form = 'cjs';",
    )
    imports = """
        import { emit } from "trimtab"; import common, { twice } from "common"; import four from "modern";
        import { sub } from "modern/sub"; import { form } from "untyped";
        export function handle() { emit("out", [twice(1), common.twice(2), four(1), sub, form]); }
    """
    assert run_once(scripts, imports) == [2, 4, 4, "sub", "es"]
    requires = (
        'function handle() { require("trimtab").emit("out", [require("common").twice(1), require("untyped").form]); }'
    )
    assert run_once(scripts, requires) == [2, "cjs"]


def test_the_nearest_node_modules_folder_wins(scripts: Path) -> None:
    package(scripts, "@own/which", None, index_js="module.exports = 'far';")
    package(scripts / "alarms", "@own/which", None, index_js="module.exports = 'near';")
    source = """
        import which from "@own/which"; import { emit } from "trimtab";
        export function handle() { emit("out", which); }
    """
    assert run_once(scripts, source) == "near"
    assert run_once(scripts, source, "other/x.js") == "far"


def test_the_place_of_a_fault_is_in_the_users_file_even_if_a_package_threw(scripts: Path) -> None:
    package(scripts, "bad", None, index_js="exports.fail = () => { throw new Error('in the package'); };")
    script = Lab(roots=(scripts,)).load('import { fail } from "bad";\nexport function handle() { fail(); }')
    assert place(handle(script, 1).faults[0])[:2] == ("script.js", 2)


@pytest.mark.parametrize("form", ["main", "link", "exports"])
def test_a_package_cannot_lead_out_of_the_scripts_folder(form: str, scripts: Path) -> None:
    secret = scripts.parent / "secret.js"
    secret.write_text("module.exports = 'secret';")
    out = "../../../secret.js"
    package(
        scripts, "sly", {"main": {"main": out}.get(form, "index.js"), **({"exports": out} if form == "exports" else {})}
    )
    if form == "link":
        (scripts / "node_modules/sly/index.js").symlink_to(secret)
    with pytest.raises(ScriptError, match="ModuleNotFound"):
        Lab(roots=(scripts,)).load('import "sly"; export function handle() {}')


def test_a_package_outside_the_scripts_folder_is_not_found(scripts: Path) -> None:
    package(scripts.parent, "outside", None, index_js="")
    with pytest.raises(ScriptError, match="looked in: node_modules;"):
        Lab(roots=(scripts,)).load('import "outside"; export function handle() {}')


def test_a_node_modules_folder_may_be_a_link(scripts: Path) -> None:
    package(scripts.parent / "store", "a", None, index_js="module.exports = require('b') + 1;")
    package(scripts.parent / "store", "b", None, index_js="module.exports = 1;")
    (scripts / "node_modules").symlink_to(scripts.parent / "store" / "node_modules")
    assert run_once(scripts, 'const a = require("a"); function handle() { require("trimtab").emit("out", a); }') == 2


def test_what_a_package_does_not_export_is_refused_saying_so(scripts: Path) -> None:
    package(scripts, "modern", {"exports": {"import": "./i.mjs"}}, i_mjs="export default 1;")
    with pytest.raises(ScriptError, match=r"package 'modern' exports no '\.' for require"):
        Lab(roots=(scripts,)).load("require('modern'); function handle() {}")

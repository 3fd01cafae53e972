"""Libraries of single rules: only the code of a rule that names a wheel can import its modules."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cep.rule_json import graph, node
from tests.engine.rules_kit import Lane, emitted, texts
from trimtab.engine.engine import Plan
from trimtab.errors import ChangeRefused

WHEEL = "_libs/names-1.0-py3-none-any.whl"
CODE = """
from trimtab import emit
try:
    from names import label
except ImportError:
    def label(key):
        return "no library"
def on_match(match, ctx):
    emit("out", [match["rule"], label(match["key"])])
"""
A = graph(node("a", "t == 'a'"))


def wheel(text: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("names/__init__.py", "from .core import label\n")
        archive.writestr("names/core.py", f"def label(key):\n    return {text!r} + str(key)\n")
        archive.writestr("names-1.0.dist-info/METADATA", "Name: names\n")
    return file.getvalue()


def rule(name: str, *libs: str, **fields: Any) -> dict[str, Any]:
    return {"id": name, "pattern": A, "source": "plain", "function": "alarm.py:on_match", "libs": list(libs), **fields}


@pytest.fixture
def lane() -> Iterator[Lane]:
    lane = Lane()
    yield lane
    lane.close()


def deploy(lane: Lane, files: dict[str, Any], deletes: tuple[str, ...] = ()) -> None:
    upserts = {name: text for name, text in files.items() if isinstance(text, bytes)}
    upserts |= texts({name: text for name, text in files.items() if not isinstance(text, bytes)})
    reload = [name for name in upserts if not name.startswith("_")]
    lane.engine.prepare(Plan(lane.engine.generation + 1, upserts, list(deletes), reload))
    lane.engine.commit()


def found(lane: Lane, key: str) -> list[Any]:
    return sorted(emitted(lane.process({"t": "a", "key": key}, source="plain")))


def test_only_the_rule_that_names_a_wheel_sees_its_modules(lane: Lane) -> None:
    files = {"alarm.py": CODE, WHEEL: wheel("rack "), "with.rule.json": rule("with", WHEEL)}
    deploy(lane, {**files, "without.rule.json": rule("without")})
    assert found(lane, "k") == [["with", "rack k"], ["without", "no library"]]


def test_a_rule_that_is_loaded_with_another_wheel_calls_that(lane: Lane) -> None:
    deploy(lane, {"alarm.py": CODE, WHEEL: wheel("old "), "with.rule.json": rule("with", WHEEL)})
    deploy(lane, {WHEEL: wheel("new "), "with.rule.json": rule("with", WHEEL)})
    assert found(lane, "k") == [["with", "new k"]]
    deploy(lane, {}, deletes=("with.rule.json",))
    assert found(lane, "k") == []


def test_a_udf_rule_has_its_libraries_too(lane: Lane) -> None:
    code = "from names import label\nfrom trimtab import emit\ndef process(event, ctx):\n    emit('out', [label(ctx.key)])\n"
    udf = {"id": "u", "rule_type": "udf", "function": "own.py:process", "source": "plain", "libs": [WHEEL]}
    lazily = code.replace("from names import label\n", "").replace("emit('out'", "from names import label; emit('out'")
    deploy(lane, {"own.py": lazily, WHEEL: wheel("rack "), "u.rule.json": udf})
    assert found(lane, "k") == [["rack k"]]


@pytest.mark.parametrize(
    ("libs", "files", "reason"),
    [
        (["_libs/nams-1.0-py3-none-any.whl"], {WHEEL: wheel("")}, "did you mean '_libs/names-1.0-py3-none-any.whl'?"),
        (["_libs/names.whl"], {"_libs/names.whl": wheel("")}, "a wheel of pure Python"),
        ([WHEEL], {WHEEL: b"no zip"}, "expected a wheel, which is a zip file"),
        (["alarm.py"], {}, "expected a library or a wheel"),
    ],
)
def test_what_is_no_library_is_refused(lane: Lane, libs: list[str], files: dict[str, bytes], reason: str) -> None:
    with pytest.raises(ChangeRefused) as refusal:
        deploy(lane, {"alarm.py": CODE, **files, "bad.rule.json": rule("bad", *libs)})
    assert reason in str(refusal.value)

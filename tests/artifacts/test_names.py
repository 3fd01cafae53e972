"""Rules on artifact names."""

from __future__ import annotations

import pytest

from trimtab.artifacts.names import (
    MAX_LENGTH,
    is_ignored,
    is_library,
    is_rule,
    is_script,
    kind_of,
    name_problem,
    nearest,
    order,
)


@pytest.mark.parametrize("name", ["_geo.js", ".hidden.py", "_lib/geo.js", "alarms/_geo.js", "alarms/.x/geo.js"])
def test_a_part_that_begins_with_an_underscore_or_a_dot_makes_a_library(name: str) -> None:
    assert is_library(name)


@pytest.mark.parametrize("name", ["geo.js", "alarms/geo_.js", "a_b/c.d.js"])
def test_other_names_are_handlers(name: str) -> None:
    assert not is_library(name)


@pytest.mark.parametrize(
    "name",
    [
        "geo.test.js",
        "a/geo.test.py",
        "trimtab.d.ts",
        "node_modules/left-pad/index.js",
        "a/node_modules/x.js",
        ".git/hooks/x.py",
        "__pycache__/x.py",
        ".venv/x.py",
        "..data/x.js",
        "a/..2024_01_01/x.js",
        "node_modules",
        "_overheat.rule.json",
        ".overheat.rule.json",
        "_old/overheat.rule.json",
        "alarms/.old/overheat.rule.json",
        "overheat.test.rule.json",
    ],
)
def test_tests_declarations_packages_caches_and_repositories_are_no_artifacts(name: str) -> None:
    assert is_ignored(name)


@pytest.mark.parametrize(
    "name", ["geo.js", "test.js", "contest.py", ".github/x.js", "a.d.tsx", "x..js", "_lib/a.js", "a_/b.rule.json"]
)
def test_names_that_only_look_like_those_are_artifacts(name: str) -> None:
    assert not is_ignored(name)


@pytest.mark.parametrize(
    "name", ["a.js", "übung/größe.py", "a b.js", "日本.js", "settings:a.rule.json", "x" * MAX_LENGTH]
)
def test_a_printable_path_is_a_good_name(name: str) -> None:
    assert name_problem(name) is None


@pytest.mark.parametrize(
    "name", ["a\nb.js", "a\x1b[31m.js", "\udcff.js", "", "/a.js", "../a.js", "a/./b.js", "a//b.js", "x" * 256]
)
def test_a_bad_name_is_refused_with_what_was_expected(name: str) -> None:
    problem = name_problem(name)
    assert problem is not None
    assert problem.startswith("expected a path name")
    assert problem.isprintable()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("overspeed.js", "script"),
        ("alarms/rule.py", "script"),
        ("_geo.js", "library"),
        ("_rules/geo.js", "library"),
        ("overheat.rule.json", "rule"),
        ("alarms/over heat.rule.json", "rule"),
        ("settings", "settings"),
        ("settings:fleet", "settings"),
        ("settings.rule.json", "rule"),
        ("settings:fleet.rule.json", "rule"),
        ("resources.sql.orders", "resource"),
        ("resources.sql.rule.json", "rule"),
        ("resources.js", "script"),
    ],
)
def test_the_name_tells_what_an_artifact_is(name: str, kind: str) -> None:
    assert kind_of(name) == kind
    assert (is_script(name), is_library(name), is_rule(name)) == (kind == "script", kind == "library", kind == "rule")


def test_handlers_run_in_the_order_of_their_path_names_without_libraries() -> None:
    assert order(["b.js", "a/z.py", "_lib.js", "a/b.js", "a/_x.js", "a.rule.json"]) == ["a/b.js", "a/z.py", "b.js"]


def test_the_nearest_name_is_suggested_only_if_it_is_near() -> None:
    assert nearest("overspead.js", ["overspeed.js", "geofence.js"]) == "overspeed.js"
    assert nearest("overspeed.js", ["x.py"]) is None

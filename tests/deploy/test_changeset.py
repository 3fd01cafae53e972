"""What a set of changed artifacts means for the running generation."""

from __future__ import annotations

from trimtab.deploy.changeset import effect_of, explain
from trimtab.engine.engine import LoadedScript
from trimtab.errors import ChangeRefused, Fault


def script(*libraries: str) -> LoadedScript:
    return LoadedScript("v", [], list(libraries))


LOADED = {"a.js": script("_geo.js"), "b.js": script(), "alarms/c.py": script("_lib/geo.py")}
ACTIVE = [*LOADED, "_geo.js", "_lib/geo.py"]


def test_a_changed_script_is_loaded_alone() -> None:
    effect = effect_of({"b.js": b"new"}, ACTIVE, LOADED)
    assert (effect.kinds, effect.reload) == ({"b.js": "changed"}, ["b.js"])


def test_a_changed_library_reloads_exactly_the_scripts_that_use_it() -> None:
    effect = effect_of({"_geo.js": b"new"}, ACTIVE, LOADED)
    assert (effect.kinds, effect.reload) == ({"_geo.js": "changed", "a.js": "reloaded"}, ["a.js"])


def test_a_deleted_library_reloads_its_scripts_so_that_they_can_refuse() -> None:
    effect = effect_of({"_geo.js": None}, ACTIVE, LOADED)
    assert (effect.kinds, effect.reload) == ({"_geo.js": "deleted", "a.js": "reloaded"}, ["a.js"])


def test_a_new_library_reloads_scripts_whose_library_it_may_stand_in_front_of() -> None:
    effect = effect_of({"alarms/_lib/geo.py": b"new"}, ACTIVE, LOADED)
    assert effect.reload == ["alarms/c.py"]


def test_added_and_deleted_scripts_and_settings() -> None:
    effect = effect_of({"d.py": b"new", "b.js": None, "settings": b"{}"}, ACTIVE, LOADED)
    assert effect.kinds == {"d.py": "added", "b.js": "deleted", "settings": "added"}
    assert effect.reload == ["d.py"]


def test_every_artifact_of_a_refused_change_set_says_why() -> None:
    fault = Fault("SyntaxError", "no", "_geo.js", 3, 1)
    faults = explain({"_geo.js": b"", "b.js": b""}, ChangeRefused({"a.js": fault}))
    assert faults["a.js"] is fault
    assert faults["_geo.js"] is fault
    assert "saved together with a.js" in faults["b.js"].message

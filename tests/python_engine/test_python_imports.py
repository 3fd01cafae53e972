"""Libraries, packages and ``trimtab`` as a Python script imports them."""

from __future__ import annotations

import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.python_engine.python_engine_kit import Kit, emitted
from trimtab.api import Script

GEO = "def inside(x): return x < 10"
EMIT = "from trimtab import emit\n"
HANDLE = "\ndef handle(event, ctx): emit('out', inside(event))\n"


@pytest.mark.parametrize(
    ("statement", "script", "library"),
    [
        ("import _geo; inside = _geo.inside", "a.py", "_geo.py"),
        ("from _geo import inside", "a.py", "_geo.py"),
        ("from _geo import *", "a.py", "_geo.py"),
        ("from _geo import inside", "alarms/a.py", "_geo.py"),
        ("from _geo import inside", "alarms/a.py", "alarms/_geo.py"),
        ("from _lib import geo; inside = geo.inside", "a.py", "_lib/geo.py"),
        ("import _lib.geo; inside = _lib.geo.inside", "a.py", "_lib/geo.py"),
        ("import _lib.geo as geo; inside = geo.inside", "a.py", "_lib/geo.py"),
        ("from _lib.deep.geo import inside", "alarms/a.py", "_lib/deep/geo.py"),
        ("from _lib import inside", "a.py", "_lib/__init__.py"),
        ("from . import _geo; inside = _geo.inside", "a.py", "_geo.py"),
        ("from ._geo import inside", "a.py", "_geo.py"),
        ("from ._geo import inside", "alarms/a.py", "alarms/_geo.py"),
        ("from .. import _geo; inside = _geo.inside", "alarms/a.py", "_geo.py"),
        ("from .._lib.geo import inside", "alarms/a.py", "_lib/geo.py"),
        ("from .._lib import geo; inside = geo.inside", "alarms/a.py", "_lib/geo.py"),
        ("from ..._lib.geo import inside", "alarms/fast/a.py", "_lib/geo.py"),
        ("from ..other._geo import inside", "alarms/a.py", "other/_geo.py"),
    ],
)
def test_a_library_is_found(kit: Kit, statement: str, script: str, library: str) -> None:
    instance = kit.load(EMIT + statement + HANDLE, script, **{library: GEO, "_other.py": ""})
    assert emitted(kit.run(instance, 5)) == [True]
    assert instance.libraries == {library}


def test_the_nearest_library_is_taken(kit: Kit) -> None:
    libraries = {"_geo.py": "def inside(x): return 'far'", "alarms/_geo.py": "def inside(x): return 'near'"}
    instance = kit.load(EMIT + "from _geo import inside" + HANDLE, "alarms/a.py", **libraries)
    assert emitted(kit.run(instance, 5)) == ["near"]
    assert instance.libraries == {"alarms/_geo.py"}


def test_libraries_of_libraries_belong_to_the_script(kit: Kit) -> None:
    libraries = {
        "_lib/__init__.py": "from .geo import inside",
        "_lib/geo.py": "from . import shape\nfrom .._base import limit\ndef inside(x): return x < limit + shape.extra",
        "_lib/shape.py": "extra = 1",
        "_base.py": "limit = 9",
        "_other.py": "",
    }
    instance = kit.load(EMIT + "from _lib import inside" + HANDLE, **libraries)
    assert emitted(kit.run(instance, 9, 10)) == [True, False]
    assert instance.libraries == libraries.keys() - {"_other.py"}


def test_a_library_is_loaded_once_an_instance_and_never_shared(kit: Kit) -> None:
    source = "import _seen, _more\nfrom trimtab import emit\ndef handle(event, ctx): emit('out', _seen.add(event))"
    libraries = {
        "_seen.py": "seen = []\ndef add(x):\n    seen.append(x)\n    return seen",
        "_more.py": "import _seen\n_seen.add('more')",
    }
    one, other = kit.load(source, **libraries), kit.load(source, **libraries)
    assert emitted(kit.run(one, 1)) == [["more", 1]]
    assert emitted(kit.run(other, 2)) == [["more", 2]]


def test_libraries_may_import_each_other_in_a_circle(kit: Kit) -> None:
    libraries = {
        "_lib/a.py": "from . import b\ndef name(): return 'a' + b.last()",
        "_lib/b.py": "from . import a\nimport _lib.a\ndef last(): return a.__name__[-1]",
    }
    source = "from _lib.a import name\nfrom trimtab import emit\ndef handle(event, ctx): emit('out', name())"
    assert kit.out(source, **libraries) == ["aa"]


def test_an_import_inside_of_a_handler_works_and_counts(kit: Kit) -> None:
    instance = kit.load(
        """
        from trimtab import emit
        def handle(event, ctx):
            from _geo import inside
            emit("out", inside(event))
        """,
        **{"_geo.py": "def inside(x):\n    import _limit\n    return x < _limit.limit", "_limit.py": "limit = 10"},
    )
    assert instance.libraries == {"_geo.py", "_limit.py"}
    assert emitted(kit.run(instance, 5, 15)) == [True, False]


@pytest.mark.parametrize(
    ("statement", "script", "message"),
    [
        ("from . import overspeed", "a.py", "got 'overspeed'"),
        ("from .overspeed import x", "alarms/a.py", "alarms has no library of that name"),
        ("from .. import _geo", "a.py", "which leads out of it; use fewer dots"),
        ("from ..._geo import x", "alarms/a.py", "which leads out of it; use fewer dots"),
        ("import _nothing", "a.py", "No module named '_nothing'"),
        ("import _lib.nothing", "a.py", "No module named '_lib.nothing'"),
        ("from _lib import nothing", "a.py", "cannot import name 'nothing'"),
        ("from trimtab import nothing", "a.py", "cannot import name 'nothing'"),
    ],
)
def test_an_import_that_finds_nothing_is_refused_with_its_line(
    kit: Kit, statement: str, script: str, message: str
) -> None:
    fault = kit.refusal("x = 1\n" + statement, script, **{"_lib/geo.py": ""})
    assert fault.name in {"ImportError", "ModuleNotFoundError"}
    assert message in fault.message
    assert (fault.file, fault.line) == (script, 2)


def test_a_mistake_in_a_library_is_named_there(kit: Kit) -> None:
    fault = kit.refusal("import _geo", **{"_geo.py": "x = 1\ny = x +\n"})
    assert (fault.name, fault.file, fault.line) == ("SyntaxError", "_geo.py", 2)
    fault = kit.refusal("import _geo", **{"_geo.py": "x = 1\ny = x / 0\n"})
    assert (fault.name, fault.file, fault.line, fault.column) == ("ZeroDivisionError", "_geo.py", 2, 5)


def test_a_library_that_failed_is_tried_again(kit: Kit) -> None:
    source = """
        from trimtab import emit
        def attempt():
            try:
                import _bad
            except ZeroDivisionError:
                return "failed"
        def handle(event, ctx): emit("out", [attempt(), attempt()])
    """
    assert kit.out(source, **{"_bad.py": "1 / 0"}) == [["failed", "failed"]]


# --- trimtab and installed packages ------------------------------------------------------------------------


def test_trimtab_can_be_imported_whole_and_with_its_modules(kit: Kit) -> None:
    source = """
        import trimtab, trimtab.errors, trimtab.durations as durations
        from trimtab import engine
        from trimtab.errors import Fault
        def handle(event, ctx):
            assert trimtab.errors.Fault is Fault and engine.__name__ == "trimtab.engine"
            trimtab.emit("out", [durations.parse_duration("2m"), trimtab.settings.get("max_speed")])
    """
    assert kit.out(source) == [[120.0, 100]]


def test_everything_can_be_imported_from_trimtab_with_a_star(kit: Kit) -> None:
    assert kit.out("from trimtab import *\n@handler\ndef on_event(event, ctx: Context): emit('out', 1)") == [1]


def test_a_library_gets_the_trimtab_of_its_script(kit: Kit) -> None:
    source = "from _out import send\ndef handle(event, ctx): send(event)"
    assert kit.out(source, 5, **{"_out.py": "from trimtab import emit\ndef send(x): emit('out', x)"}) == [5]


def test_installed_packages_are_shared_with_the_process(kit: Kit) -> None:
    source = """
        import json, os.path
        from trimtab import emit
        def handle(event, ctx): emit("out", [id(json), os.path.join("a", "b")])
    """
    assert kit.out(source) == [[id(json), "a/b"]]


# --- versions apart ----------------------------------------------------------------------------------------


def test_nothing_of_a_version_stays_in_sys_modules(kit: Kit) -> None:
    source = """
        from dataclasses import dataclass
        import sys, _lib.geo
        from trimtab import emit
        @dataclass
        class Point: x: "int"
        assert sys.modules[__name__].Point is Point
        def open(): assert __name__ in sys.modules
        def handle(event: Point, ctx): emit("out", __name__ in sys.modules)
        def close(): assert __name__ in sys.modules
    """
    kit.load("def handle(event, ctx): pass")  # what the engine itself imports is there from now on
    before = set(sys.modules)
    instance = kit.load(source, **{"_lib/geo.py": ""})
    instance.open()
    assert emitted(kit.run(instance, {"x": 1})) == [True]
    instance.close()
    kit.refusal("import _bad", **{"_bad.py": "1 / 0"})
    kit.refusal("while True: pass")
    assert set(sys.modules) == before


@given(st.lists(st.integers(0, 3), min_size=1, max_size=8), st.lists(st.integers(0, 7), max_size=20))
def test_versions_side_by_side_never_see_each_other(versions: list[int], calls: list[int]) -> None:
    kit = Kit()
    source = (
        "import _lib, sys\nfrom trimtab import emit\ncount = 0\n"
        "def handle(event, ctx):\n    global count\n    count += 1\n"
        "    alone = [name for name in sys.modules if '.py@' in name and not name.startswith(__name__)] == []\n"
        "    emit('out', [VERSION, _lib.version, count, len(_lib.seen), alone])\n    _lib.seen.append(event)\n"
    )
    instances = []
    for version in versions:
        script = Script.of("same.py", source.replace("VERSION", str(version)).encode())
        libraries = {"_lib.py": f"version = {version}\nseen = []".encode()}
        instances.append(kit.engine.load(script, libraries, kit.host))
    counts = [0] * len(versions)
    for call in calls:
        chosen = call % len(versions)
        counts[chosen] += 1
        version, count = versions[chosen], counts[chosen]
        assert emitted(kit.run(instances[chosen], {})) == [[version, version, count, count - 1, True]]


def test_builtins_of_a_script_are_its_own(kit: Kit) -> None:
    kit.out("__builtins__['len'] = None\n__builtins__['mine'] = 1\ndef handle(event, ctx): mine")
    assert kit.out("from trimtab import emit\ndef handle(event, ctx): emit('out', len('abc'))") == [3]

"""Keyed state: what events do to it, what of that counts, and the rows that it becomes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.keyed_kit import Keyed, stored, values
from trimtab.engine.batch import Batch, Events, SourceSpec
from trimtab.engine.run import HandlerRun, ScriptState
from trimtab.engine.state import TIMER, VERSION, StateRow, StateStore, Timer
from trimtab.engine.transaction import Transaction
from trimtab.errors import Fault

# --- any sequence of changes, beside a plain model ---------------------------------------------------------

NAMES = st.sampled_from("ab")
OPERATION = st.one_of(
    st.tuples(st.just("set"), NAMES, st.integers(-3, 3), st.none() | st.integers(1, 9)),
    st.tuples(st.just("incr"), NAMES, st.integers(-3, 3)),
    st.tuples(st.just("delete"), NAMES),
    st.tuples(st.just("timer"), NAMES, st.integers(0, 40), st.sampled_from(["event", "processing"])),
    st.tuples(st.just("cancel"), NAMES),
)


@dataclass
class Step:
    """One event."""

    key: str
    operations: list[Any]
    fails: bool


BATCH = st.tuples(
    st.integers(0, 6),  # ms that pass before it
    st.lists(st.builds(Step, st.sampled_from("xy"), st.lists(OPERATION, max_size=4), st.booleans()), max_size=4),
    st.integers(0, 40),  # the watermark
)


@dataclass
class Model:
    """What the state of one script should be: plain dicts, copied before each event."""

    now: int = 0
    keys: dict[str, dict[str, tuple[int, int | None]]] = field(default_factory=dict)
    timers: dict[str, dict[str, tuple[int, str]]] = field(default_factory=dict)

    def expire(self) -> None:
        for key, named in self.keys.items():
            self.keys[key] = {n: (v, at) for n, (v, at) in named.items() if at is None or at > self.now}

    def apply(self, step: Step) -> list[Any]:
        named, timers = dict(self.keys.get(step.key, {})), dict(self.timers.get(step.key, {}))
        answers = [self._answer(operation, named, timers) for operation in step.operations]
        if not step.fails:
            self.keys[step.key], self.timers[step.key] = named, timers
        return answers

    def _answer(self, operation: Any, named: dict[str, Any], timers: dict[str, Any]) -> Any:
        kind, name, *rest = operation
        if kind == "set":
            named[name] = (rest[0], None if rest[1] is None else self.now + rest[1])
        elif kind == "incr":
            old, expires = named.get(name, (0, None))
            named[name] = (old + rest[0], expires)
            return old + rest[0]
        elif kind == "delete":
            return named.pop(name, None) is not None
        elif kind == "timer":
            timers[name] = tuple(rest)
        else:
            return timers.pop(name, None) is not None
        return None

    def fire(self, watermark: int) -> list[tuple[str, str, int]]:
        """Take the timers that are due."""
        due = [
            (key, name, at)
            for key, named in self.timers.items()
            for name, (at, time) in named.items()
            if at <= (watermark if time == "event" else self.now)
        ]
        for key, name, _at in due:
            del self.timers[key][name]
        return sorted(due)


def done_to(transaction: Transaction, operation: Any) -> Any:
    kind, name, *rest = operation
    if kind == "set":
        return transaction.set(name, *rest)
    if kind == "incr":
        return transaction.incr(name, *rest)
    if kind == "delete":
        return transaction.delete(name)
    if kind == "timer":
        return transaction.set_timer(name, Timer(rest[0], rest[1], "gps"))
    return transaction.cancel_timer(name)


def run_of(store: StateStore, keys: list[str]) -> HandlerRun:
    data = b"\n".join(msgspec.json.encode({"key": key}) for key in keys)
    batch = Batch(id=1, generation=1, source="gps", data=data, count=len(keys), arrival=0)
    return HandlerRun(frozenset(), Events(batch, SourceSpec(key="key"), decoded=True), ScriptState(store, "s", b'"v"'))


def plain(store: StateStore) -> tuple[dict[str, Any], dict[str, Any]]:
    """The values and timers of a store, as the model has them."""
    keys: dict[str, Any] = {}
    timers: dict[str, Any] = {}
    for key, named in stored(store).get("s", {}).items():
        for name, (text, expires) in named.items():
            value = msgspec.json.decode(text)
            if name.startswith(TIMER):
                timers.setdefault(msgspec.json.decode(key), {})[name.removeprefix(TIMER)] = (value["at"], value["time"])
            elif name != VERSION:
                keys.setdefault(msgspec.json.decode(key), {})[name] = (value, expires)
    return keys, timers


def without_empty(named: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in named.items() if value}


@given(st.lists(BATCH, max_size=12))
def test_state_is_what_a_plain_model_says_and_so_are_its_rows(batches: list[Any]) -> None:
    store, mirror, model = StateStore(), StateStore(), Model()
    watermark = 0
    for passed, steps, mark in batches:
        store.now = model.now = model.now + passed
        watermark = max(watermark, mark)
        mirror.load(store.take_expired())
        model.expire()
        run = run_of(store, [step.key for step in steps]) if steps else None
        for index, step in enumerate(steps):
            assert run is not None
            run.index = index
            answers = [done_to(run.transaction(), operation) for operation in step.operations]
            assert answers == model.apply(step)
            if step.fails:
                run.fail(index, Fault("Error", ""))
        if run is not None:
            mirror.load(run.changes())
        due = store.take_due({"gps": watermark})
        assert [timer.timer.at for timer in due] == sorted(timer.timer.at for timer in due)
        assert sorted((msgspec.json.decode(t.key), t.name, t.timer.at) for t in due) == model.fire(watermark)
        for timer in due:
            assert store.holds(timer)
            mirror.load(
                store.drop(timer.script, timer.key, timer.name if timer.name == VERSION else TIMER + timer.name)
            )
        assert plain(store) == (without_empty(model.keys), without_empty(model.timers))
        assert stored(mirror) == stored(store)
        assert {VERSION} not in [named.keys() for named in stored(store).get("s", {}).values()]
        expiries = [at for named in model.keys.values() for _value, at in named.values() if at is not None]
        timers = [at for named in model.timers.values() for at, time in named.values() if time == "processing"]
        next_due = store.next_due()
        assert next_due is None if not expiries + timers and next_due is None else next_due is not None
        assert next_due is None or next_due <= min(expiries + timers, default=next_due)


# --- one key -----------------------------------------------------------------------------------------------


@pytest.fixture
def store() -> StateStore:
    store = StateStore(most=20)
    store.now = 1000
    return store


@pytest.fixture
def event(store: StateStore) -> Transaction:
    return Transaction(store, "s", b'"v1"', "1")


def test_a_value_is_a_copy(event: Transaction) -> None:
    value = [1]
    event.set("a", value)
    value.append(2)
    event.get("a").append(3)
    event.items()["a"].append(4)
    assert event.get("a") == [1]


def test_a_value_is_gone_after_its_time_and_a_sum_keeps_it(store: StateStore, event: Transaction) -> None:
    event.set("a", 1, ttl=100)
    assert event.incr("a", 2) == 3
    event.set("b", 1)
    store.now = 1099
    assert event.items() == {"a": 3, "b": 1}
    store.now = 1100
    assert (event.get("a"), event.items(), event.delete("a")) == (None, {"b": 1}, False)
    assert event.incr("a", 5) == 5, "it begins anew"
    assert list(store.take_expired()) == [], "and does not expire with the old one"


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("a", object(), TypeError, "expected a value that JSON can hold for 'a'"),
        ("a", "\ud800", TypeError, "expected a value that JSON can hold for 'a'"),
        ("a", "x" * 19, ValueError, "expected at most 20 bytes of JSON for 'a', got 21; .* raise sandbox.state_value"),
        ("", 1, TypeError, "expected a name, as text that is not empty, got ''"),
        (5, 1, TypeError, "expected a name, as text that is not empty, got 5"),
        ("\0version", 1, TypeError, "expected a name"),
    ],
)
def test_what_cannot_be_stored_is_refused_and_changes_nothing(
    store: StateStore, event: Transaction, name: Any, value: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        event.set(name, value)
    assert list(event.rows()) == []
    assert stored(store) == {}


@pytest.mark.parametrize("value", ["text", True, None, [1]])
def test_only_numbers_are_summed(event: Transaction, value: Any) -> None:
    event.set("a", value)
    with pytest.raises(TypeError, match=r"state.incr expected a number in 'a', got .*; set it first"):
        event.incr("a", 1)
    assert event.get("a") == value


def test_a_key_that_has_nothing_left_leaves_nothing_behind(store: StateStore, event: Transaction) -> None:
    assert event.get("a") is None
    assert stored(store) == {}, "reading makes nothing"
    event.set("a", 1)
    assert [row.name for row in event.rows()] == [VERSION, "a"]
    other = Transaction(store, "s", b'"v1"', "1")
    assert other.delete("a")
    assert StateRow("s", "1", VERSION, None) in list(other.rows())
    assert stored(store) == {}


def test_state_that_is_cleared_takes_what_is_under_way_with_it(store: StateStore, event: Transaction) -> None:
    event.set("a", 1)
    assert store.clear("s")
    assert not store.clear("s")
    event.set("b", 1)
    assert list(event.rows()) == []
    event.undo()
    assert stored(store) == {}


def test_a_value_that_is_set_again_and_again_is_looked_at_once(store: StateStore) -> None:
    for now in range(1000, 6000):
        store.now = now
        event = Transaction(store, "s", b'"v1"', "1")
        event.set("a", now, ttl=10_000)
        store.most = 100
        event.set_timer("idle", Timer(now + 10_000, "processing", "gps"))
        event.set_timer(f"once {now}", Timer(now + 10_000, "processing", "gps"))
        event.cancel_timer(f"once {now}")
        list(event.rows())
    assert len(store._timers._heap) + len(store._expiring._heap) < 2000
    store.now = 15_998
    assert (list(store.take_expired()), store.take_due({})) == ([], [])
    store.now = 15_999
    assert [row.name for row in store.take_expired()] == ["a"]
    assert [timer.name for timer in store.take_due({})] == ["idle"]


# --- in scripts --------------------------------------------------------------------------------------------

COUNTERS = {
    "a.py": """
from trimtab import emit, state
def handle(event, ctx):
    for name in event.get("delete", []): emit("out", state.delete(name))
    for name, value in event.get("set", {}).items(): state.set(name, value, ttl=event.get("ttl"))
    emit("out", [state.incr("n"), state.get("other", "none"), state.items()])
    if event.get("fail"): raise ValueError("no")
""",
    "a.js": """
import { emit, state } from "trimtab";
export function handle(event, ctx) {
  for (const name of event.delete ?? []) emit("out", state.delete(name));
  for (const [name, value] of Object.entries(event.set ?? {})) state.set(name, value, event.ttl ? { ttl: event.ttl } : {});
  emit("out", [state.incr("n"), state.get("other", "none"), state.items()]);
  if (event.fail) throw new Error("no");
}
""",
}
ASYNC = {
    "a.py": COUNTERS["a.py"].replace("def handle(event, ctx):", "async def handle(event, ctx):"),
    "a.js": COUNTERS["a.js"].replace("export function", "export async function"),
}
BOTH = [(name, text) for scripts in (COUNTERS, ASYNC) for name, text in scripts.items()]
IDS = ["python", "javascript", "async python", "async javascript"]


@pytest.mark.parametrize(("name", "text"), BOTH, ids=IDS)
def test_state_is_kept_per_key(keyed: Keyed, name: str, text: str) -> None:
    keyed.deploy_files({name: text})
    assert keyed.out({"key": 1}, {"key": 2}, {"key": 1}, {}) == [
        [1, "none", {"n": 1}],
        [1, "none", {"n": 1}],
        [2, "none", {"n": 2}],
        [1, "none", {"n": 1}],
    ]
    assert keyed.out({"key": 2, "set": {"other": {"x": [1]}}}) == [[2, {"x": [1]}, {"n": 2, "other": {"x": [1]}}]]
    assert keyed.out({"key": 2, "delete": ["n", "gone"]}) == [
        True,
        False,
        [1, {"x": [1]}, {"n": 1, "other": {"x": [1]}}],
    ]
    assert sorted(stored(keyed.store)[name]) == ["1", "2", "null"]


@pytest.mark.parametrize(("name", "text"), BOTH, ids=IDS)
def test_a_failed_event_changes_nothing(keyed: Keyed, name: str, text: str) -> None:
    keyed.deploy_files({name: text})
    result = keyed.process({"key": 1}, {"key": 1, "fail": True, "set": {"other": 1}}, {"key": 1})
    assert values(result) == [[1, "none", {"n": 1}], [2, "none", {"n": 2}]]
    assert [failed.position for failed in result.failed] != []
    assert keyed.out({"key": 1}) == [[3, "none", {"n": 3}]]
    keyed.process({"key": "new", "fail": True})
    assert list(stored(keyed.store)[name]) == ["1"]


@pytest.mark.parametrize(("name", "text"), BOTH, ids=IDS)
def test_a_value_with_a_time_to_live_expires(keyed: Keyed, name: str, text: str) -> None:
    keyed.deploy_files({name: text})
    keyed.out({"key": 1, "set": {"other": 1}, "ttl": "1s"}, now=5000)
    assert keyed.process(now=5500).next_due == 6000
    assert keyed.out({"key": 1}, now=5999) == [[2, 1, {"other": 1, "n": 2}]]
    result = keyed.process(now=6000)
    assert [(row.name, row.value) for row in result.changes] == [("other", None)]
    assert keyed.out({"key": 1}) == [[3, "none", {"n": 3}]]


@pytest.mark.parametrize(("name", "text"), BOTH[:2], ids=IDS[:2])
def test_scripts_do_not_see_the_state_of_others(keyed: Keyed, name: str, text: str) -> None:
    keyed.deploy_files({name: text, f"b/{name}": text})
    assert [row[0] for row in keyed.out({"key": 1})] == [1, 1]


@pytest.mark.parametrize(
    "text", ["from trimtab import state\nstate.get('a')\n", "from trimtab import state\ndef open(): state.get('a')\n"]
)
def test_state_outside_of_a_handler_says_where_it_belongs(keyed: Keyed, text: str) -> None:
    with pytest.raises(Exception, match="call it in the handler"):
        keyed.deploy(a__py=text + "def handle(event, ctx): pass\n")

"""Script objects in JavaScript: what bindings are and hand out, what goes in and comes out, and how long it lasts."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from time import sleep
from typing import Any, ClassVar

import msgspec
import pytest

from trimtab.api import Binding, CallError, Pages, Scope, Script, ScriptHost, ScriptObject
from trimtab.errors import ChangeRefused
from trimtab.plugin_manager import Plugins
from trimtab.testing import Handled, ScriptRunner, TestingPlugin

HEAD = 'import { emit, shop } from "trimtab";\n'


class Order(ScriptObject):
    """Made anew by each call."""

    methods = frozenset({"item_count"})
    fields = ("number", "shipping_address")

    def __init__(self, number: int) -> None:
        self.number = number
        self.shipping_address = {"city": "Ulm", "label": b"\x00\xff\x80ab"}
        self.secret = "hidden"

    def item_count(self) -> int:
        return self.number * 2


class Basket(Scope):
    methods = frozenset({"put", "hang"})

    def __init__(self, events: list[str], result: Any, *, broken: bool, slow: bool) -> None:
        self._events = events
        self._result = result
        self._broken = broken
        self._slow = slow

    def put(self, item: str) -> int:
        self._events.append(f"put {item}")
        return len(item)

    def hang(self) -> None:
        hang()

    def commit(self) -> Any:
        self._events.append("commit")
        if self._slow:
            hang()
        if self._broken:
            raise CallError("SqlError", "cannot commit", code="40001", retryable=True)
        return self._result

    def rollback(self) -> None:
        self._events.append("rollback")
        if self._broken:
            raise RuntimeError("cannot roll back")


class Listing(Pages):
    def __init__(self, events: list[str], pages: list[list[Any]]) -> None:
        self._events = events
        self._pages = pages

    def next_page(self) -> list[Any]:
        self._events.append("page")
        page = self._pages.pop(0) if self._pages else []
        if page == ["broken"]:
            raise CallError("SqlError", "lost")
        return page

    def close(self) -> None:
        self._events.append("close")


class Shelf(ScriptObject):
    """Has any method, beside one of its own."""

    methods = frozenset({"own_one"})
    any_method = True

    def own_one(self) -> str:
        return "own"

    def call_any(self, name: str, *arguments: Any, **options: Any) -> Any:
        return [name, *arguments, options]


@dataclass(eq=False)
class Shop(ScriptObject):
    """Keeps what it was told, and a list of what happened."""

    methods = frozenset(
        {
            "__call__",
            "order",
            "listing",
            "find",
            "show",
            "tell",
            "keep",
            "kept",
            "returned",
            "hang",
            "fail",
            "bug",
            "nest",
        }
    )
    scopes: ClassVar[Mapping[str, str]] = {"transaction": "begin"}
    events: list[str] = field(default_factory=list)
    told: list[Any] = field(default_factory=list)
    result: Any = None
    """What some method returns."""
    pages: list[list[Any]] = field(default_factory=list)
    broken: bool = False
    """Scopes can neither be committed nor rolled back."""
    slow: bool = False
    """Nor do they end by themselves when they are committed."""
    shelf: Shelf = field(default_factory=Shelf)

    def __call__(self, name: str) -> ScriptObject:
        return self.shelf

    def order(self, number: int) -> Order:
        return Order(number)

    def listing(self) -> Listing:
        return Listing(self.events, [list(page) for page in self.pages])

    def begin(self, *, read_only: bool = False, result: Any = None) -> Basket:
        self.events.append(f"begin {read_only}")
        return Basket(self.events, result, broken=self.broken, slow=self.slow)

    def find(self, filter: Any, skip: int = 0, *, sort: Any = None, most_rows: int = 10) -> list[Any]:  # noqa: A002
        return [filter, skip, sort, most_rows]

    def show(self, *values: Any) -> list[Any]:
        return list(values)

    def tell(self, *values: Any) -> None:
        self.told.extend(values)

    def keep(self) -> Order:
        order = self.result = Order(5)
        return order

    def kept(self) -> Any:
        return self.result

    def returned(self) -> Any:
        return self.result

    def hang(self) -> None:
        hang()

    def fail(self, code: Any, retryable: bool) -> None:
        raise CallError("SqlError", "no such table \ud800\0", code=code, retryable=retryable)

    def bug(self) -> None:
        raise ZeroDivisionError("a bug")

    def nest(self, depth: int) -> Any:
        value: Any = []
        for _ in range(depth):
            value = [value]
        return value

    def hidden(self) -> str:
        return "hidden"


class ShopBinding(Binding):
    name = "shop"

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.confined: list[bool | None] = []

    def bind(self, script: Script, host: ScriptHost) -> Shop:
        self.confined.append(host.confined)
        return self.shop


def hang() -> None:
    while True:
        sleep(0.001)


@dataclass
class Lab:
    shop: Shop
    binding: ShopBinding
    runner: ScriptRunner

    def run(self, body: str, *events: Any, head: str = "") -> Handled:
        """Load a script with this body of ``handle(e)``, and hand it events (one, if none is given)."""
        self.load(f"{head}\nexport function handle(e) {{ {body}\n }}")
        return self.runner.handle(*(events or (1,)))

    def load(self, source: str) -> None:
        self.runner.load(script__js=HEAD + source)

    def emitted(self, body: str, *events: Any, head: str = "") -> list[Any]:
        handled = self.run(body, *events, head=head)
        assert handled.faults == []
        return handled.emitted

    def error(self, body: str) -> str:
        """Return the only fault, as ``Name: message``."""
        (fault,) = self.run(body).faults
        return f"{fault.name}: {fault.message}"


@pytest.fixture
def lab() -> Iterator[Lab]:
    shop = Shop()
    binding = ShopBinding(shop)
    plugins = Plugins.load([("test", TestingPlugin(bindings=[binding]))])
    with ScriptRunner(plugins=plugins) as runner:
        yield Lab(shop, binding, runner)


# --- what scripts can reach ---


def test_methods_and_fields_are_there_in_camel_case(lab: Lab) -> None:
    assert lab.emitted("const o = shop.order(4); emit('out', [o.number, o.shippingAddress.city, o.itemCount()]);") == [
        [4, "Ulm", 8]
    ]


def test_nothing_but_methods_and_fields_is_there(lab: Lab) -> None:
    names = lab.emitted("emit('out', Reflect.ownKeys(shop.order(4)).sort()); emit('out', [typeof shop.hidden]);")
    assert names == [["itemCount", "number", "shippingAddress"], ["undefined"]]


def test_objects_are_frozen(lab: Lab) -> None:
    script = "for (const o of [shop, shop.order(1), shop('x')]) emit('out', Object.isFrozen(o));"
    assert lab.emitted(script) == [True, True, True]


def test_an_object_that_can_be_called_is_a_function_with_methods(lab: Lab) -> None:
    assert lab.emitted("emit('out', [typeof shop, typeof shop.find, shop('a') === shop('b')]);") == [
        ["function", "function", True]
    ]


def test_bindings_can_be_required(lab: Lab) -> None:
    lab.runner.load(
        script__js="const { emit, shop } = require('trimtab'); function handle() { emit('out', shop.show(1)); }"
    )
    assert lab.runner.handle(1).emitted == [[1]]


def test_methods_work_without_their_object(lab: Lab) -> None:
    assert lab.emitted("const { itemCount } = shop.order(2); emit('out', itemCount());") == [4]


def test_any_name_is_a_method_where_python_says_so(lab: Lab) -> None:
    script = """
        const shelf = shop("x");
        emit("out", [shelf.ownOne(), shelf.hGetAll("k", { limit: 1 }), shelf.get === shelf.get]);
        emit("out", shelf["a b\\n\\ud800"]());
    """
    assert lab.emitted(script) == [["own", ["hGetAll", "k", {"limit": 1}, {}], True], ["a b\n\ufffd", {}]]


def test_the_language_finds_no_methods_of_its_own_on_such_an_object(lab: Lab) -> None:
    script = """
        const shelf = shop("x");
        console.log(shelf, `${shelf}`);
        const same = (await shelf) === shelf;
        emit("out", [same, JSON.stringify(shelf), shelf[Symbol.iterator] === undefined, shelf.__call__ === undefined]);
    """
    lab.load(f"export async function handle() {{ {script} }}")
    assert lab.runner.handle(1).emitted == [[True, "{}", True, True]]
    assert [entry.message for entry in lab.runner.logged] == ["{} [object Object]"]


# --- arguments ---


@pytest.mark.parametrize(
    ("call", "result"),
    [
        ("shop.find({ a: 1 })", [{"a": 1}, 0, None, 10]),
        ("shop.find({ a: 1 }, 5)", [{"a": 1}, 5, None, 10]),
        ("shop.find({}, 5, { sort: { b: 1 }, mostRows: 3 })", [{}, 5, {"b": 1}, 3]),
        ("shop.find({}, 5, { most_rows: 3, sort: undefined })", [{}, 5, None, 3]),
        ("shop.find(1, 2, null)", [1, 2, None, 10]),
        ("shop.find(1, 2, undefined, undefined)", [1, 2, None, 10]),
        ("shop.show(1, undefined, { a: undefined }, undefined)", [1, None, {"a": None}]),
        ("shop.show(null, true, 'x', 1.5, [[]])", [None, True, "x", 1.5, [[]]]),
    ],
)
def test_keyword_only_parameters_come_in_one_object_at_the_end(lab: Lab, call: str, result: Any) -> None:
    assert lab.emitted(f"emit('out', {call});") == [result]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("shop.find()", "find: expected 1 to 3 arguments (filter, skip, options), got 0"),
        ("shop.find(1, 2, {}, 4)", "find: expected 1 to 3 arguments (filter, skip, options), got 4"),
        ("shop.order()", "order: expected 1 argument (number), got 0"),
        ("shop(1, 2)", "the call: expected 1 argument (name), got 2"),
        ("shop.bug(1)", "bug: expected no arguments, got 1"),
        ("shop.find(1, 2, { mostRow: 1 })", "find: expected options among sort, mostRows, got 'mostRow'; did you mean 'mostRows'?"),
        ("shop.find(1, 2, { '': 1 })", "find: expected options among sort, mostRows, got ''"),
        ("shop.find(1, 2, [])", "find: expected an object with options (sort, mostRows) as argument 3, got list"),
        ("shop.show(1, () => 2)", "show: expected plain values, got a function as argument 2"),
        ("shop.show(shop)", "show: expected plain values, got an object of a binding; pass what you have read from it"),
        ("shop.show([shop('x')])", "show: expected plain values, got an object of a binding; pass what you have read from it"),
        ("shop.transaction(5)", "transaction: expected a function as argument 1, got number"),
        ("shop.transaction(() => 1, { readonly: true })", "transaction: expected options among readOnly, result, got 'readonly'; did you mean 'readOnly'?"),
    ],
)  # fmt: skip
def test_arguments_that_do_not_fit_are_refused(lab: Lab, call: str, error: str) -> None:
    assert lab.error(call) == f"TypeError: {error}"


# --- values ---


def test_values_that_json_lacks_arrive_in_python(lab: Lab) -> None:
    lab.emitted("""
        shop.tell(new Date(1700000000123), new Date(-1), new Date(NaN), 2n ** 70n, -1n, new Uint8Array([0, 255, 128, 7, 9]));
        shop.tell(new Uint8Array([1, 2, 3, 4]).buffer, new Uint8Array(), { toJSON: () => ({ at: "now" }) });
        shop.tell({ deep: [new Date(0), { n: 5n, bytes: new Uint8Array([1]).subarray(0, 1) }] });
    """)
    assert lab.shop.told == [
        datetime(2023, 11, 14, 22, 13, 20, 123000, tzinfo=UTC), datetime(1969, 12, 31, 23, 59, 59, 999000, tzinfo=UTC),
        None, 2**70, -1, b"\x00\xff\x80\x07\x09",
        b"\x01\x02\x03\x04", b"", {"at": "now"},
        {"deep": [datetime(1970, 1, 1, tzinfo=UTC), {"n": 5, "bytes": b"\x01"}]},
    ]  # fmt: skip


def test_a_date_that_python_lacks_is_refused(lab: Lab) -> None:
    message = "expected a date between the years 1 and 9999, got 8.64e+15 ms since 1970"
    assert lab.error("shop.tell(new Date(8.64e15))") == f"ValueError: {message}"


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        (datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC), "2024-01-02T03:04:05Z"),
        (datetime(2024, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2))), "2024-01-02T03:04:05+02:00"),
        (datetime(2024, 1, 2), "2024-01-02T00:00:00"),  # noqa: DTZ001 - as databases give them
        (date(2024, 1, 2), "2024-01-02"),
        (time(3, 4, 5), "03:04:05"),
        (Decimal("1.10"), "1.10"),
        (2**53, 2**53),
        (2**53 + 1, "9007199254740993"),
        (-(2**70), "-1180591620717411303424"),
        ([float("nan"), float("inf")], [None, None]),
        ((1, (2,)), [1, [2]]),
        ({1: {None: 2**60}, b"k": 3, date(2024, 1, 2): 4, Text("s"): Text("t")},
         {"1": {"None": str(2**60)}, "k": 3, "2024-01-02": 4, "s": "t"}),
        ("nul \0, half \ud800, pair \ud83d\ude00", "nul \0, half \ufffd, pair \U0001f600"),
        ({"__proto__": {"x": [1]}}, {"__proto__": {"x": [1]}}),
    ],
)  # fmt: skip
def test_values_of_python_arrive_as_json_has_them(lab: Lab, value: Any, seen: Any) -> None:
    lab.shop.result = value
    assert lab.emitted("emit('out', shop.returned());") == [seen]


def test_bytes_arrive_as_uint8_arrays_wherever_they_are(lab: Lab) -> None:
    every = bytes(range(256))
    lab.shop.result = [every, {"a": [b"", bytearray(b"abcde"), {"b": memoryview(b"abcd")}], "__proto__": b"p"}]
    (seen,) = lab.emitted("""
        const [every, { a, ["__proto__"]: p }] = shop.returned();
        const all = [every, ...a.slice(0, 2), a[2].b, p];
        emit("out", [all.every((b) => b instanceof Uint8Array && b.buffer.byteLength === b.length), all.map((b) => [...b])]);
    """)
    assert seen == [True, [list(every), [], list(b"abcde"), list(b"abcd"), list(b"p")]]
    assert lab.emitted("emit('out', [...shop.order(1).shippingAddress.label]);") == [[0, 255, 128, 97, 98]]


def test_bytes_come_back_as_they_went(lab: Lab) -> None:
    lab.shop.result = bytes(range(256)) * 1000
    lab.emitted("shop.tell(shop.returned())")
    assert lab.shop.told == [lab.shop.result]


def test_odd_text_goes_in(lab: Lab) -> None:
    lab.emitted("shop.tell('nul \\0', { '\\ud800': ['\\udc00'] }, '\\u{1f600}', '\\\\ud800', 'line\\nline')")
    assert lab.shop.told == ["nul \0", {"\ufffd": ["\ufffd"]}, "\U0001f600", "\\ud800", "line\nline"]


def test_values_of_other_kinds_are_refused(lab: Lab) -> None:
    lab.shop.result = [object()]
    assert lab.error("shop.returned()").startswith("TypeError: ")
    lab.shop.result = [Order(1)]
    assert lab.error("shop.returned()").startswith("TypeError: ")


@pytest.mark.parametrize("depth", [1000, 100_000])
def test_values_that_nest_too_deep_are_errors(lab: Lab, depth: int) -> None:
    lab.load(f"""
        function nested() {{ let value = []; for (let i = 0; i < {depth}; i++) value = [value]; return value; }}
        function caught(work) {{ try {{ work(); return null; }} catch (error) {{ return error instanceof Error; }} }}
        export function handle() {{
          emit("out", [caught(() => shop.tell(nested())), caught(() => shop.nest({depth}))]);
        }}
    """)
    assert lab.runner.handle(1, 2).emitted == [[True, True]] * 2


def test_a_value_that_contains_itself_is_refused(lab: Lab) -> None:
    assert lab.error("const loop = {}; loop.loop = loop; shop.tell(loop);").startswith("TypeError: ")


# --- errors ---


@pytest.mark.parametrize(("code", "retryable"), [("42P01", False), (11000, True), (None, False)])
def test_an_error_of_a_call_has_name_message_code_and_retryable(lab: Lab, code: Any, retryable: bool) -> None:
    (seen,) = lab.emitted(f"""
        try {{ shop.fail({msgspec.json.encode(code).decode()}, {str(retryable).lower()}); }}
        catch (e) {{ emit("out", [e instanceof Error, e.name, e.message, e.code ?? null, e.retryable, `${{e}}`]); }}
    """)
    message = "no such table \ufffd\0"
    assert seen == [True, "SqlError", message, code, retryable, f"SqlError: {message}"]


def test_an_error_of_a_call_that_nobody_catches_is_a_fault_at_the_scripts_line(lab: Lab) -> None:
    (fault,) = lab.run("\n  shop.fail('42P01', false);").faults
    assert (fault.name, fault.file, fault.line) == ("SqlError", "script.js", 4)


def test_a_bug_of_a_binding_is_an_error_too(lab: Lab) -> None:
    handled = lab.run("if (e) shop.bug(); else emit('out', e);", 1, 0)
    assert [fault.name for fault in handled.faults] == ["ZeroDivisionError"]
    assert handled.emitted == [0]


# --- scopes ---


def test_a_scope_is_committed_when_its_function_returns(lab: Lab) -> None:
    assert lab.emitted("emit('out', shop.transaction((t) => t.put('ab'), { readOnly: true }));") == [2]
    assert lab.shop.events == ["begin True", "put ab", "commit"]


def test_what_commit_returns_is_the_result(lab: Lab) -> None:
    script = "emit('out', [shop.transaction(() => 1, { result: 0 }), shop.transaction(() => 1, { result: null })]);"
    assert lab.emitted(script) == [[0, 1]]


def test_a_scope_is_rolled_back_when_its_function_throws(lab: Lab) -> None:
    (fault,) = lab.run("shop.transaction((t) => { t.put('x');\n null.x; });").faults
    assert (fault.name, fault.line) == ("TypeError", 4)
    assert lab.shop.events == ["begin False", "put x", "rollback"]


def test_a_scope_that_cannot_be_committed_is_an_error(lab: Lab) -> None:
    lab.shop.broken = True
    assert lab.error("shop.transaction(() => 1)") == "SqlError: cannot commit"
    assert lab.shop.events == ["begin False", "commit"]


def test_a_scope_that_cannot_be_rolled_back_is_logged_and_the_first_error_counts(lab: Lab) -> None:
    lab.shop.broken = True
    assert lab.error("shop.transaction(() => { throw new Error('first'); })") == "Error: first"
    assert [entry.message for entry in lab.runner.logged] == ["a scope or pages could not be ended: cannot roll back"]


def test_a_scope_lasts_until_the_promise_of_its_function_settles(lab: Lab) -> None:
    script = """
        export async function handle(e) {
          const result = shop.transaction(async (t) => { await null; t.put("x"); if (e) throw new Error("no"); return 7; });
          const isPromise = result instanceof Promise;
          emit("out", [isPromise, await result.catch(({ message }) => message)]);
        }
    """
    lab.load(script)
    assert lab.runner.handle(0, 1).emitted == [[True, 7], [True, "no"]]
    assert lab.shop.events == ["begin False", "put x", "commit", "begin False", "put x", "rollback"]


def test_a_scope_is_of_no_use_after_its_function(lab: Lab) -> None:
    message = "expected an object that is in use, but this one was closed when its event was done, or the function"
    assert lab.error("let kept; shop.transaction((t) => { kept = t; }); kept.put('x');").startswith(
        f"ReferenceError: put: {message}"
    )
    assert lab.shop.events == ["begin False", "commit"]


@pytest.mark.parametrize("head", ["", "async "])
def test_a_scope_that_the_time_limit_cuts_off_is_rolled_back_before_the_next_event(lab: Lab, head: str) -> None:
    lab.load(f"""
        export const timeout = "80ms";
        export {head}function handle(e) {{
          shop.tell(shop.transaction((t) => {{ if (e === 1) try {{ t.hang(); }} catch {{}} return t.put(e); }}));
        }}
    """)
    handled = lab.runner.handle("a", 1, "b")
    assert [fault.name for fault in handled.faults] == ["TimeLimitExceeded"]
    begin = "begin False"
    assert lab.shop.events == [begin, "put a", "commit", begin, "rollback", begin, "put b", "commit"]


def test_a_scope_whose_commit_the_time_limit_cuts_off_is_rolled_back(lab: Lab) -> None:
    lab.shop.slow = True
    lab.load('export const timeout = "60ms"; export function handle() { shop.transaction(() => 1); }')
    assert [fault.name for fault in lab.runner.handle(1).faults] == ["TimeLimitExceeded"]
    assert lab.shop.events == ["begin False", "commit", "rollback"]


def test_a_scope_whose_promise_never_settles_is_rolled_back_with_its_event(lab: Lab) -> None:
    lab.load("""
        export async function handle(e) {
          await shop.transaction((t) => { t.put(`${e}`); return e === 1 ? new Promise(() => {}) : 0; });
        }
    """)
    assert len(lab.runner.handle(1, 2).faults) == 1
    assert lab.shop.events == ["begin False", "put 1", "begin False", "put 2", "commit", "rollback"]


def test_a_scope_that_nobody_waits_for_is_rolled_back_with_its_event(lab: Lab) -> None:
    lab.run("if (e < 3) shop.transaction(async (t) => { await null; t.put('x'); });", 1, 2, 3)
    assert lab.shop.events == ["begin False", "rollback"] * 2


def test_a_scope_is_rolled_back_when_memory_runs_out(lab: Lab) -> None:
    lab.load("""
        export const timeout = 20;
        export function handle(e) {
          shop.transaction((t) => { const all = []; if (e === 1) for (;;) all.push(new Array(100000).fill(e)); });
        }
    """)
    assert [fault.name for fault in lab.runner.handle(1, 2).faults] == ["MemoryLimitExceeded"]
    assert lab.shop.events == ["begin False", "rollback", "begin False", "commit"]


def test_a_scope_left_open_by_the_top_level_is_rolled_back(lab: Lab) -> None:
    with pytest.raises(ChangeRefused):
        lab.load("shop.transaction(() => new Promise(() => {})); throw new Error('no'); export function handle() {}")
    assert lab.shop.events == ["begin False", "rollback"]


# --- pages ---

LETTERS = [["a", "b"], ["c"]]


@pytest.mark.parametrize(
    ("read", "seen", "pages"),
    [
        ("[...shop.listing()]", ["a", "b", "c"], 3),
        ("shop.listing().toArray()", ["a", "b", "c"], 3),
        ("Array.from(shop.listing(), (x) => x + x)", ["aa", "bb", "cc"], 3),
        ("(() => { for (const x of shop.listing()) return x; })()", "a", 1),
        ("shop.listing()[Symbol.iterator]().map((x) => x + 1).take(1).toArray()", ["a1"], 1),
        ("(() => { const l = shop.listing(); return [[...l], [...l], l.toArray()]; })()", [["a", "b", "c"], [], []], 3),
        ("(() => { const l = shop.listing(); for (const x of l) break; return [...l]; })()", [], 1),
        ("(() => { const l = shop.listing(); l.close(); l.close(); return [...l]; })()", [], 0),
    ],
)
def test_pages_are_read_one_by_one_and_closed(lab: Lab, read: str, seen: Any, pages: int) -> None:
    lab.shop.pages = LETTERS
    assert lab.emitted(f"emit('out', {read});") == [seen]
    assert lab.shop.events == [*["page"] * pages, "close"]


def test_pages_are_closed_when_the_loop_throws_or_reading_fails(lab: Lab) -> None:
    lab.shop.pages = LETTERS
    assert lab.error("for (const x of shop.listing()) throw new Error(x);") == "Error: a"
    assert lab.shop.events == ["page", "close"]
    lab.shop.pages = [["broken"]]
    assert (
        lab.error("const l = shop.listing(); try { [...l]; } catch (error) { [...l]; throw error; }")
        == "SqlError: lost"
    )
    assert lab.shop.events[2:] == ["page", "close"]


def test_pages_left_open_are_closed_with_their_event(lab: Lab) -> None:
    lab.shop.pages = LETTERS
    lab.emitted("shop.listing()[Symbol.iterator]().next(); shop.show();", 1, 2)
    assert lab.shop.events == ["page", "close"] * 2


def test_pages_left_open_by_open_are_closed_when_it_returns(lab: Lab) -> None:
    lab.shop.pages = LETTERS
    lab.load("let l; export function open() { l = shop.listing(); } export function handle() { [...l]; }")
    assert lab.shop.events == ["close"]
    assert lab.runner.handle(1).faults[0].name == "ReferenceError"


# --- how long objects last ---


def test_an_object_of_one_event_is_of_no_use_in_the_next(lab: Lab) -> None:
    handled = lab.run("kept ??= shop.order(1); emit('out', kept.itemCount());", 1, 2, head="let kept;")
    assert handled.emitted == [2]
    (fault,) = handled.faults
    assert (fault.name, fault.line) == ("ReferenceError", 3)
    assert fault.message.startswith("itemCount: expected an object that is in use, but this one was closed when")


def test_objects_of_the_top_level_and_of_open_last(lab: Lab) -> None:
    lab.load("""
        const first = shop.order(1);
        let second;
        export function open() { second = shop.order(2); }
        export function handle() { emit("out", [first.itemCount(), second.itemCount()]); }
    """)
    for _ in range(2):
        assert lab.runner.handle(1, 2).emitted == [[2, 4]] * 2


def test_an_object_that_python_keeps_lasts(lab: Lab) -> None:
    lab.load(
        "let kept; export function handle() { kept ??= shop('x'); emit('out', [kept.ownOne(), kept === shop('x')]); }"
    )
    assert lab.runner.handle(1).emitted == [["own", True]]
    assert lab.runner.handle(1, 2).emitted[0][0] == "own"


def test_an_object_that_chains_is_the_same_object(lab: Lab) -> None:
    assert lab.emitted("emit('out', shop.keep() === shop.kept());") == [True]


def test_python_lets_go_of_the_objects_of_each_event(lab: Lab) -> None:
    gc.collect()  # what other tests have left
    counts = []
    lab.shop.tell = lambda *_values: counts.append(sum(type(o) is Order for o in gc.get_objects()))  # type: ignore[method-assign]
    lab.emitted("for (let i = 0; i < 100; i++) shop.order(i); shop.tell();", *range(20))
    assert max(counts) <= 101


def test_an_instance_that_starts_anew_gets_its_objects_anew(lab: Lab) -> None:
    lab.load("""
        export const timeout = 20;
        const first = shop.order(1);
        export function handle(e) { if (e === 1) for (const all = [];;) all.push(new Array(100000).fill(e));
          emit("out", first.itemCount()); }
    """)
    handled = lab.runner.handle(1, 2)
    assert ([fault.name for fault in handled.faults], handled.emitted) == (["MemoryLimitExceeded"], [2])


# --- trust ---

SABOTAGE = """
for (const type of [Array, Object, String, Date, Promise, WeakSet, Uint8Array, Reflect, Function]) {
  for (const name of Object.getOwnPropertyNames(type)) try { type[name] = () => "hacked"; } catch {}
  const own = type.prototype ?? {};
  for (const name of Object.getOwnPropertyNames(own)) if (name !== "constructor") try { own[name] = () => "hacked"; } catch {}
}
"""
POLLUTION = """
Object.defineProperty(Array.prototype, 0, { set(value) { stolen.add(value); }, get() { return 5; }, configurable: true });
Array.prototype[Symbol.iterator] = function* () { yield "hacked"; };
for (const name of ["ok", "error", "object", "get", "value", "set", "shape", "methods", "bytes", "callable", "any"].values()) {
  Object.prototype[name] = 3;
}
"""


@pytest.mark.parametrize("attack", [SABOTAGE, POLLUTION])
def test_a_script_that_spoils_the_built_ins_changes_nothing_for_bindings(lab: Lab, attack: str) -> None:
    lab.shop.pages = LETTERS
    body = """
        shop.tell(e, new Date(5), new Uint8Array(3), 5n, { a: [e] });
        const order = shop.order(2);
        emit("out", order.itemCount()); emit("out", order.shippingAddress.label.length); emit("out", order.number);
        emit("out", shop.transaction((t) => t.put("abc")));
        emit("out", shop.listing().toArray().length); emit("out", shop("x").ownOne());
        try { shop.fail("x", true); } catch (error) { emit("out", error.name); }
    """
    assert lab.emitted(body, 1, head=f"const stolen = new Set();\n{attack}") == [4, 5, 2, 3, 3, "own", "SqlError"]
    assert lab.shop.told == [1, datetime(1970, 1, 1, 0, 0, 0, 5000, tzinfo=UTC), b"\0\0\0", 5, {"a": [1]}]


def test_no_script_sees_the_tag_of_values_that_json_lacks(lab: Lab) -> None:
    script = """
        const seen = [];
        BigInt.prototype.toJSON = function () { return this; };
        Object.defineProperty(Object.prototype, "toJSON", { configurable: true, get() { seen.push(String(this)); } });
        Date.prototype.toJSON = function (key) { seen.push(key); return "x"; };
        const spy = new Proxy({ at: new Date(0) }, { get(target, key) { seen.push(String(key)); return target[key]; } });
        shop.tell(new Date(1), 5n, spy, new Uint8Array(2));
        delete Object.prototype.toJSON;
        emit("out", seen.filter((text) => /[0-9a-f]{20}/.test(text)));
    """
    assert lab.emitted(script) == [[]]
    assert lab.shop.told[0] == datetime(1970, 1, 1, 0, 0, 0, 1000, tzinfo=UTC)
    assert lab.shop.told[1:] == [5, {"at": datetime(1970, 1, 1, tzinfo=UTC)}, b"\0\0"]


@pytest.mark.parametrize(("confined", "seen"), [(None, True), (False, False), (True, True)])
def test_scripts_reach_only_what_is_declared_unless_told_otherwise(confined: bool | None, seen: bool) -> None:
    binding = ShopBinding(Shop())
    plugins = Plugins.load([("test", TestingPlugin(bindings=[binding]))])
    with ScriptRunner(plugins=plugins, confined=confined) as runner:
        runner.load(script__js="function handle() {}")
        assert binding.confined == [seen]

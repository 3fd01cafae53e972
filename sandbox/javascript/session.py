"""One interpreter with one script loaded in it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec

from trimtab.api import HandlerSpec, Script, ScriptHost, ScriptObject
from trimtab.engine.script import DEFAULT_TIMEOUT, LogEntry
from trimtab.errors import Fault, ScriptError
from trimtab.sandbox.javascript.definition import Definition
from trimtab.sandbox.javascript.faults import JsError, memory_exceeded, syntax_error_line, to_fault
from trimtab.sandbox.javascript.interpreter import Answer, Interpreter, JSRuntimeError, plain
from trimtab.sandbox.javascript.modules import Modules
from trimtab.sandbox.javascript.objects import Objects
from trimtab.sandbox.javascript.packages import Format, Packages
from trimtab.sandbox.javascript.sources import Source
from trimtab.sandbox.javascript.syntax import error_column
from trimtab.sandbox.javascript.turns import Hook, Loading, Turn
from trimtab.sandbox.limits import TimeLimitExceeded


@dataclass(frozen=True, slots=True)
class Program:
    """What is loaded, and all that the script may reach."""

    script: Script
    sources: Mapping[str, Source]
    """The script first, then the libraries that it uses."""
    libraries: Mapping[str, bytes]
    """All there are."""
    host: ScriptHost
    bindings: Mapping[str, ScriptObject]
    """What each binding of the host gave for this script, by name."""
    prelude: tuple[bytes, ...]
    """Source of the prelude, then of what it is called with."""
    extension: bytes = b"undefined"
    """Source of a function that adds to what the script finds: ``extend`` of prelude.js."""
    extras: Mapping[str, ScriptObject] = field(default_factory=dict)
    """Objects for the extension alone, by name."""
    texts: bool = False
    """``handle`` gets the JSON text of each event, in place of its value."""


class _Outcome(msgspec.Struct):
    """How a call into the script ended, promises included."""

    pending: bool
    value: Any = None
    error: JsError | None = None


class _Question(msgspec.Struct):
    """What the prelude asks; each kind of question has some of the fields."""

    base: str = ""
    specifier: str = ""
    id: str = ""
    level: str = ""
    message: str = ""


class Session:
    """Loads the script. ``answers``: to further questions of the prelude, by kind.

    Every method that enters the interpreter raises :class:`ScriptError` for whatever user code does to it.
    """

    def __init__(self, program: Program, answers: Mapping[str, Answer]) -> None:
        self._program = program
        self._name = program.script.name
        self._limits = program.host.limits
        self._hand = program.host.hand
        formats: dict[str, Format] = {}
        self._modules = Modules(
            program.sources,
            program.libraries,
            formats,
            Packages(program.host.roots),
            {"begin", "emit", "pattern", "settings", *program.bindings},
        )
        tag = secrets.token_hex(16)
        self._objects = Objects(tag, program.host, partial(self.log, "error"))
        all_answers = {**self._answers(), **self._objects.answers(), **answers}
        parts = (*program.prelude, program.extension)
        self._interpreter = Interpreter(parts, {**self._start(), "tag": tag}, self._modules, all_answers)
        try:
            for source in program.sources.values():
                formats[source.name] = self._format(source)
            self.definition = self._load(formats[self._name])
        except BaseException:
            self.free()
            raise

    def free(self) -> None:
        """Give the interpreter's memory back, without waiting for the garbage collector. The last call."""
        self._interpreter.free()
        self._objects.release_all()

    def call(self, function: str) -> None:
        """Run the script's ``open`` or ``close``, if it has one, under the default time limit."""
        turn = Hook(self._program.host.tasks) if self.definition.is_async(function) else Loading()
        self._settled(f"{function}()", command(function), turn)

    def migrate(self, values: dict[str, Any], version: str) -> dict[str, Any]:
        """Return the values that the script makes of those that another version has left."""
        text = command("migrate", values=values, version=version)
        made = self._settled("migrate()", text, Turn(), self.definition.timeout)
        if not isinstance(made, dict):
            raise ScriptError(
                Fault("TypeError", f"migrate: expected an object with the values, got {made!r}", self._name)
            )
        return made

    def make_callable(self, name: str) -> HandlerSpec:
        """Let events be handed to a function of the script. Raises ``LookupError`` where there is none of this name."""
        made = self._settled(f"{name}()", command("callable", name=name), Turn())
        if "names" in made:
            known = ", ".join(made["names"]) or "none"
            raise LookupError(f"{self._name} has no function {name}; it has {known}, exported or at the top level")
        return self.definition.of_function(name, asynchronous=bool(made["asynchronous"]))

    def ask(self, name: str, event: Any, partial: Mapping[str, Any]) -> bool:
        """Call a function of the script as a condition."""
        text = command("asked", name=name, event=event, partial=partial)
        return bool(self._settled(f"{name}()", text, Turn(), self.definition.timeout))

    def enter(self, text: bytes, seconds: float, turn: Turn) -> Any:
        """Run a command of the prelude under a time limit. Returns its result."""
        self._objects.turn = turn
        try:
            with self._limits.running(seconds):
                return self._interpreter.enter(text)
        except TimeLimitExceeded as error:
            fault = self._exceeded(error)
        except MemoryError:
            fault = self.fault(memory_exceeded())
        except JSRuntimeError as error:
            fault = self.fault(JsError.of_text(str(error)))
        except SystemError as error:
            # The limit struck where dukpy goes on as if nothing had happened, and Python finds out at the end.
            if not isinstance(error.__cause__, TimeLimitExceeded):
                raise
            fault = self._exceeded(error.__cause__)
        finally:
            self._hand.run = None
            if not turn.flies:
                self._objects.release(turn)
        raise ScriptError(fault)

    def take_turn(self, turn: Turn) -> None:
        """Go on with another piece of work without leaving the interpreter. Its time begins."""
        self._objects.turn = turn
        self._limits.mark = object()

    def release(self, turn: Turn) -> None:
        """Let go of what was made for a turn that is over."""
        self._objects.release(turn)

    def fault(self, error: JsError) -> Fault:
        """Return the fault for an error, with its place in the user's source."""
        return to_fault(error, self._modules, self._name)

    # --- loading ---

    def _start(self) -> dict[str, Any]:
        host, script = self._program.host, self._program.script
        return {
            "script": {"name": script.name, "version": script.version[:12]},
            "sinks": sorted(host.sinks),
            "bindings": self._objects.add(self._program.bindings),
            "extras": self._objects.add(self._program.extras),
            "settings": host.settings.tree,
            "memoryExceeded": memory_exceeded(),
        }

    def _format(self, source: Source) -> Format:
        """Tell CommonJS from ES modules: by the ending, else by whether it compiles as a function's body."""
        if source.name.endswith(".mjs"):
            return "module"
        error = self._compile(source.text, "commonjs")
        if error is not None and source.name.endswith(".cjs"):
            fault = Fault(error.name, error.message, source.name, syntax_error_line(error))
            raise ScriptError(self._with_column(fault, "commonjs"))
        return "module" if error else "commonjs"

    def _compile(self, text: str, form: Format) -> JsError | None:
        """Compile a text without running it. Returns what is wrong."""
        if form == "commonjs":
            return self._outcome(command("compiles", source=text), Loading()).error
        return self._outcome(command("load", id=self._modules.probe(text), format=form), Loading()).error

    def _with_column(self, fault: Fault, form: Format) -> Fault:
        """Add the column to a fault of a text that does not compile."""
        source = self._program.sources.get(fault.file or "")
        if fault.name != "SyntaxError" or fault.line is None or fault.column or source is None or source.mappings:
            return fault

        def same(text: str) -> bool:
            error = self._compile(text, form)
            return error is not None and (error.message, syntax_error_line(error)) == (fault.message, fault.line)

        column = error_column(source.text, fault.line, fault.message, same)
        return msgspec.structs.replace(fault, column=column)

    def _load(self, form: Format) -> Definition:
        try:
            value = self._settled("the top level", command("load", id=self._name, format=form), Loading())
        except ScriptError as error:
            raise ScriptError(self._with_column(error.fault, "module")) from None
        return Definition(self._name, value)

    def _settled(self, what: str, text: bytes, turn: Turn, seconds: float = DEFAULT_TIMEOUT) -> Any:
        outcome = self._outcome(text, turn, seconds)
        if outcome.error is not None:
            raise ScriptError(self.fault(outcome.error))
        if outcome.pending:
            message = f"expected {what} to end, but it awaits a promise that nothing can settle"
            raise ScriptError(Fault("Error", message, self._name))
        return outcome.value

    def _outcome(self, text: bytes, turn: Turn, seconds: float = DEFAULT_TIMEOUT) -> _Outcome:
        return msgspec.convert(self.enter(text, seconds, turn), _Outcome)

    def _exceeded(self, error: TimeLimitExceeded) -> Fault:
        return Fault(TimeLimitExceeded.__name__, str(error), self._name)

    # --- what the prelude asks ---

    def _answers(self) -> dict[str, Answer]:
        return {
            "resolve": _answer(lambda q: self._modules.resolve(q.base, q.specifier, required=True)),
            "source": _answer(lambda q: self._modules.source(q.id)),
            "console": _answer(lambda q: self.log(q.level, q.message)),
        }

    def log(self, level: str, message: str) -> None:
        """Write to the host's log in the name of the script."""
        script = self._program.script
        self._program.host.log(LogEntry(level, script.name, script.version, message, {}))


def command(do: str, **arguments: Any) -> bytes:
    """Return a command of the prelude as JSON."""
    return msgspec.json.encode({"do": do, **arguments})


def _answer(function: Callable[[_Question], Any]) -> Answer:
    return plain(lambda body: function(msgspec.json.decode(body, type=_Question)))

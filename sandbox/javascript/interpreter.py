"""One JavaScript interpreter, closed off from the process around it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec
from dukpy import JSRuntimeError, _dukpy
from dukpy.evaljs import JSInterpreter

from trimtab.errors import CallError
from trimtab.sandbox.javascript.values import Kind, encode, encode_as

_ENTER = b"this.dukpy"
"""Reading the global that dukpy has just set runs the command in it; see prelude.js."""

Answer = Callable[[bytes], bytes | None]
"""Takes the body of a question that the prelude asks. Returns the answer as JSON; see values.py."""


class Resolver(Protocol):
    """Where dukpy's native code finds modules."""

    def resolve(self, base: str, specifier: str) -> str: ...

    def load(self, module: str) -> tuple[str, str, str]: ...


class BareInterpreter(JSInterpreter):  # type: ignore[misc]  # dukpy has no types
    """An interpreter with the language and nothing else: no ``process``, ``console``, ``require``, no files."""

    def __init__(self, modules: Resolver | None = None) -> None:
        super().__init__()
        self._loader = modules

    def evaluate(self, code: bytes, variables: bytes) -> Any:
        """Run code with the global ``dukpy`` set to ``variables`` (JSON). Returns its value.

        Raises ``JSRuntimeError`` for what is thrown, and whatever a signal handler raises.
        """
        try:
            result = _dukpy.eval_string(self, code, variables, False, "")
            return None if result is None else msgspec.json.decode(result)
        except (UnicodeDecodeError, msgspec.DecodeError):
            raise JSRuntimeError("TypeError: expected text, got some with a lone surrogate") from None

    def free(self) -> None:
        """Give the memory back now. Nothing can be evaluated any more."""
        self._ctx = None

    def _init_process(self) -> None:
        pass

    def _init_console(self) -> None:
        pass

    def _init_require(self) -> None:
        pass


class Interpreter(BareInterpreter):
    """An interpreter that has run the prelude: a function, called with the other ``parts``.

    ``answers``: by kind of question. A ``BaseException`` that is no ``Exception`` is the time limit: the prelude
    sees to it that it comes again.
    """

    def __init__(
        self, parts: Sequence[bytes], start: Mapping[str, Any], modules: Resolver, answers: Mapping[str, Answer]
    ) -> None:
        super().__init__(modules)
        self._modules = modules
        self._answers = {kind.encode(): answer for kind, answer in answers.items()}
        token = secrets.token_hex(16)
        self._head = f'{{"token":"{token}",'.encode()
        prelude, *others = parts
        self.evaluate(b"(%b)(%b)" % (prelude, b",".join(others)), msgspec.json.encode({**start, "token": token}))

    def enter(self, command: bytes) -> Any:
        """Run a command of the prelude, given as JSON object. Returns its result; raises like :meth:`evaluate`."""
        return self.evaluate(_ENTER, self._head + command[1:])

    # --- called by dukpy's native code ---

    def _normalize_module(self, base: str, specifier: str) -> str:
        return self._modules.resolve(base, specifier)

    def _check_exported_function_exists(self, _message: bytes) -> bool:
        return True

    def _call_python(self, message: bytes, _arguments: bytes) -> bytes | None:
        kind, _, body = message.partition(b"\n")
        try:
            return self._answers[kind](body)
        except Exception as error:  # noqa: BLE001 - whatever it is, the script gets it
            return failure(error)


def plain(function: Callable[[bytes], Any]) -> Answer:
    """Return an answer of what a function returns: a plain value."""
    return lambda body: encode(function(body))


def failure(error: Exception) -> bytes:
    """Return the answer that an error is."""
    return encode_as(Kind.ERROR, _describe(error))


def _describe(error: Exception) -> dict[str, Any]:
    name = error.name if isinstance(error, CallError) else type(error).__name__
    described: dict[str, Any] = {"name": name, "message": str(error)}
    for detail in ("code", "retryable"):
        value = getattr(error, detail, None)
        if isinstance(value, str | int | float):
            described[detail] = value
    return described


__all__ = ["Answer", "BareInterpreter", "Interpreter", "JSRuntimeError", "Resolver", "failure", "plain"]

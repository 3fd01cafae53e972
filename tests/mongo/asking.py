"""Has a script call a collection, in Python or in JavaScript, and hands back what it got."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import pytest

from trimtab.engine.objects import camel_case
from trimtab.testing.scripts import ScriptRunner

DATABASE = "tests"

_PYTHON = """
from trimtab import emit, mongo

timeout = 10

def handle(event):
    collection = mongo("it").collection("{database}", "{collection}")
    try:
        emit("out", {{"result": {call}}})
    except Exception as error:
        name = getattr(error, "name", type(error).__name__)
        fields = {{field: getattr(error, field, None) for field in ("code", "retryable")}}
        emit("out", {{"error": {{"name": name, "message": str(error), **fields}}}})
"""

_JAVASCRIPT = """
import {{ emit, mongo }} from "trimtab";

export const timeout = 10;

export function handle(event) {{
  const collection = mongo("it").collection("{database}", "{collection}");
  try {{
    emit("out", {{ result: ({call}) ?? null }});
  }} catch ({{ name, message, code, retryable }}) {{
    emit("out", {{ error: {{ name, message, code, retryable }} }});
  }}
}}
"""


@dataclass
class Refusal(Exception):
    """The error that the script has caught."""

    name: str
    message: str
    code: int | None = None
    retryable: bool | None = None


class Asker:
    """A host with one resource, ``mongo.it``. Each call is a script of its own: its values are literals in it."""

    def __init__(self, language: str, options: Mapping[str, Any], collection: str) -> None:
        self.runner = ScriptRunner({"mongo.it": dict(options)})
        self.calls = 0
        """How often the last script called the server."""
        self._python = language == "python"
        self._collection = collection

    def __call__(self, method: str, *arguments: Any, then: str = "", **options: Any) -> Any:
        """Return what the script gets from a method of the collection, with ``then`` called on it.

        Raises :class:`Refusal` for the error that it catches.
        """
        literal = repr if self._python else json.dumps
        texts = [literal(argument) for argument in arguments]
        if self._python:
            texts += [f"{name}={value!r}" for name, value in options.items()]
        elif options:
            texts.append(json.dumps(options))
        name = method if self._python else camel_case(method)
        call = f"collection.{name}({', '.join(texts)}){then}"
        return self.evaluate(python=call, javascript=call)

    def evaluate(self, *, python: str, javascript: str) -> Any:
        """Return what the expression of the script's language gives; ``collection`` is the collection."""
        template, call = (_PYTHON, python) if self._python else (_JAVASCRIPT, javascript)
        source = template.format(database=DATABASE, collection=self._collection, call=call)
        self.runner.load(**{"ask__py" if self._python else "ask__js": source})
        handled = self.runner.handle({})
        assert not handled.faults, handled.faults
        self.calls = sum(count.calls for count in handled.calls)
        (outcome,) = handled.emitted
        if "error" in outcome:
            raise Refusal(**outcome["error"])
        return outcome["result"]

    def refusal(self, method: str, *arguments: Any, **options: Any) -> Refusal:
        """Return the error that the script catches."""
        with pytest.raises(Refusal) as caught:
            self(method, *arguments, **options)
        return caught.value

    def found(self, query: Any = None, **options: Any) -> list[Any]:
        """Return the documents that match, without their ids, by ``n``."""
        documents = self("find", query or {}, then=".toArray()", sort={"n": 1}, **options)
        return [{name: value for name, value in document.items() if name != "_id"} for document in documents]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.runner.close()

"""Settings in a JSON document on a web server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.center.center_kit import CONTEXT, refusal, settings_of
from tests.discovery.web_shelf import Answer, Shelf
from trimtab.api import Discoverer
from trimtab.plugins.center import create_http
from trimtab.plugins.manifest.options import DocumentOptions


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    with Shelf() as shelf:
        yield shelf


def discoverer(shelf: Shelf, **options: Any) -> Discoverer:
    given: dict[str, Any] = {"url": shelf.url("/settings.json"), "interval": "1h", **options}
    return create_http(DocumentOptions(**given), "central", CONTEXT)


def test_the_object_is_the_settings_as_it_is(shelf: Shelf) -> None:
    shelf.documents["/settings.json"] = b'{"limits": {"speed": 80}, "a.b": "${USER}", "none": null}'
    settings = settings_of(discoverer(shelf, token="secret", headers={"X-Fleet": "north"}))
    assert settings == {"limits": {"speed": 80}, "a.b": "${USER}", "none": None}
    headers = shelf.requests[-1].headers
    assert (headers["authorization"], headers["x-fleet"]) == ("Bearer secret", "north")


def test_a_document_that_has_not_changed_is_not_sent_again(shelf: Shelf) -> None:
    shelf.documents["/settings.json"] = b'{"a": 1}'
    found = discoverer(shelf)
    assert settings_of(found) == settings_of(found) == {"a": 1}
    assert {asked.status for asked in shelf.requests[1:]} == {304}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (b"[1]", "expected a JSON object, got: Expected `object`, got `array`"),
        (b"<html>", "expected a JSON object, got: JSON is malformed"),
        (b'{"a": 9223372036854775808}', "a: expected a whole number of 64 bits, got 9223372036854775808"),
        (b'{"a": 1e999}', "expected a JSON object, got: Number out of range"),
    ],
)
def test_any_other_document_is_refused(shelf: Shelf, document: bytes, message: str) -> None:
    shelf.documents["/settings.json"] = document
    said = refusal(discoverer(shelf))
    assert said.startswith("discoverers.central: ")
    assert message in said


def test_a_document_that_cannot_be_had_is_told(shelf: Shelf) -> None:
    shelf.answers["/settings.json"] = Answer(503, {}, b"later")
    assert "expected a status of 200, got 503 'later'" in refusal(discoverer(shelf))

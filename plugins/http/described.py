"""How the HTTP source describes itself in the OpenAPI document of the control API."""

from __future__ import annotations

from typing import Any

from trimtab.api import Codec

_WORDS = {
    400: "Some record is not valid; nothing of the body was accepted.",
    401: "The token is missing or wrong.",
    413: "The body is too large.",
    415: "The body is in a coding that is not known.",
    429: "The stream is busy; send it again after the time in Retry-After.",
    503: "The host starts or stops; send it again later.",
}
_ACCEPTED = {"type": "object", "properties": {"accepted": {"type": "integer"}}, "required": ["accepted"]}
_TEXT = {"type": "string"}
_ERROR = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "message": _TEXT,
                "expected": _TEXT,
                "got": _TEXT,
                "hint": _TEXT,
                "line": {"type": ["integer", "null"]},
                "index": {"type": ["integer", "null"]},
            },
            "required": ["message", "expected", "got", "hint", "line", "index"],
        }
    },
    "required": ["error"],
}


def operations(codec: Codec, *, token: bool) -> dict[str, Any]:
    """Return the OpenAPI operations of the source's path, by method. ``token``: it asks for one."""
    responses = {str(status): _answer(words, _ERROR) for status, words in _WORDS.items() if token or status != 401}
    operation: dict[str, Any] = {
        "summary": "Take events.",
        "requestBody": {"required": True, "content": _content(codec)},
        "responses": {"202": _answer("The events are accepted.", _ACCEPTED), **responses},
    }
    if token:
        operation["security"] = [{"source": []}]
    return {"post": operation}


def _content(codec: Codec) -> dict[str, Any]:
    if codec.is_json:
        return {"application/json": {"schema": {}}, "application/x-ndjson": {"schema": _TEXT}}
    return {"text/plain" if codec.lines else "application/octet-stream": {}}


def _answer(words: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": words, "content": {"application/json": {"schema": schema}}}

"""What a call gives to a script."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import msgspec

from trimtab.api import CallError, ScriptObject

_CHARSET = re.compile(r""";\s*charset\s*=\s*["']?([\w.:-]+)""", re.IGNORECASE | re.ASCII)
_EXCERPT = 80


class Response(ScriptObject):
    """An answer, read to its end. Any status is one: :attr:`ok` says whether it is from 200 to 299."""

    methods = frozenset({"json"})
    fields = ("status", "ok", "url", "headers", "text", "bytes")

    def __init__(self, status: int, url: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> None:
        self.status = status
        self.ok = 200 <= status < 300
        self.url = url
        self.headers = dict(headers or {})
        self.bytes = body

    @cached_property
    def text(self) -> str:
        """The body as text: in the charset that it says, else UTF-8; what is not valid in it becomes U+FFFD."""
        charset = _CHARSET.search(self.headers.get("content-type", ""))
        try:
            return self.bytes.decode(charset[1] if charset else "utf-8", errors="replace")
        except (LookupError, UnicodeError):  # no charset, or one that is none of text
            return self.bytes.decode(errors="replace")

    def json(self) -> Any:
        """Return the JSON value that the body holds, None for an empty body. Raises :class:`CallError`."""
        text = self.text.removeprefix("\ufeff")
        if not text.strip():
            return None
        try:
            return msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
            kind = self.headers.get("content-type", "no content-type")
            got = f"{kind} that is none: {text[:_EXCERPT]!r} ({error})"
            raise CallError("HttpError", f"expected JSON (status {self.status}), got {got}", code=self.status) from None

    def __repr__(self) -> str:
        return f"Response(status={self.status})"

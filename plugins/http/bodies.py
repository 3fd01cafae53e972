"""From the body of a request to records. Pure: bytes come in, records or a :class:`Refusal` come out."""

from __future__ import annotations

import re

import msgspec

from trimtab.api import Codec, CodecError
from trimtab.plugins.http.inflating import gunzip
from trimtab.plugins.http.refusals import Refusal, too_large

_ANY = msgspec.json.Decoder(msgspec.Raw)
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_INVALID = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_SPACE = b" \t\r\n"
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[\]{},]', re.DOTALL)
_OFFSET = re.compile(r" \(byte (\d+)\)")
_HINT = "correct it and send the whole body again: nothing of it was accepted"


def inflate(body: bytes, limit: int) -> bytes:
    """Return what a gzip body holds, never making more than ``limit`` bytes (and one) of it."""
    try:
        data = gunzip(body, limit)
    except ValueError as error:
        raise _bad("a body in gzip, as Content-Encoding says", str(error)) from None
    if len(data) > limit:
        raise too_large(limit, f"gzip of more ({len(body)} bytes compressed)")
    return data


def split(body: bytes, codec: Codec, *, ndjson: bool) -> list[bytes]:
    """Return the records of a body, each without a raw newline if the codec's records are lines.

    JSON: one value is one event, an array is its elements, and NDJSON is one event a line (blank lines are
    skipped). ``ndjson``: the sender says that it is; else it is when the first line is a JSON value by itself and
    the whole is not. Events keep the sender's bytes but for newlines between tokens, which become spaces. Other
    codecs: one record a line where ``codec.lines``, else the body is one record. Raises :class:`Refusal` unless
    every record is valid.
    """
    if not body.strip(_SPACE) if codec.is_json else not body:
        raise _bad("at least one event", "an empty body", hint="send [] for no events")
    return _json(body, ndjson=ndjson) if codec.is_json else _encoded(body, codec)


def _encoded(body: bytes, codec: Codec) -> list[bytes]:
    records = body.removesuffix(b"\n").split(b"\n") if codec.lines else [body]
    for number, record in enumerate(records, 1):
        try:
            codec.to_json(record)
        except CodecError as error:
            line = number if codec.lines else None
            raise _bad(f"a record in the codec {codec.name}", f"one that is not valid ({error})", line=line) from None
    return records


def _json(body: bytes, *, ndjson: bool) -> list[bytes]:
    if ndjson:
        return _lines(body)
    is_array = body.lstrip(_SPACE).startswith(b"[")
    try:
        values = _ARRAY.decode(body) if is_array else [_ANY.decode(body)]
        _check_utf8(body)
    except _INVALID as error:
        if _starts_with_a_line(body):
            return _lines(body)
        raise _malformed(body, error, is_array=is_array) from None
    return [bytes(value).replace(b"\n", b" ") for value in values]


def _lines(body: bytes) -> list[bytes]:
    records = []
    for number, line in enumerate(body.split(b"\n"), 1):
        record = line.strip(_SPACE)
        if not record:
            continue
        try:
            _check(record)
        except _INVALID as error:
            raise _bad("one JSON value a line", _reason(error), line=number) from None
        records.append(record)
    return records


def _check(text: bytes) -> None:
    _ANY.decode(text)
    _check_utf8(text)


def _check_utf8(text: bytes) -> None:
    """Raise ``UnicodeDecodeError``: the decoder skips over strings without looking at their characters."""
    if not text.isascii():
        text.decode()


def _starts_with_a_line(body: bytes) -> bool:
    first, newline, _rest = body.lstrip(_SPACE).partition(b"\n")
    try:
        _check(first)
    except _INVALID:
        return False
    return bool(newline)


# --- what is wrong, and where ---


def _bad(expected: str, got: str, *, hint: str = _HINT, line: int | None = None, index: int | None = None) -> Refusal:
    return Refusal(400, expected=expected, got=got, hint=hint, line=line, index=index)


def _malformed(body: bytes, error: Exception, *, is_array: bool) -> Refusal:
    expected = "a JSON object, an array of events or one event a line"
    offset = _offset(error, len(body))
    if offset is None:
        return _bad(expected, _reason(error))
    line = body.count(b"\n", 0, offset) + 1
    index = _element(body[:offset]) if is_array else None
    return _bad(expected, _reason(error), line=line, index=index)


def _element(head: bytes) -> int | None:
    """Return the index of the array element in which ``head`` breaks off; None: it is after the array."""
    index = depth = 0
    for match in _TOKEN.finditer(head):
        token = match[0][:1]
        if token in b"[{":
            depth += 1
        elif token in b"]}":
            depth -= 1
        elif token == b"," and depth == 1:
            index += 1
    return index if depth > 0 else None


def _offset(error: Exception, end: int) -> int | None:
    """Where reading stopped, None if unknown. The decoder says it in its message, but not when the body just ends."""
    if isinstance(error, RecursionError):
        return None
    if isinstance(error, UnicodeDecodeError):
        return error.start
    match = _OFFSET.search(str(error))
    return int(match[1]) if match else end


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"bytes that are not UTF-8 ({error.reason})"
    if isinstance(error, RecursionError):
        return "values nested too deeply"
    text = _OFFSET.sub("", str(error)).removeprefix("JSON is malformed: ")
    return "a value that breaks off" if text == "Input data was truncated" else f"malformed JSON ({text})"

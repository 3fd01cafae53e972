"""The codecs that come with trimtab: ``json``, ``text`` and ``msgpack``."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from trimtab.api import Codec, CodecError, hookimpl


class JsonCodec(Codec):
    """A record is a JSON text."""

    name = "json"
    is_json = True

    def to_json(self, record: bytes) -> bytes:
        """Return the record, in one line."""
        try:
            msgspec.json.decode(record)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise CodecError(f"expected JSON, got an error: {error}") from None
        return msgspec.json.format(record, indent=-1) if b"\n" in record else record


class TextCodec(Codec):
    """A record is a line of UTF-8, the event a string. A carriage return at its end is not part of it."""

    name = "text"

    def to_json(self, record: bytes) -> bytes:
        """Return the line as a JSON string."""
        try:
            return msgspec.json.encode(record.removesuffix(b"\r").decode())
        except UnicodeDecodeError as error:
            byte = record[error.start]
            raise CodecError(f"expected UTF-8 text, got the byte 0x{byte:02x} at offset {error.start}") from None


class MsgpackCodec(Codec):
    """A record is one MessagePack document. Binary values become base64 text, timestamps ISO 8601 text."""

    name = "msgpack"
    lines = False

    def to_json(self, record: bytes) -> bytes:
        """Return the document as JSON text."""
        try:
            return msgspec.json.encode(msgspec.msgpack.decode(record))
        except (msgspec.DecodeError, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise CodecError(f"expected one MessagePack document that JSON can hold, got an error: {error}") from None


@hookimpl
def trimtab_codecs() -> Iterable[Codec]:
    """Add the codecs."""
    return JsonCodec(), TextCodec(), MsgpackCodec()

"""What changed between two versions of an artifact."""

from __future__ import annotations

from difflib import unified_diff

import msgspec

NO_NEWLINE = "\\ No newline at end of file"


def diff(old: bytes | None, new: bytes | None, old_label: str, new_label: str, *, context: int = 3) -> list[str]:
    """Return the unified diff of two versions as lines without newline; empty if they hold the same bytes.

    None stands for a deleted artifact. ``context``: lines shown around each change. Bytes that are not UTF-8 text
    give one line that says so.
    """
    if old == new:
        return []
    if _is_binary(old) or _is_binary(new):
        return [f"Binary versions {old_label} and {new_label} differ"]
    old_label, new_label = ("/dev/null" if old is None else old_label), ("/dev/null" if new is None else new_label)
    lines: list[str] = []
    for line in unified_diff(_lines(old), _lines(new), old_label, new_label, n=context):
        lines.append(line.removesuffix("\n"))
        if not line.endswith("\n"):
            lines.append(NO_NEWLINE)
    return lines


def readable(old: bytes | None, new: bytes | None) -> tuple[bytes | None, bytes | None]:
    """Return two JSON documents over several lines, where one of them stands in one line; what is no JSON as it is."""
    if all(content is None or b"\n" in content.strip() for content in (old, new)):
        return old, new
    return _indented(old), _indented(new)


def _indented(content: bytes | None) -> bytes | None:
    if content is None:
        return None
    try:
        return msgspec.json.format(content, indent=2) + b"\n"
    except (msgspec.DecodeError, RecursionError):
        return content


def _is_binary(content: bytes | None) -> bool:
    try:
        return "\0" in (content or b"").decode()
    except UnicodeDecodeError:
        return True


def _lines(content: bytes | None) -> list[str]:
    # Only \n ends a line: str.splitlines would also cut at form feeds and Unicode separators.
    *lines, last = (content or b"").decode().split("\n")
    return [line + "\n" for line in lines] + ([last] if last else [])

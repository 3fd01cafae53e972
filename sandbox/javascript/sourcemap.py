"""Reads source maps: from a place in generated code to the place in what the user wrote."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate

_DIGITS = {
    digit: value for value, digit in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
}


class Mappings:
    """The ``mappings`` text of a source map (version 3) that has one source. Decoded when it is first asked."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._lines: list[list[tuple[int, int, int]]] | None = None

    def original(self, line: int, column: int) -> tuple[int, int] | None:
        """Return line and column (from 1, like the arguments) in the source; None where the map says nothing."""
        if self._lines is None:
            self._lines = _decode(self.text)
        segments = self._lines[line - 1] if 0 < line <= len(self._lines) else []
        position = bisect_right(segments, (column - 1, 1 << 31, 0)) - 1
        if not segments:
            return None
        _column, original_line, original_column = segments[max(position, 0)]
        return original_line + 1, original_column + 1


def _decode(text: str) -> list[list[tuple[int, int, int]]]:
    """Return for each generated line its (generated column, source line, source column), all from 0."""
    lines = []
    source_line = source_column = 0
    for line in text.split(";"):
        fields = [_numbers(segment) for segment in line.split(",") if segment]
        segments = []
        for column, numbers in zip(accumulate(numbers[0] for numbers in fields), fields, strict=True):
            if len(numbers) >= 4:
                source_line += numbers[2]
                source_column += numbers[3]
                segments.append((column, source_line, source_column))
        lines.append(segments)
    return lines


def _numbers(segment: str) -> list[int]:
    """Decode Base64 VLQ: digits of 5 bits, lowest first, each with a flag for more; the lowest bit is the sign."""
    numbers = []
    value = shift = 0
    for digit in segment:
        bits = _DIGITS[digit]
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            numbers.append(-(value >> 1) if value & 1 else value >> 1)
            value = shift = 0
    return numbers

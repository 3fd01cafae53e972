from __future__ import annotations

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from trimtab.plugins.files.lines import BLOCK_SIZE, LONGEST_LINE, Block, LineCutter, LongLine

LINES = st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"-")))


def cut(chunks: list[bytes]) -> list[Block | LongLine]:
    cutter = LineCutter()
    pieces = [piece for chunk in chunks for piece in cutter.feed(chunk)]
    return [*pieces, *cutter.finish()]


def split(data: bytes, sizes: list[int]) -> list[bytes]:
    ends = list(accumulate(sizes))
    return [data[start:end] for start, end in zip([0, *ends], [*ends, len(data)], strict=True)]


@given(LINES, st.binary(max_size=40), st.lists(st.integers(0, 50)))
def test_however_the_bytes_come_every_line_is_given_once_in_order_with_its_offset(
    lines: list[bytes], last: bytes, sizes: list[int]
) -> None:
    last = last.replace(b"\n", b"-")
    data = b"".join(line + b"\n" for line in lines) + last
    pieces = cut(split(data, sizes))
    assert [line for piece in pieces for line in piece.data.split(b"\n")] == lines + ([last] if last else [])
    assert all(data[piece.start :].startswith(piece.data) for piece in pieces)


@given(st.lists(st.integers(0, 3 * BLOCK_SIZE), max_size=8))
def test_blocks_stay_small_unless_one_line_is_bigger(lengths: list[int]) -> None:
    data = b"".join(b"x" * length + b"\n" for length in lengths)
    pieces = cut([data])
    assert b"".join(piece.data + b"\n" for piece in pieces) == data
    assert all(len(piece.data) < BLOCK_SIZE or b"\n" not in piece.data for piece in pieces)


def test_the_position_counts_every_byte_taken() -> None:
    cutter = LineCutter()
    list(cutter.feed(b"a\nbc"))
    assert cutter.position == 4
    list(cutter.feed(b"d\n"))
    assert cutter.position == 6


def test_a_line_that_is_too_long_is_given_up_and_the_next_line_is_whole() -> None:
    chunk = b"x" * (1 << 20)
    chunks = [b"first\n", *[chunk] * 20, b"x\nlast\n"]
    first, long, last = cut(chunks)
    assert first == Block(0, b"first")
    assert isinstance(long, LongLine)
    assert (long.start, set(long.data)) == (6, {ord("x")})
    assert len(long.data) < LONGEST_LINE
    assert last == Block(6 + 20 * len(chunk) + 2, b"last")


def test_a_line_that_is_too_long_at_the_very_end_leaves_nothing_behind() -> None:
    assert [type(piece) for piece in cut([b"x" * (LONGEST_LINE + 1), b"more"])] == [LongLine]

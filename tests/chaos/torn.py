"""What a write that was cut short leaves behind the last commit of an SQLite database in WAL mode."""

from __future__ import annotations

import os
import random
import struct
from pathlib import Path

_HEADER = 32
_FRAME = struct.Struct(">II8s8s")
"""Page number, pages of the database after a commit (else 0), the salts of this use of the file, a checksum."""


def tear(wal: Path, rng: random.Random) -> str | None:
    """Put the beginning of a transaction that was never acknowledged behind the last one that was.

    Nobody may have the database open. Returns what was done; None where there is no log to tear.
    """
    data = wal.read_bytes() if wal.exists() else b""
    if len(data) < _HEADER:
        return None
    page_size, salts = int.from_bytes(data[8:12]), data[16:24]
    end = _end_of_last_commit(data, page_size, salts)
    tail = rng.choice(_TAILS)(rng, page_size, salts)
    with wal.open("r+b") as file:
        file.seek(end)
        file.write(tail)
        if rng.random() < 0.5:
            file.truncate()  # else frames of an earlier use of the file follow
        os.fsync(file.fileno())
    return f"{len(tail)} bytes behind byte {end} of {wal.name}"


def _end_of_last_commit(data: bytes, page_size: int, salts: bytes) -> int:
    end = offset = _HEADER
    size = _FRAME.size + page_size
    while offset + size <= len(data):
        _page, pages, salts_of_frame, _sum = _FRAME.unpack_from(data, offset)
        if salts_of_frame != salts:
            break
        offset += size
        if pages:
            end = offset
    return end


def _garbage(rng: random.Random, page_size: int, _salts: bytes) -> bytes:
    return rng.randbytes(rng.randrange(1, 2 * page_size))


def _half_a_frame(rng: random.Random, page_size: int, salts: bytes) -> bytes:
    return (_FRAME.pack(2, 2, salts, rng.randbytes(8)) + rng.randbytes(page_size))[: rng.randrange(1, page_size)]


def _wrong_checksum(rng: random.Random, page_size: int, salts: bytes) -> bytes:
    return _FRAME.pack(1, 3, salts, rng.randbytes(8)) + rng.randbytes(page_size)


def _zeros(rng: random.Random, page_size: int, _salts: bytes) -> bytes:
    return bytes(rng.randrange(1, 2 * page_size))


_TAILS = (_garbage, _half_a_frame, _wrong_checksum, _zeros)

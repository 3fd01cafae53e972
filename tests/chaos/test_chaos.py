"""Promises 3 and 6 under accidents, in their short form: ``make chaos`` plays ten times as many rounds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.round import kind_of, play

SEEDS = range(1000, 1020)


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: f"{kind_of(seed)}-{seed}".replace(" ", "-"))
def test_after_accidents_nothing_is_lost_and_the_state_is_as_without_them(seed: int, tmp_path: Path) -> None:
    report = play(seed, tmp_path)
    assert not report.wrong, "\n".join(report.wrong[:20])

"""A host that runs for long does not grow: the short form of ``make soak``, with bounds that a busy machine keeps."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.samples import Limits, Process, Sample, trends
from tests.soak.soak import Plan, soak

GENEROUS = Limits(growth=0.3, noise=20.0, slower=1e9)
SHORT = Plan(seconds=18, warm_up=6, rate=500, sample_every=1.0, limits=GENEROUS)


def test_under_load_and_swaps_nothing_is_lost_and_nothing_grows(tmp_path: Path) -> None:
    result = soak(SHORT, tmp_path, lambda _sample: None)
    assert result.wrong() == []
    assert result.swaps >= 10
    assert result.events >= 1000


def series(memory: list[float], descriptors: list[int], p50: list[float]) -> list[Sample]:
    return [
        Sample(at, {"host": Process(used, used, files)}, wait, wait, wait)
        for at, (used, files, wait) in enumerate(zip(memory, descriptors, p50, strict=True))
    ]


@pytest.mark.parametrize(
    ("samples", "grown"),
    [
        (series([50.0] * 9, [20] * 9, [6.0] * 9), []),
        (series([50.0, 51.0, 70.0] * 3, [20, 20, 40] * 3, [6.0, 6.0, 90.0] * 3), []),
        (series([50.0 + n for n in range(9)], [20] * 9, [6.0] * 9), ["memory of host, MiB"]),
        (series([50.0] * 9, [20 + n for n in range(9)], [6.0] * 9), ["descriptors of host"]),
        (
            series([50.0] * 9, [20] * 9, [6.0 + 4 * n for n in range(9)]),
            ["p50 of an event, ms", "p99 of an event, ms"],
        ),
    ],
    ids=["flat", "with peaks", "more memory", "more descriptors", "slower"],
)
def test_growth_is_told_from_noise(samples: list[Sample], grown: list[str]) -> None:
    assert [trend.what for trend in trends(samples, Limits()) if not trend.holds] == grown

"""The host agrees with Apache Flink CEP in every recorded case. How they were recorded: :mod:`tests.cep.oracle`."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.cep.oracle.known import known
from tests.cep.oracle.replay import disagreement, replay, report

CASES = sorted((Path(__file__).parent / "cases").glob("*.jsonl.gz"))
CHUNK = 250
SHOWN = 5


def read(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt") as lines:
        return [json.loads(line) for line in lines]


def chunks() -> list[Any]:
    """Where each run of cases begins: read at collection time, because files have different lengths."""
    return [
        pytest.param(path, start, id=f"{path.name.removesuffix('.jsonl.gz')}-{start}")
        for path in CASES
        for start in range(0, len(read(path)), CHUNK)
    ]


@pytest.mark.parametrize("lines", [False, True], ids=["decoded", "lines"])
@pytest.mark.parametrize(("path", "start"), chunks())
def test_the_host_agrees_with_flink(path: Path, start: int, lines: bool) -> None:
    problems = []
    for case in read(path)[start : start + CHUNK]:
        got = replay(case, lines=lines)
        problem = disagreement(case, got)
        if problem:
            problems.append(report(case, got, problem))
    shown = "\n\n".join(problems[:SHOWN])
    assert not problems, f"{len(problems)} of {CHUNK} cases disagree; the first are:\n\n{shown}"


def test_flink_gives_what_its_documentation_says() -> None:
    [path] = [path for path in CASES if path.name == "known.jsonl.gz"]
    recorded = {case["id"]: case["answer"] for case in read(path)}
    for each in known():
        assert each.found(recorded[f"known/{each.name}"]) == sorted(each.expected), each.name


def test_there_are_cases_enough_of_every_kind() -> None:
    cases = [case for path in CASES for case in read(path)]
    assert len(cases) >= 4000
    assert sum("refused" in case["answer"] for case in cases) >= 300
    assert sum(path.stat().st_size for path in CASES) < 3 << 20

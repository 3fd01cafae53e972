"""``python -m tests.cep.oracle.record [--count N] [--seed N] [--compare | --check-harness]``.

Records cases; or compares the host with Flink on fresh ones; or the harness with real Flink jobs.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.cep.oracle import flink
from tests.cep.oracle.features import features, theme, weight
from tests.cep.oracle.generate import cases
from tests.cep.oracle.known import known

Json = dict[str, Any]

CASES = Path(__file__).parents[1] / "cases"
# Of long answers, and of empty ones, a few are enough.
_LONG = 120
_KEPT_LONG = 0.15
_KEPT_EMPTY = 0.3
_CASES_PER_JOB = 150


def main() -> int:
    """Record, or compare; returns 1 if the host and Flink disagree."""
    parser = argparse.ArgumentParser(prog="python -m tests.cep.oracle.record", description=__doc__)
    parser.add_argument("--count", type=int, default=6500, help="cases to draw; some are dropped")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compare", action="store_true", help="run the host on the cases too, and write nothing")
    parser.add_argument("--check-harness", action="store_true", help="run cases in event time as real jobs too")
    arguments = parser.parse_args()
    flink.install()
    class_path = flink.compile_harness()
    drawn = list(itertools.islice(cases(arguments.seed), arguments.count))
    if arguments.compare:
        return _compare(answered(class_path, drawn))
    if arguments.check_harness:
        return _check_harness(class_path, drawn)
    documented = [each.case() for each in known()]
    _write([*answered(class_path, documented), *worth_keeping(answered(class_path, drawn))])
    return 0


def answered(class_path: str, drawn: Iterable[Json]) -> Iterator[Json]:
    """The cases with Flink's answers; floods of matches are left out."""
    drawn = list(drawn)
    for case, line in zip(drawn, flink.answers(class_path, drawn), strict=True):
        answer = line["answer"]
        if "flooded" not in answer:
            # The harness has no order of keys, and the files must not depend on the day.
            yield {**case, "answer": {key: answer[key] for key in sorted(answer)}, **_exception(line)}


def _exception(line: Json) -> Json:
    if "crash" in line["answer"] or line.get("defect"):
        return {"exception": "crash"}
    if line.get("heap"):
        return {"exception": "heap-order", "varies": line["heap"]}
    return {"exception": "clock-steps" if line.get("clock") else None}


def worth_keeping(recorded: Iterable[Json]) -> Iterator[Json]:
    """Leave out most of those that show little for their size; which ones is decided by their names."""
    for case in recorded:
        lot = random.Random(case["id"]).random()
        found = case["answer"].get("matches")
        if found is None or (0 < len(found) <= _LONG) or lot < (_KEPT_LONG if found else _KEPT_EMPTY):
            yield case


def _write(recorded: Iterable[Json]) -> None:
    files: dict[str, list[Json]] = defaultdict(list)
    for case in recorded:
        files["known" if case["id"].startswith("known/") else theme(case)].append(case)
    CASES.mkdir(exist_ok=True)
    for old in CASES.glob("*.jsonl.gz"):
        old.unlink()
    for name, content in sorted(files.items()):
        lines = (json.dumps(case, separators=(",", ":")) + "\n" for case in sorted(content, key=weight))
        packed = gzip.compress("".join(lines).encode(), 9, mtime=0)
        (CASES / f"{name}.jsonl.gz").write_bytes(packed)
        print(f"{name:10} {len(content):6} cases {len(packed):9,} bytes")
    _count([case for content in files.values() for case in content])


def _count(recorded: list[Json]) -> None:
    counts = Counter(each for case in recorded for each in features(case))
    counts.update(f"exception {case['exception']} {case.get('varies', '')}" for case in recorded)
    for name, number in sorted(counts.items()):
        print(f"{number:6} {name}")


def _compare(recorded: Iterable[Json]) -> int:
    # The host is not needed for recording.
    from tests.cep.oracle.replay import disagreement, replay, report

    wrong = total = 0
    for case in recorded:
        total += 1
        got = replay(case)
        problem = disagreement(case, got)
        if problem:
            wrong += 1
            print(report(case, got, problem), end="\n\n")
    print(f"{total} cases, {wrong} disagreements")
    return 1 if wrong else 0


def _check_harness(class_path: str, drawn: Iterable[Json]) -> int:
    usable = [
        case
        for case in answered(class_path, drawn)
        if "matches" in case["answer"] and case["exception"] != "crash" and case["time"] == "event"
    ]
    wrong = 0
    for start in range(0, len(usable), _CASES_PER_JOB):
        found = flink.compare_with_jobs(class_path, usable[start : start + _CASES_PER_JOB])
        print(found, end="")
        wrong += ", 0 in which" not in found
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())

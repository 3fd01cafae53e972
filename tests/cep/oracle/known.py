"""Cases whose results Flink's documentation states: they show that the harness drives Flink as a job does.

A stream is written as words, ``"a b1 b2 c"``: the letters are the event's type ``t``, and one event comes each
millisecond. ``expected`` lists the matches in the same words, in any order, as the documentation does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Known:
    name: str
    rule: Json
    stream: str
    expected: tuple[str, ...]

    def case(self) -> Json:
        """As the harness reads it."""
        words = self.stream.split()
        events = [{"t": _letters(word), "word": word, "ts": 1001 + number} for number, word in enumerate(words)]
        return {
            "id": f"known/{self.name}",
            "rule": self.rule,
            "time": "event",
            "lateness": 0,
            "events": events,
            "watermarks": [[len(events) - 1, 2000]],
        }

    def found(self, answer: Json) -> list[str]:
        """The matches of an answer in words, sorted; time-outs are left out."""
        words = self.stream.split()
        taken = [
            sorted(position for positions in match["positions"].values() for position in positions)
            for match in answer["matches"]
            if match["kind"] == "match"
        ]
        return sorted(" ".join(words[position] for position in positions) for positions in taken)


def _letters(word: str) -> str:
    return word.rstrip("0123456789")


def _node(letters: str, strategy: str = "SKIP_TILL_NEXT", *properties: str, times: Json | None = None) -> Json:
    """A stage ``"a"``, or ``"a|b"``; its name is what stands before an equals sign: ``"end=b"``."""
    name, _, types = letters.rpartition("=")
    return {
        "name": name or re.sub(r"\W", "", types),
        "type": "ATOMIC",
        "quantifier": {"consumingStrategy": strategy, "properties": list(properties) or ["SINGLE"], "times": times},
        "condition": {"type": "AVIATOR", "expression": " || ".join(f"t == '{each}'" for each in types.split("|"))},
    }


def _rule(*chain: Json | str, skip: str = "NO_SKIP", name: str | None = None, window: int = 0) -> Json:
    """Stages with the type of an edge between each two."""
    nodes = [each for each in chain if not isinstance(each, str)]
    types = [each for each in chain if isinstance(each, str)]
    rule: Json = {
        "name": "rule",
        "type": "COMPOSITE",
        "quantifier": {"consumingStrategy": "SKIP_TILL_NEXT", "properties": ["SINGLE"]},
        "nodes": nodes,
        "edges": [
            {"source": nodes[number]["name"], "target": nodes[number + 1]["name"], "type": kind}
            for number, kind in enumerate(types)
        ],
        "afterMatchStrategy": {"type": skip, **({"patternName": name} if name else {})},
    }
    if window:
        rule["window"] = {"type": "FIRST_AND_LAST", "time": {"unit": "MILLISECONDS", "size": window}}
    return rule


def known() -> Iterator[Known]:
    """All of them."""
    yield from _contiguity()
    yield from _contiguity_in_loops()
    yield from _one_or_more()
    yield from _skipping()
    yield from _skipping_greedily()
    yield from _nots()


def _contiguity() -> Iterator[Known]:
    results = {"STRICT": (), "SKIP_TILL_NEXT": ("a b1",), "SKIP_TILL_ANY": ("a b1", "a b2")}
    for edge, expected in results.items():
        yield Known(f"contiguity {edge}", _rule(_node("a"), edge, _node("b")), "a c b1 b2", expected)


def _contiguity_in_loops() -> Iterator[Known]:
    strict = ("a b1 c", "a b2 c", "a b3 c")
    relaxed = (*strict, "a b1 b2 c", "a b1 b2 b3 c", "a b2 b3 c")
    for strategy, expected in {
        "STRICT": strict,
        "SKIP_TILL_NEXT": relaxed,
        "SKIP_TILL_ANY": (*relaxed, "a b1 b3 c"),
    }.items():
        loop = _node("b", strategy, "LOOPING")
        rule = _rule(_node("a"), "SKIP_TILL_ANY", loop, "SKIP_TILL_NEXT", _node("c"))
        yield Known(f"contiguity in a loop {strategy}", rule, "a b1 d1 b2 d2 b3 c", expected)


def _one_or_more() -> Iterator[Known]:
    strict = ("c a1 b", "c a1 a2 b", "c a1 a2 a3 b")
    relaxed = (*strict, "c a1 a2 a3 a4 b")
    combined = (*relaxed, "c a1 a3 b", "c a1 a4 b", "c a1 a2 a4 b", "c a1 a3 a4 b")
    for strategy, expected in {"STRICT": strict, "SKIP_TILL_NEXT": relaxed, "SKIP_TILL_ANY": combined}.items():
        loop = _node("a", strategy, "LOOPING")
        rule = _rule(_node("c"), "SKIP_TILL_NEXT", loop, "SKIP_TILL_NEXT", _node("b"))
        yield Known(f"one or more {strategy}", rule, "c d1 a1 a2 a3 d2 a4 b", expected)


def _skipping() -> Iterator[Known]:
    every = ("b1 b2 b3 c", "b2 b3 c", "b3 c")
    loop = _node("b", "STRICT", "LOOPING")
    for skip, name, expected in (
        ("NO_SKIP", None, every),
        ("SKIP_TO_NEXT", None, every),
        ("SKIP_PAST_LAST_EVENT", None, every[:1]),
        ("SKIP_TO_FIRST", "b", every),
        ("SKIP_TO_LAST", "b", ("b1 b2 b3 c", "b3 c")),
    ):
        rule = _rule(loop, "STRICT", _node("c"), skip=skip, name=name)
        yield Known(f"b+ c {skip}", rule, "b1 b2 b3 c", expected)
    loop = _node("b", "SKIP_TILL_NEXT", "LOOPING")
    # Not in the documentation: a relaxed loop lives on behind c, and withholds what began later.
    rule = _rule(loop, "STRICT", _node("c"), skip="SKIP_TO_FIRST", name="b")
    yield Known("relaxed b+ c SKIP_TO_FIRST", rule, "b1 b2 b3 c", every[:1])
    prefixes = ("a b1", "a b1 b2", "a b1 b2 b3")
    for skip, expected in (("NO_SKIP", prefixes), ("SKIP_TO_NEXT", prefixes[:1])):
        rule = _rule(_node("a"), "SKIP_TILL_NEXT", loop, skip=skip)
        yield Known(f"a b+ {skip}", rule, "a b1 b2 b3", expected)


def _skipping_greedily() -> Iterator[Known]:
    every = ("a b c1 c2 c3 d", "b c1 c2 c3 d", "c1 c2 c3 d")
    loop = _node("c", "SKIP_TILL_NEXT", "LOOPING", "GREEDY")
    for skip, name, expected in (
        ("NO_SKIP", None, every),
        ("SKIP_TO_FIRST", "c", ("a b c1 c2 c3 d", "c1 c2 c3 d")),
    ):
        stages = (_node("first=a|b|c"), "STRICT", _node("second=b|c"), "STRICT", loop, "STRICT", _node("d"))
        yield Known(f"greedy {skip}", _rule(*stages, skip=skip, name=name), "a b c1 c2 c3 d", expected)


def _nots() -> Iterator[Known]:
    for edge, stream, expected in (
        ("NOT_NEXT", "a1 b c a2 c", ("a2 c",)),
        ("NOT_FOLLOW", "a1 d b c a2 d c", ("a2 c",)),
    ):
        rule = _rule(_node("a"), edge, _node("b"), "SKIP_TILL_NEXT", _node("c"))
        yield Known(f"between two {edge}", rule, stream, expected)
    last = _rule(_node("a"), "NOT_FOLLOW", _node("b"), window=3)
    yield Known("at the end NOT_FOLLOW", last, "a1 d b a2 d d d", ("a2",))

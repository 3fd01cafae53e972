"""What a case is about: for dividing the cases into files, for putting the simplest first, and for counting."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]


def features(case: Json) -> frozenset[str]:
    """Words for what the rule uses and what its stream is like."""
    return frozenset(_of_rule(case["rule"])) | frozenset(_of_stream(case))


def theme(case: Json) -> str:
    """The file for a case: what is hardest in it."""
    if "refused" in case["answer"]:
        return "refused"
    if case["exception"] == "crash":
        return "crash"
    found = features(case)
    for name in ("group", "window", "not", "repeat"):
        if any(each == name or each.startswith(name + " ") for each in found):
            return name + "s"
    return "chains"


def weight(case: Json) -> tuple[int, int, int]:
    """Simple cases weigh little."""
    return (len(features(case)), len(json.dumps(case["rule"])), len(case["events"]))


def _of_rule(rule: Json) -> Iterator[str]:
    root_has_all = "quantifier" in rule
    yield "dialect graph" if root_has_all else "dialect nodes"
    skip = rule["afterMatchStrategy"] if root_has_all else rule["nodes"][0]["afterMatchSkipStrategy"]
    yield f"skip {skip['type']}"
    yield from _of_graph(rule, depth=0)


def _of_graph(graph: Json, depth: int) -> Iterator[str]:
    for edge in graph["edges"]:
        yield f"edge {edge['type']}"
        if edge["type"].startswith("NOT"):
            is_last = not any(other["source"] == edge["target"] for other in graph["edges"])
            yield f"not {edge['type']}{' last' if is_last else ''}{' in a group' if depth else ''}"
    yield from _of_window(graph, "the rule" if depth == 0 else "a group")
    for node in graph["nodes"]:
        inner = node.get("graph", node)
        if "nodes" in inner:
            yield f"group depth {depth + 1}"
            yield from _of_node(node, "group ")
            yield from _of_graph(inner, depth + 1)
        else:
            yield from _of_node(node, "")
        if inner is not graph and "graph" in node:
            yield from _of_window(node, "a group")


def _of_window(owner: Json, whose: str) -> Iterator[str]:
    if owner.get("window"):
        yield f"window {owner['window']['type']} of {whose}"


def _of_node(node: Json, prefix: str) -> Iterator[str]:
    quantifier = node["quantifier"]
    strategy = quantifier.get("innerConsumingStrategy", quantifier["consumingStrategy"])
    for each in quantifier["properties"]:
        if each in ("LOOPING", "TIMES"):
            yield f"{prefix}repeat {each} {strategy}"
        elif each != "SINGLE":
            yield f"{prefix}{each}"
    yield from _of_times(quantifier.get("times") or node.get("times"), prefix)
    until = quantifier.get("untilCondition") or node.get("untilCondition")
    if until:
        yield f"{prefix}until"
    if not prefix:
        yield from _of_window(node, "a stage")
        yield from _of_condition(node.get("condition"))
    yield from _of_condition(until) if until else ()


def _of_times(times: Json | None, prefix: str) -> Iterator[str]:
    if not times:
        return
    last = times.get("to", times["from"])
    yield f"{prefix}times {'from = to' if times['from'] == last else 'from < to' if times['from'] else 'from 0'}"
    if times.get("windowTime"):
        yield f"window of {prefix}times"


def _of_condition(condition: Json | None) -> Iterator[str]:
    if condition is None:
        yield "condition null"
    elif condition["type"] == "PARTIAL":
        yield f"condition {condition['op']}"


def _of_stream(case: Json) -> Iterator[str]:
    events = case["events"]
    moments = [event["ts"] for event in events]
    yield f"time {case['time']}"
    if moments != sorted(moments):
        yield "events out of order"
    if len(set(moments)) < len(moments):
        yield "equal times"
    if any(not {"t", "v"} & event.keys() for event in events) or any(len(event) < 3 for event in events):
        yield "a missing field"
    answer = case.get("answer", {})
    if answer.get("late"):
        yield "late events"
    for kind in ("match", "timeout"):
        if any(match["kind"] == kind for match in answer.get("matches", ())):
            yield f"answer with {kind}"

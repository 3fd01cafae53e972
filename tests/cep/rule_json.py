"""Rules as JSON, in few words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]

SINGLE: Json = {"consumingStrategy": "SKIP_TILL_NEXT", "properties": ["SINGLE"]}


def quantifier(*properties: str, inner: str = "SKIP_TILL_NEXT", **more: Any) -> Json:
    return {"consumingStrategy": inner, "properties": list(properties) or ["SINGLE"], **more}


def times(least: Any, most: Any = None, *properties: str, inner: str = "SKIP_TILL_NEXT", **more: Any) -> Json:
    most = least if most is None else most
    return quantifier("TIMES", *properties, inner=inner, times={"from": least, "to": most, **more})


def aviator(expression: str) -> Json:
    return {"type": "AVIATOR", "expression": expression}


def joined(how: str, *conditions: Any) -> Json:
    name = f"org.apache.flink.cep.pattern.conditions.Rich{how}Condition"
    return {"type": "CLASS", "className": name, "nestedConditions": list(conditions)}


def node(name: str, condition: str | Json | None = None, how: Json = SINGLE, **more: Any) -> Json:
    condition = aviator(condition) if isinstance(condition, str) else condition
    return {"name": name, "type": "ATOMIC", "quantifier": how, "condition": condition, **more}


def edges(nodes: Sequence[Json], kinds: Sequence[str] = ()) -> list[Json]:
    kinds = kinds or ["SKIP_TILL_NEXT"] * (len(nodes) - 1)
    pairs = zip(nodes, nodes[1:], kinds, strict=False)
    return [{"source": a["name"], "target": b["name"], "type": kind} for a, b, kind in pairs]


def group(name: str, *nodes: Json, how: Json = SINGLE, kinds: Sequence[str] = (), **more: Any) -> Json:
    return {
        "name": name,
        "type": "COMPOSITE",
        "quantifier": how,
        "condition": None,
        "nodes": list(nodes),
        "edges": edges(nodes, kinds),
        **more,
    }


def graph(*nodes: Json, kinds: Sequence[str] = (), skip: Json | str = "NO_SKIP", **more: Any) -> Json:
    """The pattern of a rule: a chain."""
    strategy = {"type": skip} if isinstance(skip, str) else skip
    return {**group("rule", *nodes, kinds=kinds), "afterMatchStrategy": strategy, **more}


def window(milliseconds: Any, kind: str = "FIRST_AND_LAST", unit: str = "MILLISECONDS") -> Json:
    return {"type": kind, "time": {"unit": unit, "size": milliseconds}}


def flink_dynamic(*nodes: Json, kinds: Sequence[str] = ()) -> Json:
    """The pattern in the dialect of flink-dynamic-cep."""
    return {"nodes": list(nodes), "edges": edges(nodes, kinds)}

"""Random rules and streams, each decided by a seed: small alphabets and few moments, so that much matches.

A rule drawn by :class:`_Draw` uses every feature of the formats, and mostly in ways that Flink accepts;
:data:`_FAULTS` then spoil some on purpose.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

Json = dict[str, Any]

_UNITS = {"MILLISECONDS": 1, "SECONDS": 1000, "MINUTES": 60_000, "HOURS": 3_600_000, "DAYS": 86_400_000}
_PLAIN_EDGES = ("STRICT", "SKIP_TILL_NEXT", "SKIP_TILL_ANY")
_NOT_EDGES = ("NOT_NEXT", "NOT_FOLLOW")
# Flink does not start the clock for events at or before zero.
_FIRST_MOMENT = 1000


def cases(seed: int, *, invalid: float = 0.08) -> Iterator[Json]:
    """Cases without answers, for ever; the same seed gives the same ones. ``invalid``: the part spoilt on purpose."""
    number = 0
    while True:
        draw = _Draw(random.Random(f"{seed}/{number}"))
        case = draw.case()
        if draw.random.random() < invalid:
            draw.spoil(case)
        yield {"id": f"{seed}-{number}", **case}
        number += 1


class _Draw:
    def __init__(self, rng: random.Random) -> None:
        self.random = rng
        self.letters = "abcd"[: rng.choice((2, 3, 3, 4))]
        self.unit = rng.choice((*["MILLISECONDS"] * 6, *["SECONDS"] * 2, "MINUTES", "HOURS", "DAYS"))
        self.names: list[str] = []
        self.nodes_carry_all = rng.random() < 0.25
        self.groups = rng.random() < 0.4

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    # Rules

    def rule(self) -> Json:
        skip = {"type": "NO_SKIP"}
        graph = self.graph(self.random.choice((1, 2, 2, 3, 3, 3, 4, 4, 5)), depth=0)
        if self.chance(0.6):
            skip = self.skip([node["name"] for node in graph["nodes"] if node["type"] == "ATOMIC"])
        if self.nodes_carry_all:
            _set_everywhere(graph, skip)
            return {"nodes": graph["nodes"], "edges": graph["edges"]}
        return {
            "name": "rule",
            "type": "COMPOSITE",
            "quantifier": {"consumingStrategy": "SKIP_TILL_NEXT", "properties": ["SINGLE"]},
            **graph,
            "afterMatchStrategy": skip,
            "version": 1,
        }

    def skip(self, names: list[str]) -> Json:
        kind = self.random.choice(("SKIP_TO_NEXT", "SKIP_PAST_LAST_EVENT", "SKIP_TO_FIRST", "SKIP_TO_LAST"))
        if kind in ("SKIP_TO_FIRST", "SKIP_TO_LAST"):
            if not names:
                return {"type": "SKIP_TO_NEXT"}
            return {"type": kind, "patternName": self.random.choice(names)}
        return {"type": kind}

    def graph(self, stages: int, depth: int) -> Json:
        nodes: list[Json] = []
        edges: list[Json] = []
        for _ in range(stages):
            edge = self.edge(nodes[-1] if nodes else None)
            node = self.node(edge, nodes[-1] if nodes else None, depth)
            if nodes:
                edges.append({"source": nodes[-1]["name"], "target": node["name"], "type": edge})
            nodes.append(node)
        ends_in_not = bool(edges) and edges[-1]["type"] == "NOT_FOLLOW"
        chance = (0.95 if ends_in_not else 0.45) if depth == 0 else 0.1
        window = self.window() if self.chance(chance) else None
        self.random.shuffle(edges)
        graph: Json = {"nodes": nodes, "edges": edges}
        if self.nodes_carry_all:
            nodes[-1]["window"] = window
        elif window:
            graph["window"] = window
        if self.chance(0.2):
            self.random.shuffle(nodes)
        return graph

    def edge(self, previous: Json | None) -> str:
        """What leads to the next node; a NOT behind an optional one is refused, and therefore rare."""
        may_be_not = previous is not None and (not _is_optional(previous) or self.chance(0.05))
        if may_be_not and self.chance(0.25):
            return self.random.choice(_NOT_EDGES)
        return self.random.choice((*_PLAIN_EDGES, "STRICT", "SKIP_TILL_NEXT", "SKIP_TILL_NEXT"))

    def node(self, edge: str, previous: Json | None, depth: int) -> Json:
        is_not = edge in _NOT_EDGES and previous is not None
        if self.groups and not is_not and depth < 2 and self.chance(0.4 if depth == 0 else 0.2):
            return self.group(previous, depth)
        name = f"{self.random.choice('pqrs')}{len(self.names)}"
        self.names.append(name)
        node: Json = {"name": name, "type": "ATOMIC", "condition": self.condition()}
        if is_not:
            self.put_quantifier(node, ["SINGLE"], "SKIP_TILL_NEXT")
        else:
            self.quantify(node, previous, may_be_greedy=True)
        if self.nodes_carry_all and self.chance(0.2):
            node["window"] = self.window()
        return node

    def group(self, previous: Json | None, depth: int) -> Json:
        name = f"g{len(self.names)}"
        self.names.append(name)
        graph = self.graph(self.random.choice((1, 2, 2, 3)), depth + 1)
        node: Json = {"name": name, "type": "COMPOSITE", "condition": None}
        self.quantify(node, previous, may_be_greedy=False)
        if not self.nodes_carry_all:
            return {**node, **graph, "afterMatchStrategy": {"type": self.random.choice(("NO_SKIP", "SKIP_TO_NEXT"))}}
        if self.chance(0.2):
            node["window"] = self.window()
        return {**node, "graph": graph}

    def quantify(self, node: Json, previous: Json | None, *, may_be_greedy: bool) -> None:
        kind = self.random.choices(("SINGLE", "LOOPING", "TIMES"), (50, 25, 25))[0]
        properties = [kind]
        behind_greedy = previous is not None and "GREEDY" in previous["quantifier"]["properties"]
        if self.chance(0.03 if behind_greedy else 0.22):
            properties.append("OPTIONAL")
        strategy = "SKIP_TILL_NEXT"
        times: Json | None = None
        if kind != "SINGLE":
            if may_be_greedy and self.chance(0.25):
                properties.append("GREEDY")
            strategy = self.random.choice(("STRICT", "SKIP_TILL_NEXT", "SKIP_TILL_NEXT", "SKIP_TILL_ANY"))
            times = self.times(kind)
        self.random.shuffle(properties)
        self.put_quantifier(node, properties, strategy, times, self.until() if kind == "LOOPING" else None)

    def times(self, kind: str) -> Json | None:
        if kind == "LOOPING" and self.chance(0.5):
            return None
        start = self.random.choice((1, 1, 2, 2, 3))
        window = self.time(1, 10) if self.chance(0.2) else None
        if kind == "LOOPING":
            return {"from": start, "to": start, "windowTime": window}
        if self.chance(0.1):
            return {"from": 0, "to": start, "windowTime": window}
        return {"from": start, "to": start + self.random.choice((0, 0, 1, 2)), "windowTime": window}

    def until(self) -> Json | None:
        return self.condition() if self.chance(0.3) else None

    def put_quantifier(
        self, node: Json, properties: list[str], strategy: str, times: Json | None = None, until: Json | None = None
    ) -> None:
        quantifier: Json = {"consumingStrategy": strategy, "properties": properties}
        extra = {"times": times, "untilCondition": until}
        if self.nodes_carry_all:
            quantifier = {
                "consumingStrategy": "SKIP_TILL_NEXT",
                "innerConsumingStrategy": strategy,
                "properties": properties,
            }
            node.update({**extra, "window": None})
        else:
            quantifier.update({key: value for key, value in extra.items() if value or self.chance(0.5)})
        node["quantifier"] = quantifier

    def time(self, least: int, most: int) -> Json:
        return {"unit": self.unit, "size": self.random.randint(least, most)}

    def window(self) -> Json:
        kind = self.random.choice(("FIRST_AND_LAST", "FIRST_AND_LAST", "PREVIOUS_AND_CURRENT"))
        return {"type": kind, "time": self.time(2, 14) if kind == "FIRST_AND_LAST" else self.time(1, 6)}

    # Conditions

    def condition(self) -> Json | None:
        if self.chance(0.04):
            return None
        if self.names and self.chance(0.1):
            return self.partial()
        return {"type": "AVIATOR", "expression": self.expression()}

    def expression(self) -> str:
        letter = self.random.choice(self.letters)
        number = self.random.randint(1, 4)
        return self.random.choices(
            (
                f"t == '{letter}'",
                f"t != '{letter}'",
                f"t == '{letter}' && v {self.random.choice(('>', '<', '>=', '<='))} {number}",
                f"t == '{letter}' || t == '{self.random.choice(self.letters)}'",
                f"v {self.random.choice(('>', '<', '==', '!='))} {number}",
                f"t == '{letter}' && v < {number} || v == {number}",
            ),
            (60, 6, 12, 8, 10, 4),
        )[0]

    def partial(self) -> Json:
        op = self.random.choice(("sum_lt", "count_lt", "last_lt"))
        value = self.random.randint(1, 3) if op == "count_lt" else self.random.randint(4, 12)
        partial = {"type": "PARTIAL", "pattern": self.random.choice(self.names), "op": op, "field": "v", "value": value}
        return {**partial, "expression": self.expression()} if self.chance(0.7) else partial

    # Streams

    def case(self) -> Json:
        rule = self.rule()
        by_arrival = self.chance(0.3)
        events = [self.event() for _ in range(self.random.randint(5, 25) if self.chance(0.95) else 60)]
        self.stamp(events)
        lateness = 0 if by_arrival else self.random.choice((0, 0, 0, 1, 3)) * _UNITS[self.unit]
        if not by_arrival and self.chance(0.4):
            self.disorder(events, lateness)
        return {
            "rule": rule,
            "time": "arrival" if by_arrival else "event",
            "lateness": lateness,
            "events": events,
            "watermarks": self.clock(events, lateness, by_arrival=by_arrival),
        }

    def event(self) -> Json:
        event: Json = {"t": self.random.choice(self.letters), "v": self.random.randint(0, 5), "ts": 0}
        if self.chance(0.02):
            del event[self.random.choice("tv")]
        return event

    def stamp(self, events: list[Json]) -> None:
        steps = self.random.choice(((0, 1, 1, 1, 2), (0, 0, 1), (1,), (0, 1, 2, 5), (1, 1, 1, 8)))
        moment = _FIRST_MOMENT
        for event in events:
            moment += self.random.choice(steps) * _UNITS[self.unit]
            event["ts"] = moment

    def disorder(self, events: list[Json], lateness: int) -> None:
        """Some events come late, a few of them later than is waited for."""
        for event in events:
            if self.chance(0.25):
                back = self.random.randint(0, lateness + 2 * _UNITS[self.unit])
                event["ts"] = max(_FIRST_MOMENT, event["ts"] - back)

    def clock(self, events: list[Json], lateness: int, *, by_arrival: bool) -> list[list[int]]:
        often = self.random.choice((1.0, 1.0, 0.4, 0.1)) if not by_arrival else self.random.choice((0.0, 0.3))
        marks: list[list[int]] = []
        newest = 0
        for position, event in enumerate(events):
            newest = max(newest, event["ts"])
            if self.chance(often):
                marks.append([position, newest - lateness])
                # A clock by arrival may run on, but not past the next event.
                if by_arrival and position + 1 < len(events):
                    marks[-1][1] = self.random.randint(newest, events[position + 1]["ts"])
        last = len(events) - 1
        marks.append([last, newest + (0 if self.chance(0.15) else 60 * _UNITS[self.unit])])
        return marks

    # Faults

    def spoil(self, case: Json) -> None:
        name = self.random.choice(sorted(_FAULTS))
        _FAULTS[name](self, case["rule"])
        case["fault"] = name


def _set_everywhere(graph: Json, skip: Json) -> None:
    for node in graph["nodes"]:
        node["afterMatchSkipStrategy"] = skip
        if "graph" in node:
            _set_everywhere(node["graph"], skip)


def _is_optional(node: Json) -> bool:
    times = node["quantifier"].get("times") or node.get("times")
    return "OPTIONAL" in node["quantifier"]["properties"] or bool(times and times["from"] == 0)


# Faults: each makes (nearly) every rule one that must be refused.


def _chain(rule: Json) -> list[Json]:
    """The top nodes in the order of the edges."""
    nodes = {node["name"]: node for node in rule["nodes"]}
    following = {edge["source"]: edge["target"] for edge in rule["edges"]}
    name: str | None = next(name for name in nodes if name not in following.values())
    chain = []
    while name is not None:
        chain.append(nodes[name])
        name = following.get(name)
    return chain


def _add(draw: _Draw, rule: Json, edge: str, properties: list[str] | None = None) -> Json:
    """One more node at the end; its window, if any, is the rule's."""
    last = _chain(rule)[-1]
    node: Json = {"name": "extra", "type": "ATOMIC", "condition": {"type": "AVIATOR", "expression": "t == 'a'"}}
    draw.put_quantifier(node, properties or ["SINGLE"], "SKIP_TILL_NEXT")
    if draw.nodes_carry_all:
        node["afterMatchSkipStrategy"] = last["afterMatchSkipStrategy"]
    rule["nodes"].append(node)
    rule["edges"].append({"source": last["name"], "target": "extra", "type": edge})
    return node


def _strategy(draw: _Draw, rule: Json, skip: Json) -> None:
    if draw.nodes_carry_all:
        _set_everywhere(rule, skip)
    else:
        rule["afterMatchStrategy"] = skip


def _owner(draw: _Draw, node: Json) -> Json:
    owner: Json = node if draw.nodes_carry_all else node["quantifier"]
    return owner


def _set_properties(draw: _Draw, node: Json, properties: list[str], times: Json | None = None) -> None:
    node["quantifier"]["properties"] = properties
    _owner(draw, node)["times"] = times
    _owner(draw, node)["untilCondition"] = None


def _inner(draw: _Draw, strategy: str) -> Callable[[Json], None]:
    key = "innerConsumingStrategy" if draw.nodes_carry_all else "consumingStrategy"
    return lambda node: node["quantifier"].update({key: strategy})


def _any_node(draw: _Draw, rule: Json) -> Json:
    node: Json = draw.random.choice(rule["nodes"])
    return node


def _greedy_single(draw: _Draw, rule: Json) -> None:
    node = _any_node(draw, rule)
    _set_properties(draw, node, ["SINGLE", "GREEDY"])
    _inner(draw, "SKIP_TILL_NEXT")(node)


def _greedy_group(draw: _Draw, rule: Json) -> None:
    inner = _chain(rule)[0]
    group: Json = {"name": "greedy", "type": "COMPOSITE", "condition": None}
    draw.put_quantifier(group, ["LOOPING", "GREEDY"], "SKIP_TILL_NEXT")
    graph = {"nodes": [inner], "edges": []}
    if draw.nodes_carry_all:
        group.update({"graph": graph, "afterMatchSkipStrategy": {"type": "NO_SKIP"}})
    else:
        group.update({**graph, "afterMatchStrategy": {"type": "NO_SKIP"}})
    rule["nodes"][rule["nodes"].index(inner)] = group
    for edge in rule["edges"]:
        if edge["source"] == inner["name"]:
            edge["source"] = "greedy"


def _optional_not(draw: _Draw, rule: Json) -> None:
    _add(draw, rule, draw.random.choice(_NOT_EDGES), ["SINGLE", "OPTIONAL"])


def _looping_not(draw: _Draw, rule: Json) -> None:
    _add(draw, rule, draw.random.choice(_NOT_EDGES), ["LOOPING"])


def _repeated_not(draw: _Draw, rule: Json) -> None:
    node = _add(draw, rule, draw.random.choice(_NOT_EDGES))
    _set_properties(draw, node, ["TIMES"], {"from": 1, "to": 2, "windowTime": None})


def _not_behind_optional(draw: _Draw, rule: Json) -> None:
    last = _chain(rule)[-1]
    times = {"from": 0, "to": 2, "windowTime": None}
    if draw.chance(0.5):
        _set_properties(draw, last, ["SINGLE", "OPTIONAL"])
    else:
        _set_properties(draw, last, ["TIMES"], times)
    _inner(draw, "SKIP_TILL_NEXT")(last)
    _add(draw, rule, draw.random.choice(_NOT_EDGES))


def _optional_behind_greedy(draw: _Draw, rule: Json) -> None:
    last = _chain(rule)[-1]
    _set_properties(draw, last, ["LOOPING", "GREEDY"])
    _add(draw, rule, draw.random.choice(_PLAIN_EDGES), ["SINGLE", "OPTIONAL"])


def _endless_not(draw: _Draw, rule: Json) -> None:
    for node in rule["nodes"]:
        node.pop("window", None)
    rule.pop("window", None)
    _add(draw, rule, "NOT_FOLLOW")


def _until_without_loop(draw: _Draw, rule: Json) -> None:
    node = _any_node(draw, rule)
    _set_properties(draw, node, ["TIMES"], {"from": 2, "to": 2, "windowTime": None})
    _owner(draw, node)["untilCondition"] = {"type": "AVIATOR", "expression": "t == 'a'"}


def _name_twice(draw: _Draw, rule: Json) -> None:
    _add(draw, rule, "SKIP_TILL_NEXT")
    name = draw.random.choice(draw.names)
    rule["nodes"][-1]["name"] = name
    rule["edges"][-1]["target"] = name


def _skip_to_nobody(draw: _Draw, rule: Json) -> None:
    top = {node["name"] for node in rule["nodes"] if node["type"] == "ATOMIC"}
    hidden = [name for name in draw.names if name not in top]
    kind = draw.random.choice(("SKIP_TO_FIRST", "SKIP_TO_LAST"))
    _strategy(draw, rule, {"type": kind, "patternName": draw.random.choice([*hidden, "nobody"])})


def _contiguity_of_single(draw: _Draw, rule: Json) -> None:
    node = _any_node(draw, rule)
    _set_properties(draw, node, ["SINGLE"])
    _inner(draw, draw.random.choice(("STRICT", "SKIP_TILL_ANY")))(node)


def _two_quantifiers(draw: _Draw, rule: Json) -> None:
    _set_properties(draw, _any_node(draw, rule), ["TIMES", "LOOPING"], {"from": 1, "to": 2, "windowTime": None})


def _gap_beyond_window(draw: _Draw, rule: Json) -> None:
    first = _chain(rule)[0]
    _set_properties(draw, first, ["TIMES"], {"from": 3, "to": 3, "windowTime": {"unit": draw.unit, "size": 20}})
    node = _add(draw, rule, "SKIP_TILL_NEXT")
    window = {"type": "FIRST_AND_LAST", "time": {"unit": draw.unit, "size": 10}}
    (node if draw.nodes_carry_all else rule)["window"] = window


def _impossible_times(draw: _Draw, rule: Json) -> None:
    kind, times = draw.random.choice(
        (("TIMES", {"from": 3, "to": 2}), ("TIMES", {"from": 0, "to": 0}), ("LOOPING", {"from": 0, "to": 0}))
    )
    _set_properties(draw, _any_node(draw, rule), [kind], {**times, "windowTime": None})


def _fork(draw: _Draw, rule: Json) -> None:
    _add(draw, rule, "STRICT")
    rule["edges"].append({"source": _chain(rule)[0]["name"], "target": "extra", "type": "SKIP_TILL_NEXT"})


def _two_starts(draw: _Draw, rule: Json) -> None:
    _add(draw, rule, "STRICT")
    rule["edges"].pop()


def _circle(draw: _Draw, rule: Json) -> None:
    chain = _chain(rule)
    rule["edges"].append({"source": chain[-1]["name"], "target": chain[0]["name"], "type": "SKIP_TILL_NEXT"})


def _edge_to_nobody(draw: _Draw, rule: Json) -> None:
    rule["edges"].append({"source": _chain(rule)[-1]["name"], "target": "nobody", "type": "STRICT"})


def _not_a_group(draw: _Draw, rule: Json) -> None:
    inner: Json = {"name": "inner", "type": "ATOMIC", "condition": None}
    draw.put_quantifier(inner, ["SINGLE"], "SKIP_TILL_NEXT")
    node = _add(draw, rule, draw.random.choice(_NOT_EDGES))
    graph = {"nodes": [inner], "edges": []}
    node.update({"type": "COMPOSITE", "condition": None})
    if draw.nodes_carry_all:
        inner["afterMatchSkipStrategy"] = node["afterMatchSkipStrategy"]
        node["graph"] = graph
    else:
        node.update({**graph, "afterMatchStrategy": {"type": "NO_SKIP"}})


def _repeated_rule(draw: _Draw, rule: Json) -> None:
    if draw.nodes_carry_all:
        _circle(draw, rule)
    else:
        rule["quantifier"] = {"consumingStrategy": "SKIP_TILL_NEXT", "properties": ["LOOPING"]}


_FAULTS: dict[str, Callable[[_Draw, Json], None]] = {
    "a circle of edges": _circle,
    "a fork": _fork,
    "a name used twice": _name_twice,
    "a quantifier on the rule": _repeated_rule,
    "an edge to nobody": _edge_to_nobody,
    "contiguity of a single stage": _contiguity_of_single,
    "gap beyond the window": _gap_beyond_window,
    "greedy group": _greedy_group,
    "greedy single": _greedy_single,
    "impossible times": _impossible_times,
    "last not-followed-by without window": _endless_not,
    "looping not": _looping_not,
    "not a group": _not_a_group,
    "not behind optional": _not_behind_optional,
    "optional behind greedy": _optional_behind_greedy,
    "optional not": _optional_not,
    "repeated not": _repeated_not,
    "skip to nobody": _skip_to_nobody,
    "two quantifiers": _two_quantifiers,
    "two starts": _two_starts,
    "until without loop": _until_without_loop,
}

"""Reads the JSON of a pattern, in the dialect of dynamic Flink CEP (FLIP-200) or that of flink-dynamic-cep.

Which dialect it is, is seen from its shape: the root of the second has ``nodes`` and ``edges`` only, and what belongs
to a graph or a quantifier in the first sits on every node.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from trimtab.cep.checks import MAX_DEPTH, MAX_STAGES, check
from trimtab.cep.documents import Fields, one_of, shown
from trimtab.cep.errors import refused
from trimtab.cep.pattern import (
    Combined,
    Condition,
    Contiguity,
    Edge,
    Pattern,
    Quantifier,
    SkipStrategy,
    Stage,
    Window,
    free_name,
)
from trimtab.cep.reading_conditions import read_condition

CONTIGUITIES: tuple[Contiguity, ...] = ("STRICT", "SKIP_TILL_NEXT", "SKIP_TILL_ANY")
EDGES: tuple[Edge, ...] = (*CONTIGUITIES, "NOT_NEXT", "NOT_FOLLOW")
SKIPS = ("NO_SKIP", "SKIP_TO_NEXT", "SKIP_PAST_LAST_EVENT", "SKIP_TO_FIRST", "SKIP_TO_LAST")
UNITS = {"DAYS": 86_400_000, "HOURS": 3_600_000, "MINUTES": 60_000, "SECONDS": 1000, "MILLISECONDS": 1}
"""Milliseconds of each unit of time."""
PROPERTIES = ("SINGLE", "LOOPING", "TIMES", "OPTIONAL", "GREEDY")
_GRAPH = ("nodes", "edges", "window", "afterMatchStrategy", "version")
_ROOT = ("name", "type", "quantifier", "condition")
_NODE = (*_ROOT, "windows")
_OTHER_NODE = (*_ROOT, "times", "untilCondition", "window", "afterMatchSkipStrategy", "graph")


def read_pattern(value: Any, path: str = "$") -> Pattern:
    """Return the pattern of a decoded JSON value; ``path``: where it stands.

    A condition may also be a Python callable ``(event, partial) -> bool``. Raises :class:`RuleError`.
    """
    reader: _Reader = _Reader() if isinstance(value, dict) and "type" in value else _OtherReader()
    pattern = reader.pattern(value, path)
    check(pattern)
    return pattern


@dataclass
class _Reader:
    """The dialect of dynamic Flink CEP."""

    paths: dict[str | Condition | SkipStrategy, str] = field(default_factory=dict)

    def pattern(self, value: Any, path: str) -> Pattern:
        root = Fields(value, path, (*_ROOT, *_GRAPH))
        one_of(root.get("type", "COMPOSITE"), root.at("type"), ["COMPOSITE"])
        if root.has("quantifier"):
            quantifier = self.quantifier(root, "quantifier")
            if quantifier.repeat != "SINGLE" or quantifier.optional or quantifier.greedy:
                raise refused(
                    root.at("quantifier"), "SINGLE, as this is the whole rule", shown(root.optional("quantifier"))
                )
        else:
            root.get("quantifier", "an object")
        if root.has("condition"):
            raise refused(root.at("condition"), "null: a graph has no condition", shown(root.optional("condition")))
        name = root.text("name")
        self.paths[name] = path
        stages = self.graph(root, 1)
        return Pattern(stages, self.skip(root, "afterMatchStrategy"), name, self.paths)

    def graph(self, graph: Fields, depth: int) -> tuple[Stage, ...]:
        if graph.has("version"):
            version = graph.optional("version")
            if version != 1 or type(version) is not int:
                raise refused(graph.at("version"), "1, the version of the format", shown(version))
        stages = self.chain(graph, depth)
        if graph.has("window"):
            stages = (*stages[:-1], stages[-1].within(self.window(graph.optional("window"), graph.at("window"))))
        return stages

    def chain(self, graph: Fields, depth: int) -> tuple[Stage, ...]:
        """Return the nodes of a graph in the order of its edges."""
        if depth > MAX_DEPTH:
            raise refused(graph.path, f"at most {MAX_DEPTH} levels of groups", "more")
        nodes: dict[str, Stage] = {}
        values = graph.items("nodes", "a list of nodes")
        if len(values) > MAX_STAGES:
            raise refused(graph.at("nodes"), f"at most {MAX_STAGES} nodes", str(len(values)))
        for number, node in enumerate(values):
            path = f"{graph.at('nodes')}[{number}]"
            stage = self.node(node, path, depth)
            if stage.name in self.paths:
                raise refused(f"{path}.name", "a name that no other node has", repr(stage.name))
            self.paths[stage.name] = path
            nodes[stage.name] = stage
        if not nodes:
            raise refused(graph.at("nodes"), "at least one node", "none")
        return _ordered(graph, nodes)

    def node(self, value: Any, path: str, depth: int) -> Stage:
        is_group = isinstance(value, dict) and value.get("type") == "COMPOSITE"
        node = Fields(value, path, (*_NODE, *_GRAPH) if is_group else _NODE)
        name = node.text("name")
        node.one_of("type", ["ATOMIC", "COMPOSITE"])
        node.get("quantifier", "an object")
        quantifier = self.quantifier(node, "quantifier")
        condition = self.condition(node, "condition")
        windows = self.windows(node) if node.has("windows") else ()
        if not is_group:
            return Stage(name, condition=condition, quantifier=quantifier, windows=windows)
        if node.has("afterMatchStrategy"):
            self.skip(node, "afterMatchStrategy")  # of an inner graph it counts nothing, but must be one
        group = self.graph(node, depth + 1)
        return Stage(name, condition=condition, quantifier=quantifier, windows=windows, group=group)

    def condition(self, around: Fields, name: str) -> Condition | None:
        condition = read_condition(around.optional(name), around.at(name))
        if condition is not None:
            self._note(condition, around.at(name))
        return condition

    def _note(self, condition: Condition, path: str) -> None:
        if not isinstance(condition, Combined):
            self.paths.setdefault(condition, path)
            return
        for number, part in enumerate(condition.parts):
            self._note(part, f"{path}.nestedConditions[{number}]")

    def quantifier(self, node: Fields, name: str) -> Quantifier:
        fields = Fields(
            node.optional(name), node.at(name), ("consumingStrategy", "properties", "times", "untilCondition")
        )
        inner = fields.one_of("consumingStrategy", CONTIGUITIES)
        return self.repeated(fields, fields, inner)

    def repeated(self, fields: Fields, around: Fields, inner: Contiguity) -> Quantifier:
        """Return the quantifier. ``around``: what has ``times`` and ``untilCondition``."""
        path = fields.at("properties")
        properties = [one_of(each, path, PROPERTIES) for each in fields.items("properties", "a list")]
        repeats = [each for each in ("SINGLE", "LOOPING", "TIMES") if each in properties]
        if len(repeats) > 1:
            raise refused(path, "one of SINGLE, LOOPING and TIMES", shown(properties))
        repeat: Any = repeats[0] if repeats else "SINGLE"
        least, most, window = self.times(around, repeat)
        until = self.condition(around, "untilCondition")
        optional, greedy = "OPTIONAL" in properties, "GREEDY" in properties
        return Quantifier(repeat, least, most, optional, greedy, inner, window, until)

    def times(self, around: Fields, repeat: str) -> tuple[int, int, int | None]:
        if not around.has("times"):
            if repeat == "TIMES":
                raise refused(around.at("times"), "how often, as TIMES asks for it: {from, to}", "nothing")
            return 1, 1, None
        if repeat == "SINGLE":
            raise refused(around.at("times"), "times with TIMES or LOOPING only", "times with SINGLE")
        times = Fields(around.optional("times"), around.at("times"), ("from", "to", "windowTime"))
        least = times.integer("from", 0 if repeat == "TIMES" else 1)
        most = least
        if repeat == "TIMES" and times.has("to"):
            most = times.integer("to", max(least, 1))
        elif repeat == "TIMES" and not least:
            raise refused(times.at("to"), "a whole number from 1 on, as from is 0", "nothing")
        window = self.time(times, "windowTime") if times.has("windowTime") else None
        return least, most, window

    def windows(self, node: Fields) -> tuple[Window, ...]:
        """Return the windows of a node itself, which dynamic Flink CEP has no place for but Flink's API has."""
        path = node.at("windows")
        found = tuple(
            self.window(each, f"{path}[{number}]") for number, each in enumerate(node.items("windows", "a list"))
        )
        if len({window.type for window in found}) < len(found):
            raise refused(path, "at most one window of each type", f"{len(found)} windows")
        return found

    def window(self, value: Any, path: str) -> Window:
        window = Fields(value, path, ("type", "time"))
        kind = window.one_of("type", ("FIRST_AND_LAST", "PREVIOUS_AND_CURRENT"))
        window.get("time", "an object {unit, size}")
        return Window(self.time(window, "time"), kind)  # type: ignore[arg-type]

    def time(self, around: Fields, name: str) -> int:
        time = Fields(around.optional(name), around.at(name), ("unit", "size"))
        unit = time.one_of("unit", tuple(UNITS))
        size = time.integer("size", 1) * UNITS[unit]
        if size >= 1 << 53:
            raise refused(time.path, "a time below 2^53 ms", f"{size} ms")
        return size

    def skip(self, around: Fields, name: str) -> SkipStrategy:
        around.get(name, "the after-match strategy")
        strategy = Fields(around.optional(name), around.at(name), ("type", "patternName"))
        kind: Any = strategy.one_of("type", SKIPS)
        named = kind in ("SKIP_TO_FIRST", "SKIP_TO_LAST")
        found = SkipStrategy(kind, strategy.text("patternName") if named else None)
        self.paths.setdefault(found, around.at(name))
        return found


class _OtherReader(_Reader):
    """The dialect of flink-dynamic-cep."""

    def pattern(self, value: Any, path: str) -> Pattern:
        root = Fields(value, path, ("nodes", "edges"))
        stages = self.chain(root, 1)
        # As in Flink, where a pattern is begun with its strategy: that of the first node counts.
        nodes = {node["name"]: node for node in root.items("nodes", "a list of nodes")}
        first = Fields(nodes[stages[0].name], self.paths[stages[0].name], _OTHER_NODE)
        key = "afterMatchSkipStrategy"
        skip = self.skip(first, key) if first.has(key) else SkipStrategy()
        name = free_name("pattern", stages)
        return Pattern(stages, skip, name, {**self.paths, name: path})

    def node(self, value: Any, path: str, depth: int) -> Stage:
        node = Fields(value, path, _OTHER_NODE)
        name = node.text("name")
        if node.has("type"):
            node.one_of("type", ["ATOMIC", "COMPOSITE"])
        node.get("quantifier", "an object")
        fields = Fields(
            node.optional("quantifier"),
            node.at("quantifier"),
            ("consumingStrategy", "innerConsumingStrategy", "properties"),
        )
        inner: Contiguity = "SKIP_TILL_NEXT"
        if fields.has("innerConsumingStrategy"):
            inner = fields.one_of("innerConsumingStrategy", CONTIGUITIES)
        if fields.has("consumingStrategy"):
            fields.one_of("consumingStrategy", EDGES)  # the edge decides
        if node.has("afterMatchSkipStrategy"):
            self.skip(node, "afterMatchSkipStrategy")
        group = None
        if node.has("graph"):
            group = self.chain(Fields(node.optional("graph"), node.at("graph"), ("nodes", "edges")), depth + 1)
        stage = Stage(
            name,
            condition=self.condition(node, "condition"),
            quantifier=self.repeated(fields, node, inner),
            group=group,
        )
        return stage.within(self.window(node.optional("window"), node.at("window"))) if node.has("window") else stage


def _ordered(graph: Fields, nodes: dict[str, Stage]) -> tuple[Stage, ...]:
    """Bring nodes into the order of the edges, which must be one chain."""
    edges = graph.items("edges", "a list of edges")
    following: dict[str, tuple[str, Edge]] = {}
    led_to: set[str] = set()
    for number, value in enumerate(edges):
        edge = Fields(value, f"{graph.at('edges')}[{number}]", ("source", "target", "type"))
        source, target = (one_of(edge.text(end), edge.at(end), tuple(nodes)) for end in ("source", "target"))
        kind = edge.one_of("type", EDGES)
        if source in following:
            raise refused(edge.at("source"), "one edge from each node", f"a second one from {source!r}")
        if target in led_to:
            raise refused(edge.at("target"), "one edge to each node", f"a second one to {target!r}")
        following[source] = (target, kind)
        led_to.add(target)
    name = next((name for name in nodes if name not in led_to), None)
    if name is None:
        raise refused(graph.at("edges"), "edges that form a chain", "a cycle")
    ordered = [nodes[name]]
    while name in following:
        name, kind = following[name]
        ordered.append(_with_edge(nodes[name], kind))
    if len(ordered) != len(nodes):
        joined = {stage.name for stage in ordered}
        apart = next(each for each in nodes if each not in joined)
        raise refused(graph.at("edges"), "edges that join all nodes to one chain", f"{apart!r} apart")
    return tuple(ordered)


def _with_edge(stage: Stage, edge: Edge) -> Stage:
    return Stage(stage.name, edge, stage.condition, stage.quantifier, stage.windows, stage.group)

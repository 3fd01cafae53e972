"""``trimtab explain``: what each sample event does to the partial matches of a rule, and why it does not fire."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.cep.answers import MISSING, Answer, Said
from trimtab.cep.explain import Explanation
from trimtab.cep.sample import EventReader
from trimtab.cep.steps import Furthest, Moment, Step, Summary
from trimtab.cli.match import Events, now, read_all
from trimtab.cli.output import console, print_line, print_table
from trimtab.cli.rule_files import STDIN, RuleFiles
from trimtab.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

_STYLES = {"match": "bold green", "died": "red", "expired": "red", "dropped": "red", "stopped": "red"} | {
    "began": "cyan",
    "advanced": "cyan",
    "branched": "cyan",
    "nothing": "dim",
    "unbound": "dim",
}
_LONGEST = 80
"""Characters of an event or a value that are shown."""


def explain(config: Path, rule: Path, events: Events, *, as_json: bool) -> int:
    """Print what happens. 1 if some line is no event, or there were too many partial matches."""
    if rule == events.path == STDIN:
        raise UsageError("expected one of RULE and --events from stdin, got both")
    files = RuleFiles(config, rule)
    document = files.read().rule
    event_time = (events.time or document.time or "event") == "event"
    reader = EventReader(events.timestamp, events.key or document.key, event_time=event_time, now=now)
    explanation = Explanation(document, now, files.function, event_time=event_time)
    incoming = [event for batch in read_all(reader, events) for event in batch.one_by_one()]
    if as_json:
        for moment in explanation.moments(incoming):
            print_line(moment)
        print_line({"summary": explanation.summary})
    else:
        out = console()
        for moment in explanation.moments(incoming):
            _print_moment(out, moment)
        _print_summary(explanation.summary, keyed=reader.keyed)
    return 1 if reader.bad or explanation.placed.overflows else 0


def _print_moment(out: Console, moment: Moment) -> None:
    out.print(" ".join(_head(moment)), style="bold" if moment.event is not None else None, soft_wrap=True)
    for step in moment.steps:
        out.print(f"    {_text(step)}", style=_STYLES.get(step.what), soft_wrap=True)


def _head(moment: Moment) -> Iterator[str]:
    if moment.event is not None:
        yield f"event {moment.event}"
    yield f"at {moment.time}"
    if moment.key is not None:
        yield f"key {_short(moment.key)}"
    if moment.event is not None:
        yield _short(moment.value)


def _text(step: Step) -> str:
    number, waits = f"#{step.partial}", _waits(step.waits_for)
    match step.what:
        case "began":
            return f"{number} began with {step.stage}{waits}"
        case "advanced":
            return f"{number} took it as {step.stage}{waits}"
        case "branched":
            return f"{number} branched from #{step.parent}, took it as {step.stage}{waits}"
        case "waits":
            return f"{number} waits for {_or(step.waits_for)}{_because(step.answers)}"
        case "match":
            return f"{number} MATCH {_taken(step.events)}"
        case "withheld":
            return f"{number} is complete {_taken(step.events)}, but withheld while {_earlier(step.after)} lives"
        case "nothing":
            return f"began nothing{_because(step.answers)}"
        case "stopped":
            return "too many partial matches for this key: they were dropped, and the rule is stopped for it"
        case "unbound":
            return "the rule is not bound to this key"
        case _:
            return f"{number if step.partial else 'what it began'} {_ending(step)}"


def _ending(step: Step) -> str:
    """Say how a partial match ended."""
    if step.what == "dropped":
        by = "" if step.after is None else f" by the match #{step.after}"
        return f"{'was complete, and ' if step.stage else ''}was dropped: skipped{by}"
    if step.what == "expired":
        since = "the event before" if step.why == "window between" else "its first event"
        return f"expired: {_duration(step.limit or 0)} since {since}; it waited for {_or(step.waits_for)}"
    reasons = {
        "not": f"{step.stage} must not come",
        "until": "the event ends the loop",
        "greedy": "a greedy stage has the event for itself",
        "strict": f"the very next event had to be {_or(step.waits_for)}",
    }
    return f"died: {reasons[step.why or 'strict']}{_because(step.answers)}"


def _because(answers: list[Answer]) -> str:
    texts = [f"{answer.stage}: {_all_said(answer)}" for answer in answers if answer.conditions and not answer.true]
    return "".join(f"; {text}" for text in texts)


def _all_said(answer: Answer) -> str:
    false = [said for said in answer.conditions if not said.true]
    return ", ".join(map(_said, false or answer.conditions))


def _said(said: Said) -> str:
    values = [f"{path} = {value if value == MISSING else _short(value)}" for path, value in said.values.items()]
    notes = [*values, *([said.error] if said.error else [])]
    return f"{said.condition} is {'true' if said.true else 'false'}" + (f" ({', '.join(notes)})" if notes else "")


def _print_summary(summary: Summary, *, keyed: bool) -> None:
    out = console()
    counts = [
        f"{summary.events} events",
        f"{summary.matches} matches",
        f"{summary.began} partial matches began",
        f"{summary.expired} expired",
        f"{summary.open} live at the end",
    ]
    if summary.withheld:
        counts.append(f"{summary.withheld} complete ones are withheld")
    out.print("\n" + ", ".join(counts), style="bold", soft_wrap=True)
    rows = [(name, count.took, count.refused) for name, count in summary.stages.items()]
    print_table(("stage", "took", "refused"), rows, empty="")
    if summary.furthest is not None:
        out.print("\n".join(_furthest(summary.furthest, keyed=keyed)), soft_wrap=True)


def _furthest(furthest: Furthest, *, keyed: bool) -> Iterator[str]:
    key = f", key {_short(furthest.key)}" if keyed else ""
    yield f"furthest without a match: #{furthest.partial}{key}: {_taken(furthest.events)}"
    if furthest.last.what != "withheld":
        yield f"    waited for {_or(furthest.waits_for)}"
    where = "in the end" if furthest.event is None else f"at event {furthest.event}"
    yield f"    {where}: {_text(furthest.last)}"


def _waits(stages: list[str]) -> str:
    return f"; waits for {_or(stages)}" if stages else ""


def _or(stages: list[str]) -> str:
    return " or ".join(stages) if stages else "the end of its window"


def _taken(events: dict[str, list[int]]) -> str:
    return ", ".join(f"{name} {positions}" for name, positions in events.items())


def _earlier(number: int | None) -> str:
    return "one that began before" if number is None else f"#{number}, which began before,"


def _duration(milliseconds: int) -> str:
    for size, unit in ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s")):
        if milliseconds % size == 0:
            return f"{milliseconds // size} {unit}"
    return f"{milliseconds} ms"


def _short(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."

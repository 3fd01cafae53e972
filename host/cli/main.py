"""The command line: what each command takes. What it does is in the module of its name, imported when it runs."""

from __future__ import annotations

import os
import sys
import traceback
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from trimtab import __version__
from trimtab.errors import ChangeRefused, ConfigurationError, TrimtabError

app = typer.Typer(
    name="trimtab",
    help="A host for business logic on event streams that changes while the stream runs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
letters = typer.Typer(help="Events that could not be handled.", no_args_is_help=True)
app.add_typer(letters, name="dead-letters")
checkpoints = typer.Typer(help="What a host goes on from after a crash.", no_args_is_help=True)
app.add_typer(checkpoints, name="checkpoint")

ConfigFile = Annotated[Path, typer.Option("--config", help="The configuration file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
CONFIG = Path("trimtab.toml")
MAX_INTEGER = (1 << 63) - 1


def main() -> None:
    """Run the command line: exits with 0 (done), 1 (failed) or 2 (wrong usage or configuration)."""
    try:
        try:
            app(prog_name="trimtab")
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output has gone; what is left in the buffer must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except TrimtabError as error:
        _print_error(_text(error))
        sys.exit(error.exit_code)
    except Exception as error:  # noqa: BLE001 - whatever went wrong, users get one line
        if os.environ.get("TRIMTAB_DEBUG") == "1":
            traceback.print_exc()
        else:
            _print_error(f"{type(error).__name__}: {error}\nTRIMTAB_DEBUG=1 shows the traceback")
        sys.exit(1)


def _text(error: TrimtabError) -> str:
    if isinstance(error, ConfigurationError):
        return "\n".join(["the configuration is not valid", *map(str, error.problems)])
    if isinstance(error, ChangeRefused):
        return "\n".join(["the change was refused", *(f"{name}: {fault}" for name, fault in error.faults.items())])
    return str(error)


def _print_error(message: str) -> None:
    first, *rest = message.splitlines() or ["failed without a message"]
    print("\n  ".join([f"error: {first}", *rest]), file=sys.stderr)


def _end(code: int) -> None:
    raise typer.Exit(code)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"trimtab {__version__}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Hold what is about no command."""


@app.command()
def init(folder: Annotated[Path, typer.Argument(metavar="[DIR]", show_default=False)] = Path()) -> None:
    """Write a configuration and example scripts to start from."""
    from trimtab.cli.init import init

    _end(init(folder))


@app.command()
def run(config: ConfigFile = CONFIG) -> None:
    """Run the host until its sources end, or until SIGINT or SIGTERM."""
    from trimtab.cli.run import run

    _end(run(config))


@app.command()
def doctor(config: ConfigFile = CONFIG, as_json: AsJson = False) -> None:
    """Check the plugins, the configuration and the machine."""
    from trimtab.cli.doctor import doctor

    _end(doctor(config, as_json=as_json))


@app.command()
def status(config: ConfigFile = CONFIG, as_json: AsJson = False) -> None:
    """Show what runs: scripts, sources, sinks, lanes."""
    from trimtab.cli.status import status

    _end(status(config, as_json=as_json))


@app.command()
def rules(
    name: Annotated[str | None, typer.Argument(help="Only this rule.")] = None,
    after: Annotated[str, typer.Option(help="Only rules whose names come after this one.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many rules at most.")] = 100,
    config: ConfigFile = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show how each rule does: version, partial matches, matches, failed conditions, cost."""
    from trimtab.cli.rules import rules

    _end(rules(config, name, after=after, limit=limit, as_json=as_json))


Name = Annotated[str, typer.Argument(help="A script, by its path below the scripts folder; or 'settings'.")]


@app.command()
def history(
    name: Annotated[str | None, typer.Argument(help="Only this artifact, with its versions.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=MAX_INTEGER, help="How many generations at most.")] = 100,
    config: ConfigFile = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show all generations, or the versions of one artifact."""
    from trimtab.cli.versions import history

    _end(history(config, name, limit=limit, as_json=as_json))


@app.command()
def show(
    name: Name,
    version: Annotated[str | None, typer.Argument(help="Hash (or its beginning) or number; default: active.")] = None,
    config: ConfigFile = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Print the bytes of a version."""
    from trimtab.cli.versions import show

    _end(show(config, name, version, as_json=as_json))


@app.command()
def diff(
    name: Name,
    a: Annotated[str | None, typer.Argument(help="From this version; default: the one before B.")] = None,
    b: Annotated[str | None, typer.Argument(help="To this version; default: active.")] = None,
    config: ConfigFile = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show what changed between two versions."""
    from trimtab.cli.versions import diff

    _end(diff(config, name, a, b, as_json=as_json))


@app.command()
def rollback(
    name: Annotated[str | None, typer.Argument(help="The artifact to roll back.")] = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar="V", help="To this version; default: the one before.")
    ] = None,
    generation: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=MAX_INTEGER, help="Roll everything back to a generation.")
    ] = None,
    config: ConfigFile = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Bring an older version back, of one artifact or of everything.

    Without --to, it is the version that ran before. So a second rollback goes back to where it was: the two versions
    take turns. --to names any other (trimtab history NAME lists them).
    """
    from trimtab.cli.rollback import rollback

    _end(rollback(config, name, to, generation, as_json=as_json))


@app.command(name="try")
def try_script(
    script: Annotated[Path, typer.Argument(help="The script's file.")],
    events: Annotated[Path, typer.Option(metavar="F", help="JSON Lines; - is stdin.")],
    source: Annotated[str | None, typer.Option(metavar="S", help="Where the events come from.")] = None,
    config: ConfigFile = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Run a script on sample events; effects are printed, not performed."""
    from trimtab.cli.try_script import try_script

    _end(try_script(config, script, events, source, as_json=as_json))


RuleFile = Annotated[
    Path, typer.Argument(metavar="RULE", help="A rule or pattern as JSON, or a script that exports a pattern.")
]


@app.command()
def convert(rule: RuleFile, config: ConfigFile = CONFIG) -> None:
    """Print a rule as JSON, in the dialect of dynamic Flink CEP; - reads JSON from stdin."""
    from trimtab.cli.convert import convert

    _end(convert(config, rule))


SampleEvents = Annotated[Path, typer.Option("--events", metavar="F", help="JSON Lines; - is stdin.")]
Timestamp = Annotated[str, typer.Option(metavar="PATH", help="The field with the event's time, in ms.")]
Key = Annotated[str | None, typer.Option(metavar="PATH", help="The field with the event's key; default: the rule's.")]


class Time(StrEnum):
    """Which time counts."""

    event = "event"
    arrival = "arrival"


OfTime = Annotated[Time | None, typer.Option("--time", help="Which time counts; default: the rule's, or event.")]


@app.command()
def match(
    rule: RuleFile,
    events: SampleEvents,
    timestamp: Timestamp = "ts",
    key: Key = None,
    time: OfTime = None,
    indexes: Annotated[bool, typer.Option("--indexes", help="Positions of events in place of the events.")] = False,
    timeouts: Annotated[bool, typer.Option("--timeouts", help="Also partial matches whose time was up.")] = False,
    config: ConfigFile = CONFIG,
) -> None:
    """Run a rule on sample events; one line of JSON for each match."""
    from trimtab.cli.match import Events, match

    sample = Events(events, timestamp, key, time and time.value)
    _end(match(config, rule, sample, indexes=indexes, timeouts=timeouts))


@app.command()
def explain(
    rule: RuleFile,
    events: SampleEvents,
    timestamp: Timestamp = "ts",
    key: Key = None,
    time: OfTime = None,
    config: ConfigFile = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show what each sample event does to the partial matches of a rule, and why."""
    from trimtab.cli.explain import explain
    from trimtab.cli.match import Events

    _end(explain(config, rule, Events(events, timestamp, key, time and time.value), as_json=as_json))


class Kind(StrEnum):
    """Why a letter is dead."""

    handler = "handler"
    codec = "codec"
    sink = "sink"


Script = Annotated[str | None, typer.Option(metavar="NAME", help="Only of this script.")]
Source = Annotated[str | None, typer.Option(metavar="NAME", help="Only of this source.")]
OfKind = Annotated[Kind | None, typer.Option(help="Only of this kind.")]
Letter = Annotated[int, typer.Argument(metavar="ID", min=1, max=MAX_INTEGER)]
Letters = Annotated[list[int] | None, typer.Argument(metavar="[ID]...", min=1, max=MAX_INTEGER)]
Since = Annotated[str | None, typer.Option(metavar="AGE", help='Only this recent: "90s", "10m", "2h", "1d".')]
All = Annotated[bool, typer.Option("--all", help="All letters.")]


@letters.command("list")
def letters_list(
    script: Script = None,
    source: Source = None,
    kind: OfKind = None,
    since: Since = None,
    limit: Annotated[int, typer.Option(min=1, max=MAX_INTEGER, help="How many at most.")] = 100,
    after: Annotated[
        int, typer.Option(metavar="ID", min=0, max=MAX_INTEGER, help="Only letters with a higher id.")
    ] = 0,
    config: ConfigFile = CONFIG,
    as_json: AsJson = False,
) -> None:
    """List dead letters, oldest first."""
    from trimtab.cli import dead_letters

    filters = dead_letters.filters(script, source, kind and kind.value, since)
    _end(dead_letters.show_list(config, filters, limit=limit, after=after, as_json=as_json))


@letters.command("show")
def letters_show(letter: Letter, config: ConfigFile = CONFIG, as_json: AsJson = False) -> None:
    """Show one dead letter with its event and why it failed."""
    from trimtab.cli import dead_letters

    _end(dead_letters.show(config, letter, as_json=as_json))


@letters.command("replay")
def letters_replay(
    ids: Letters = None,
    version: Annotated[str | None, typer.Option(metavar="V", help="Against this version; default: active.")] = None,
    everything: All = False,
    script: Script = None,
    source: Source = None,
    kind: OfKind = None,
    since: Since = None,
    config: ConfigFile = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Hand dead letters to their scripts again; those that are handled now are removed."""
    from trimtab.cli import dead_letters

    filters = dead_letters.filters(script, source, kind and kind.value, since)
    chosen = dead_letters.choice(ids or [], filters, everything=everything)
    _end(dead_letters.replay(config, chosen, version, as_json=as_json))


@letters.command("purge")
def letters_purge(
    ids: Letters = None,
    everything: All = False,
    script: Script = None,
    source: Source = None,
    kind: OfKind = None,
    since: Since = None,
    config: ConfigFile = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Delete dead letters."""
    from trimtab.cli import dead_letters

    filters = dead_letters.filters(script, source, kind and kind.value, since)
    chosen = dead_letters.choice(ids or [], filters, everything=everything)
    _end(dead_letters.purge(config, chosen, as_json=as_json))


@checkpoints.command("list")
def checkpoint_list(
    limit: Annotated[int, typer.Option(min=1, max=MAX_INTEGER, help="How many at most.")] = 20,
    config: ConfigFile = CONFIG,
    as_json: AsJson = False,
) -> None:
    """List checkpoints, newest first."""
    from trimtab.cli import checkpoint

    _end(checkpoint.show_list(config, limit=limit, as_json=as_json))


@checkpoints.command("inspect")
def checkpoint_inspect(
    checkpoint_id: Annotated[
        int | None, typer.Argument(metavar="ID", min=1, max=MAX_INTEGER, help="Default: the latest.")
    ] = None,
    config: ConfigFile = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show positions, watermarks, versions, and how much state there is."""
    from trimtab.cli import checkpoint

    _end(checkpoint.inspect(config, checkpoint_id, as_json=as_json))


@checkpoints.command("state")
def checkpoint_state(
    key: Annotated[str, typer.Argument(help="Read as JSON if that key has state, else as text.")],
    script: Script = None,
    config: ConfigFile = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show the values and timers of a key in the latest checkpoint."""
    from trimtab.cli import checkpoint

    _end(checkpoint.state(config, key, script, as_json=as_json))

"""``trimtab doctor``: whether this machine, its plugins and the configuration can run a host."""

from __future__ import annotations

import contextlib
import os
import platform
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import msgspec

from trimtab import __version__
from trimtab.artifacts.names import artifact_name
from trimtab.cli.output import print_json, print_table
from trimtab.cli.project import open_project
from trimtab.config import Config, load
from trimtab.engine.resources import Resources
from trimtab.errors import ConfigurationError, TrimtabError
from trimtab.plugin_manager import Plugins
from trimtab.runtime.confinement import configured_resources, declared_reach, require
from trimtab.sandbox.confinement import missing
from trimtab.sandbox.confinement_kernel import landlock_version
from trimtab.sandbox.limits import SignalLimits, TimeLimitExceeded

WATCH_SECONDS = 3.0
"""How long to wait for the first event of the file system."""

CONFIGURATION = "configuration"
"""The name of the checks of the configuration."""

CONFINE = """
from trimtab.sandbox.confinement import confine, harden
from trimtab.sandbox.confinement_places import own_places
harden()
confine(own_places())
"""
"""What a lane does before it runs scripts."""

TIME_LIMIT = 0.05
"""Seconds that the trial of the time limit takes."""


class Check(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    name: str
    ok: bool
    found: str


class PluginReport(msgspec.Struct, frozen=True):
    """One plugin: what it adds, or why it is not loaded."""

    name: str
    distribution: str | None
    version: str | None
    adds: tuple[str, ...]
    error: str | None = None


class Report(msgspec.Struct, frozen=True):
    """The document of ``doctor --json``."""

    ok: bool
    checks: list[Check]
    plugins: list[PluginReport]


def doctor(config: Path, *, as_json: bool) -> int:
    """Print the report. 2 if the configuration is not valid, 1 if something else fails."""
    plugins = Plugins.load()
    reports = _plugin_reports(plugins)
    checks = list(_checks(config, plugins))
    ok = all(check.ok for check in checks) and not plugins.failures
    report = Report(ok, checks, reports)
    if as_json:
        print_json(report)
    else:
        _print(report)
    if any(check.name == CONFIGURATION and not check.ok for check in checks):
        return ConfigurationError.exit_code
    return 0 if ok else 1


def _print(report: Report) -> None:
    rows = [("ok" if check.ok else "FAILS", check.name, check.found) for check in report.checks]
    print_table(("", "check", "found"), rows, empty="")
    plugins = [(p.name, p.distribution, p.version, p.error or ", ".join(p.adds)) for p in report.plugins]
    print_table(("plugin", "distribution", "version", "adds"), plugins, empty="no plugins")
    print("everything works" if report.ok else "something fails: see above")


def _plugin_reports(plugins: Plugins) -> list[PluginReport]:
    loaded = [PluginReport(info.name, info.distribution, info.version, info.adds) for info in plugins.infos]
    failed = [
        PluginReport(failure.name, failure.distribution, failure.version, (), f"FAILS: {_reason(failure.error)}")
        for failure in plugins.failures
    ]
    return loaded + failed


def _checks(config: Path, plugins: Plugins) -> Iterator[Check]:
    yield Check("trimtab", True, __version__)
    yield Check("Python", sys.version_info >= (3, 11), f"{platform.python_version()}, 3.11 or later is needed")
    yield Check("platform", os.name == "posix", platform.platform())
    yield _tried("JavaScript", _javascript)
    yield from _configuration(config, plugins)
    yield _tried("state folder", lambda: _state_folder(config))
    yield _tried("file watching", _watching)
    yield _tried("time limit", _time_limit)
    yield _tried("memory limit", _memory_limit)
    yield _tried("confinement", _confinement)
    yield Check("open files", True, f"{resource.getrlimit(resource.RLIMIT_NOFILE)[0]} at most")


def _tried(name: str, look: Callable[[], str]) -> Check:
    """Look at something; whatever it raises is what is reported."""
    try:
        return Check(name, True, look())
    except Exception as error:  # noqa: BLE001 - the report is what the command is for
        return Check(name, False, _reason(error))


def _reason(error: Exception) -> str:
    """Our own errors say all in their text; many of others, such as ``KeyError``, nothing without their type."""
    return str(error) if isinstance(error, TrimtabError) else f"{type(error).__name__}: {error}"


def _javascript() -> str:
    import dukpy

    if dukpy.evaljs("[1, 2].at(-1)") != 2:
        raise TrimtabError("the engine computes nonsense; install dukpy again")
    return f"dukpy {version('dukpy')} (QuickJS)"


def _configuration(config: Path, plugins: Plugins) -> Iterator[Check]:
    try:
        loaded = load(config.absolute(), plugins)
        require(loaded)
    except ConfigurationError as error:
        yield from (Check(CONFIGURATION, False, str(problem)) for problem in error.problems)
    except TrimtabError as error:
        yield Check(CONFIGURATION, False, str(error))
    else:
        yield Check(CONFIGURATION, True, str(config))
        yield Check("lanes reach", True, _reach(loaded, plugins))
        yield from _resources(loaded, plugins)


def _reach(config: Config, plugins: Plugins) -> str:
    """What the lanes of this configuration reach: that they are held to it takes the check ``confinement``."""
    reach = config.files | declared_reach(configured_resources(config), plugins, config.folder)
    ports = f"TCP ports {', '.join(map(str, sorted(reach.ports)))}" if reach.ports else "no server"
    if config.confined is False or reach.anywhere:
        ports = "any server"
    found = [ports, "Unix sockets"] if reach.sockets else [ports]
    if any(config.state.is_relative_to(folder) for folder in reach.writes):
        found.append("the state folder, as it lies below one that scripts write: give a database a folder of its own")
    return "; ".join(found)


def _resources(config: Config, plugins: Plugins) -> Iterator[Check]:
    """Ask every resource for a sign of life, as before a change of it."""
    options = configured_resources(config)
    resources = Resources(plugins.resource_kinds(), config.folder, time.perf_counter_ns)
    faults = resources.prepare(options, made=False) or resources.check(sorted(options), SignalLimits())
    for name in sorted(options):
        fault = faults.get(artifact_name(name))
        yield Check(f"resource {name}", fault is None, config.mask(str(fault)) if fault else "answers")
    resources.close()


def _state_folder(config: Path) -> str:
    state = open_project(config).state
    existing = next(folder for folder in (state, *state.parents) if folder.exists())
    with tempfile.TemporaryFile(dir=existing):
        return f"{state} can be written"


def _watching() -> str:
    from watchfiles import watch

    with tempfile.TemporaryDirectory() as folder, _touching(Path(folder, "file")):
        timeout = int(WATCH_SECONDS * 1000)
        for changes in watch(folder, debounce=50, rust_timeout=timeout, yield_on_timeout=True, raise_interrupt=False):
            return "the file system sends events" if changes else "no events are sent: folders are polled"
    raise TrimtabError("watching ended by itself")


@contextlib.contextmanager
def _touching(path: Path) -> Iterator[None]:
    """Change the file again and again, because nobody tells when watching has begun."""
    done = threading.Event()

    def touch() -> None:
        count = 0
        while not done.wait(0.02):
            path.write_text(str(count := count + 1))

    thread = threading.Thread(target=touch)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _time_limit() -> str:
    with contextlib.suppress(TimeLimitExceeded), SignalLimits().running(TIME_LIMIT):
        while True:
            pass
    return "an endless loop is stopped (SIGALRM)"


def _memory_limit() -> str:
    if sys.platform != "linux":
        return "not enforced on this system"
    _soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    return "RLIMIT_DATA, " + ("no limit from outside" if hard == resource.RLIM_INFINITY else f"{hard} bytes at most")


def _confinement() -> str:
    """Confine a process, as lanes are."""
    lacks = missing()
    hardened = "no new privileges and no core dumps"
    if lacks is not None:
        return f"{hardened}; lanes are not confined: {lacks}"
    done = subprocess.run([sys.executable, "-P", "-c", CONFINE], capture_output=True, text=True, check=False)  # noqa: S603 - our own text
    if done.returncode != 0:
        raise TrimtabError(done.stderr.strip().rpartition("\n")[2])
    return f"{hardened}; lanes are confined (Landlock version {landlock_version()}, sandlock {version('sandlock')})"

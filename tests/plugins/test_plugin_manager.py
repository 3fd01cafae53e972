from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta
from structlog.testing import capture_logs

import trimtab
from trimtab.api import Codec, Discoverer, DiscovererContext, Notice, PluginError, SinkKind, hookimpl
from trimtab.plugin_manager import Plugins
from trimtab.plugins.codecs import JsonCodec, TextCodec
from trimtab.testing import CollectingSink, TestingPlugin, TestingSource

NOTICE = Notice(1, "start", {}, {}, {})


def only(*plugins: tuple[str, object]) -> Plugins:
    return Plugins.load(plugins, entry_points=False)


def failure(plugins: Plugins) -> str:
    (failed,) = plugins.failures
    return str(failed.error)


def test_a_plugin_adds_its_things_and_tells_what_they_are() -> None:
    plugin = TestingPlugin(
        sources=[TestingSource.kind([])], sinks=[CollectingSink().kind()], codecs=[JsonCodec(), TextCodec()]
    )
    plugins = only(("mine", plugin))
    assert plugins.failures == []
    assert (list(plugins.source_kinds()), list(plugins.sink_kinds()), list(plugins.codecs())) == (
        ["testing"],
        ["collect"],
        ["json", "text"],
    )
    (info,) = plugins.infos
    assert (info.name, info.distribution, info.version) == ("mine", None, None)
    assert info.adds[:4] == ("source testing", "sink collect", "codec json", "codec text")
    assert "generation_committed" in info.adds


def test_our_own_plugins_are_found_by_their_entry_points() -> None:
    plugins = Plugins.load()
    infos = {info.name: info for info in plugins.infos}
    assert infos["files"].distribution == "trimtab"
    assert infos["files"].version == trimtab.__version__
    assert infos["files"].adds == ("source file", "sink file")
    assert {"file", "stdin", "demo"} <= set(plugins.source_kinds())
    assert {"file", "stdout"} <= set(plugins.sink_kinds())
    assert set(plugins.codecs()) == {"json", "text", "msgpack"}


def test_a_name_that_is_taken_keeps_the_whole_second_plugin_out() -> None:
    second = TestingPlugin(sources=[TestingSource.kind([], "fresh")], codecs=[TextCodec(), JsonCodec()])
    plugins = only(("first", TestingPlugin(codecs=[JsonCodec()])), ("second", second))
    assert failure(plugins) == "expected a new name, got codec json, which plugin first has added; rename it"
    assert list(plugins.codecs()) == ["json"]
    assert plugins.source_kinds() == {}
    plugins.notify("trimtab_generation_committed", NOTICE)
    assert second.committed == []


def test_a_plugin_that_adds_a_name_twice_is_kept_out() -> None:
    plugins = only(("twice", TestingPlugin(codecs=[JsonCodec(), JsonCodec()])))
    assert failure(plugins) == "trimtab_codecs: expected each name once, got codec json twice"
    assert plugins.codecs() == {}


def test_two_plugins_of_one_name_do_not_both_load() -> None:
    plugins = only(("same", TestingPlugin(codecs=[JsonCodec()])), ("same", TestingPlugin(codecs=[TextCodec()])))
    assert list(plugins.codecs()) == ["json"]
    assert len(plugins.failures) == 1


class UnknownHook:
    @hookimpl
    def trimtab_codecs(self) -> Iterable[Codec]:
        return [JsonCodec()]

    @hookimpl
    def trimtab_sauces(self) -> None:
        """No such hook."""


class WrongArgument:
    @hookimpl
    def trimtab_codecs(self) -> Iterable[Codec]:
        return [JsonCodec()]

    @hookimpl
    def trimtab_rolled_back(self, notice: Notice, colour: str) -> None:
        """The hook has no colour."""


class WrongThing:
    @hookimpl
    def trimtab_codecs(self) -> Iterable[Any]:
        return [JsonCodec(), "text"]


class Raises:
    @hookimpl
    def trimtab_codecs(self) -> Iterable[Codec]:
        return [JsonCodec()]

    @hookimpl
    def trimtab_bindings(self) -> None:
        raise RuntimeError("no licence")


class ImpossibleOptions(msgspec.Struct):
    count: Annotated[str, Meta(ge=1)] = ""


class WrongOptions:
    @hookimpl
    def trimtab_sinks(self) -> Iterable[SinkKind[ImpossibleOptions]]:
        return [SinkKind("s", ImpossibleOptions, lambda _options, _context: CollectingSink())]


@pytest.mark.parametrize(
    ("plugin", "reason"),
    [
        (WrongOptions(), "Can only set `ge` on a numeric type"),
        (UnknownHook(), "sauces"),
        (WrongArgument(), "colour"),
        (WrongThing(), "got 'text'"),
        (Raises(), "no licence"),
    ],
)
def test_a_plugin_that_does_not_fit_leaves_nothing_half_registered(plugin: object, reason: str) -> None:
    plugins = only(("bad", plugin), ("good", TestingPlugin(codecs=[JsonCodec()])))
    assert reason in failure(plugins)
    assert list(plugins.codecs()) == ["json"]
    assert [info.name for info in plugins.infos] == ["good"]


class FailingObserver:
    @hookimpl
    def trimtab_generation_committed(self, notice: Notice) -> None:
        raise RuntimeError(f"generation {notice.generation} is not to my taste")


def test_an_observer_that_fails_is_logged_and_keeps_nobody_from_hearing() -> None:
    before, after = TestingPlugin(), TestingPlugin()
    plugins = only(("before", before), ("failing", FailingObserver()), ("after", after))
    with capture_logs() as logs:
        plugins.notify("trimtab_generation_committed", NOTICE)
    assert before.committed == after.committed == [NOTICE]
    (entry,) = logs
    assert (entry["plugin"], entry["hook"]) == ("failing", "trimtab_generation_committed")


def test_a_notice_reaches_only_the_hook_it_is_for() -> None:
    plugin = TestingPlugin()
    plugins = only(("p", plugin))
    plugins.notify("trimtab_change_refused", NOTICE)
    plugins.notify("trimtab_rolled_back", NOTICE)
    assert (plugin.committed, plugin.refused, plugin.rolled_back) == ([], [NOTICE], [NOTICE])


class Nowhere(Discoverer):
    name = "nowhere"

    async def scan(self) -> Any:
        raise NotImplementedError

    async def wait(self) -> None:
        raise NotImplementedError

    async def restore(self, name: str, content: bytes | None) -> bool:
        raise NotImplementedError


def test_discoverers_are_made_with_the_context(tmp_path: Path) -> None:
    context = DiscovererContext(tmp_path, (tmp_path,), tmp_path, frozenset())
    place = Nowhere()
    assert only(("p", TestingPlugin(discoverers=[place]))).discoverers(context) == (place,)


def test_discoverers_that_cannot_be_made_are_an_error_that_names_the_plugin(tmp_path: Path) -> None:
    context = DiscovererContext(tmp_path, (tmp_path,), tmp_path, frozenset())
    wrong: Any = ["not one"]
    with pytest.raises(PluginError, match="plugin p: expected discoverers, got PluginError"):
        only(("p", TestingPlugin(discoverers=wrong))).discoverers(context)


# --- plugins that are installed ---

GOOD = """
import msgspec
from trimtab.api import SinkKind, hookimpl

class Options(msgspec.Struct):
    pass

@hookimpl
def trimtab_sinks():
    return [SinkKind("{sink}", Options, lambda options, context: None)]
"""


def install(folder: Path, distribution: str, **modules: str) -> None:
    """Lay a distribution with one plugin a module into a folder, the way pip would."""
    info = folder / f"{distribution}-2.5.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 2.5\n")
    points = "\n".join(f"{name} = {name}" for name in modules)
    (info / "entry_points.txt").write_text(f"[trimtab.plugins]\n{points}\n")
    for name, source in modules.items():
        (folder / f"{name}.py").write_text(source)


def run(folder: Path, code: str) -> str:
    prelude = f"import sys; sys.path.insert(0, {str(folder)!r})\nfrom trimtab.plugin_manager import Plugins\n"
    done = subprocess.run([sys.executable, "-c", prelude + code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_installed_plugins_that_fail_are_listed_with_their_distribution_and_the_others_work(tmp_path: Path) -> None:
    install(
        tmp_path,
        "acme",
        acme_good=GOOD.format(sink="acme"),
        acme_missing="import no_such_module_anywhere",
        acme_syntax="def (",
        acme_taken=GOOD.format(sink="file"),
    )
    out = run(
        tmp_path,
        """
plugins = Plugins.load()
print(sorted(i.name + " " + i.distribution + " " + i.version for i in plugins.infos if i.distribution == "acme"))
print([f.name + " " + type(f.error).__name__ + " " + f.version for f in plugins.failures if f.distribution == "acme"])
print("acme" in plugins.sink_kinds(), plugins.sink_kinds()["file"].options.__module__)
""",
    )
    assert out.splitlines() == [
        "['acme_good acme 2.5']",
        "['acme_missing ModuleNotFoundError 2.5', 'acme_syntax SyntaxError 2.5', 'acme_taken PluginError 2.5']",
        "True trimtab.plugins.files.sink",
    ]


def test_our_own_names_cannot_be_taken_by_a_distribution_that_sorts_first(tmp_path: Path) -> None:
    install(tmp_path, "aaa", aaa=GOOD.format(sink="stdout"))
    out = run(tmp_path, "p = Plugins.load(); print([f.name for f in p.failures if f.distribution == 'aaa'])")
    assert out == "['aaa']"


def test_loading_plugins_imports_no_server_client_or_terminal_library(tmp_path: Path) -> None:
    heavy = ("httpx", "starlette", "uvicorn", "rich", "structlog", "typer", "watchfiles")
    out = run(tmp_path, f"Plugins.load(); print([name for name in {heavy!r} if name in sys.modules])")
    assert out == "[]"

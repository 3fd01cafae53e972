from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from trimtab.api import DiscovererKind, ResourceKind, SinkKind, SourceKind
from trimtab.config import Address, Config, expand, load, reference
from trimtab.configuration.checking import describe
from trimtab.durations import Duration
from trimtab.errors import ConfigurationError, Problem
from trimtab.plugin_manager import Plugins
from trimtab.plugins import codecs, files, stdio
from trimtab.plugins.files.sink import FileSinkOptions
from trimtab.testing import TestingPlugin


class Login(msgspec.Struct, frozen=True):
    user: str
    password: str = ""


class FeedOptions(msgspec.Struct, frozen=True):
    url: Annotated[str, Meta(description="Where it is.")]
    token: Annotated[str | None, Meta(description="Who we are.")] = None
    batch: Annotated[int, Meta(ge=1, description="How many at once.")] = 100
    wait: Annotated[Duration | None, Meta(description="How long.")] = None
    login: Annotated[Login | None, Meta(description="How to get in.")] = None
    tags: Annotated[list[str], Meta(description="Words.")] = []

    headers: Annotated[dict[str, str], Meta(description="More.")] = {}

    def __post_init__(self) -> None:
        if self.batch > 10 and "small" in self.tags:
            raise ValueError("batch above 10 with the tag small")


ADDRESS = 'host:port such as "127.0.0.1:8471" or "[::1]:8471", with a port from 0 to 65535'
DURATION = 'a duration such as "200ms", "5s", "2m", "1h", "1d", or a number of seconds'


def unused(*_arguments: Any) -> Any:
    raise AssertionError("reading a configuration creates nothing")


FEED = TestingPlugin(
    sources=[SourceKind("feed", FeedOptions, unused)],
    sinks=[SinkKind("push", FeedOptions, unused)],
    resource_kinds=[ResourceKind("sql", FeedOptions, unused)],
    discoverer_kinds=[DiscovererKind("list", FeedOptions, unused)],
)
KINDS = Plugins.load(
    [("codecs", codecs), ("files", files), ("stdio", stdio), ("feed", FEED)],
    entry_points=False,
)


def read(folder: Path, text: str) -> Config:
    (folder / "scripts").mkdir(exist_ok=True)
    path = folder / "trimtab.toml"
    path.write_text(text)
    return load(path, KINDS)


def problems(folder: Path, text: str) -> dict[str, Problem]:
    with pytest.raises(ConfigurationError) as refused:
        read(folder, text)
    return {problem.path: problem for problem in refused.value.problems}


def lines(found: Iterable[Problem]) -> list[str]:
    return [str(problem) for problem in found]


def test_an_empty_file_has_the_defaults(tmp_path: Path) -> None:
    config = read(tmp_path, "")
    assert config.folder == tmp_path
    assert config.scripts == (tmp_path / "scripts",)
    assert config.state == tmp_path / ".trimtab"
    assert 1 <= config.lanes <= 256
    assert config.listen == Address("127.0.0.1", 8471)
    assert (config.sources, config.sinks, config.resources) == ({}, {}, {})
    assert config.settings == b"{}"


def test_every_key_arrives(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    config = read(
        tmp_path,
        """
        [host]
        scripts = ["scripts", "more"]
        state = "/var/lib/trimtab"
        lanes = 3
        listen = "[::1]:0"
        [sources.gps]
        type = "feed"
        url = "x:y"
        key = "vehicle.id"
        timestamp = "ts"
        lateness = "1.5s"
        codec = "text"
        login = { user = "me" }
        [sinks."alarms.v2"]
        type = "file"
        path = "alarms.jsonl"
        [resources.sql.orders]
        url = "jdbc:postgresql://db:5432/orders"
        [discoverers.rules]
        type = "list"
        url = "http://rules"
        [sandbox]
        resources = "declared"
        [journal]
        fsync = "interval"
        [settings]
        max_speed = 100
        """,
    )
    assert config.scripts == (tmp_path / "scripts", tmp_path / "more")
    assert config.state == Path("/var/lib/trimtab")
    assert config.fsync == "interval"
    assert config.lanes == 3
    assert config.listen == Address("::1", 0)
    gps = config.sources["gps"]
    assert (gps.kind.name, gps.key, gps.timestamp, gps.lateness, gps.codec.name) == (
        "feed",
        "vehicle.id",
        "ts",
        1.5,
        "text",
    )
    assert gps.options == FeedOptions("x:y", login=Login("me"))
    assert config.sinks["alarms.v2"].options == FileSinkOptions("alarms.jsonl")
    assert config.resources == {"sql.orders": b'{"url":"jdbc:postgresql://db:5432/orders"}'}
    assert config.discoverers["rules"].options == FeedOptions("http://rules")
    assert config.confined is True
    assert config.settings == b'{"max_speed":100}'


def test_two_readings_of_the_same_file_are_equal_and_of_another_are_not(tmp_path: Path) -> None:
    text = '[sources.in]\ntype = "stdin"\n'
    assert read(tmp_path, text) == read(tmp_path, text)
    assert read(tmp_path, text) != read(tmp_path, text + 'key = "id"')


def test_all_problems_of_a_file_are_told_together(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        """
        sauces = 1
        [host]
        scripts = ["scripts", "nowhere"]
        lanes = "two"
        listen = "localhost"
        port = 1
        [sources.gps]
        type = "feed"
        lateness = "5 apples"
        batch = 0
        wait = "soon"
        login = { user = 1, pass = "x" }
        headers = { a = 1 }
        [sinks]
        out = 3
        [resources.sql]
        orders = "jdbc:"
        [settings]
        limit = inf
        big = 99999999999999999999
        """,
    )
    assert lines(found.values()) == [
        (
            "sauces: expected one of: sources, resources, breaker, checkpoints, discoverers, host, journal, sandbox, "
            "settings, sinks, got 'sauces'"
        ),
        "host.port: expected one of: lanes, listen, scripts, state, got 'port'",
        "host.lanes: expected a whole number from 1 to 256, got 'two'",
        f"host.listen: expected {ADDRESS}, got 'localhost'",
        "host.scripts: expected a folder, got nothing at nowhere; create the folder, or run: trimtab init",
        f"sources.gps.lateness: expected {DURATION}, got '5 apples'",
        "sources.gps.url: expected text, got nothing",
        "sources.gps.batch: expected a whole number of at least 1, got 0",
        f"sources.gps.wait: expected {DURATION}, got 'soon'",
        "sources.gps.login.pass: expected one of: password, user, got 'pass'",
        "sources.gps.login.user: expected text, got 1",
        "sources.gps.headers: expected a table of text, got {'a': 1}",
        "sinks.out: expected a table, got 3",
        "resources.sql.orders: expected a table, got 'jdbc:'",
        "settings.limit: expected a finite number, got inf",
        "settings.big: expected a whole number of 64 bits, got 99999999999999999999",
    ]


def test_an_unknown_type_or_codec_lists_the_known_ones_nearest_first(tmp_path: Path) -> None:
    found = problems(tmp_path, '[sources.a]\ntype = "stdn"\n[sources.b]\ntype = "stdin"\ncodec = "txt"')
    assert found["sources.a.type"].expected == "one of: stdin, feed, file"
    assert found["sources.b.codec"].expected == "one of: text, json, msgpack"


def test_a_misspelt_key_names_the_nearest_first_and_is_told_beside_the_missing_one(tmp_path: Path) -> None:
    found = problems(tmp_path, '[sources.gps]\ntype = "file"\npaht = "x"')
    assert found["sources.gps.paht"].expected.startswith("one of: path, ")
    assert str(found["sources.gps.path"]) == "sources.gps.path: expected text that is not empty, got nothing"


def test_options_that_do_not_fit_together_are_a_problem_of_their_table(tmp_path: Path) -> None:
    found = problems(tmp_path, '[sinks.s]\ntype = "push"\nurl = "u"\nbatch = 11\ntags = ["small"]')
    assert str(found["sinks.s"]) == "sinks.s: expected keys that fit together, got batch above 10 with the tag small"


@pytest.mark.parametrize("name", ["my gps", "é", "", "a/b", ".hidden"])
def test_names_are_letters_digits_and_a_few_signs(tmp_path: Path, name: str) -> None:
    found = problems(tmp_path, f'[sources."{name}"]\ntype = "stdin"')
    (problem,) = found.values()
    assert problem.expected.startswith("a name of letters, digits")
    assert problem.path == f'sources."{name}"'


def test_toml_that_cannot_be_parsed_is_told_with_its_line_and_column(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "[host]\nlanes = = 2").values()
    assert problem == Problem(f"{tmp_path / 'trimtab.toml'}:2:9", "valid TOML", "the error: Invalid value")


def test_toml_that_ends_too_early_is_a_problem_of_the_file(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, 'a = """').values()
    assert problem.path == str(tmp_path / "trimtab.toml")
    assert problem.expected == "valid TOML"


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="got nothing there; create one with: trimtab init"):
        load(tmp_path / "trimtab.toml", KINDS)


def test_a_folder_and_bytes_that_are_not_utf8_are_problems(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="expected a file that can be read, got the error: Is a directory"):
        load(tmp_path, KINDS)
    (tmp_path / "latin.toml").write_bytes(b"a = '\xe9'")
    with pytest.raises(ConfigurationError, match="expected a file in UTF-8, got the byte 0xe9 at 5"):
        load(tmp_path / "latin.toml", KINDS)


@pytest.mark.parametrize("scripts", ["''", "[]", "3", "['']"])
def test_scripts_is_a_folder_or_a_list_of_folders(tmp_path: Path, scripts: str) -> None:
    found = problems(tmp_path, f"[host]\nscripts = {scripts}")
    assert found["host.scripts"].expected == "a folder or a list of folders"


def test_a_file_in_the_place_of_the_scripts_is_a_problem(tmp_path: Path) -> None:
    found = problems(tmp_path, "[host]\nscripts = 'trimtab.toml'")
    assert found["host.scripts"].got.startswith("a file at trimtab.toml")


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (Annotated[float, Meta(gt=0, le=5)], "a number above 0 and of at most 5"),
        (Annotated[int, Meta(lt=3)], "a whole number below 3"),
        (Annotated[int, Meta(ge=1)] | None, "a whole number of at least 1"),
        (list[int] | bool, "a list of a whole number or true or false"),
        (Literal["a", "b"], "one of: a, b"),
        (Annotated[str, Meta(pattern="^x")], "text that matches ^x"),
        (dict[str, Any], "a table"),
        (datetime, "datetime"),
    ],
)
def test_types_are_described_in_words(annotation: Any, words: str) -> None:
    assert describe(annotation) == words


# --- addresses and tokens ---


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "localhost:80", "127.1.2.3:65535", "[::1]:8471"])
def test_on_loopback_sources_need_no_token(tmp_path: Path, listen: str) -> None:
    config = read(tmp_path, f'[host]\nlisten = "{listen}"\n[sources.hook]\ntype = "feed"\nurl = "u"')
    assert str(config.listen) == listen


@pytest.mark.parametrize("listen", ["0.0.0.0:8471", "[::]:8471", "example.com:80", "10.0.0.1:80"])
def test_beyond_loopback_every_source_that_can_have_a_token_must(tmp_path: Path, listen: str) -> None:
    text = f'[host]\nlisten = "{listen}"\n[sources.hook]\ntype = "feed"\nurl = "u"\n[sources.in]\ntype = "stdin"\n'
    (problem,) = problems(tmp_path, text).values()
    assert problem.path == "sources.hook.token"
    assert listen in problem.expected
    assert read(tmp_path, text.replace("url", 'token = "t"\nurl')).listen == Address(
        listen.rpartition(":")[0].strip("[]"), int(listen.rpartition(":")[2])
    )


@pytest.mark.parametrize(
    "listen", ["8471", ":8471", "::1:8471", "[1.2.3.4]:1", "h:65536", "h:-1", "h:", "a b:1", "[::1]"]
)
def test_what_is_not_host_and_port_is_refused(tmp_path: Path, listen: str) -> None:
    assert problems(tmp_path, f'[host]\nlisten = "{listen}"')["host.listen"].got == repr(listen)


# --- variables and secrets ---


def test_variables_are_taken_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_TOKEN", "hunter22")
    config = read(
        tmp_path, '[sources.h]\ntype = "feed"\nurl = "http://${HOOK_TOKEN}@$${x}"\ntags = ["a", "${HOOK_TOKEN}"]'
    )
    assert config.sources["h"].options == FeedOptions("http://hunter22@${x}", tags=["a", "hunter22"])


def test_a_variable_that_is_not_set_is_a_problem_wherever_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOT_SET", raising=False)
    found = problems(
        tmp_path,
        """
        [host]
        listen = "${NOT_SET}"
        [resources.sql.orders]
        url = "${NOT_SET}"
        [settings]
        list = ["a", { b = "${NOT_SET}" }]
        bad = "${a b}"
        """,
    )
    message = "expected the environment variable NOT_SET to be set, got nothing"
    assert lines(found.values()) == [
        f"host.listen: {message}",
        f"resources.sql.orders.url: {message}",
        f"settings.list[1].b: {message}",
        "settings.bad: expected ${NAME} with the name of an environment variable, or $${ for a plain ${, got '${a b}'",
    ]


def test_settings_and_resources_are_kept_as_written_and_settings_in_a_fixed_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY", "hunter22")
    text = (
        '[resources.sql.y]\nurl = "${KEY}"\n[settings]\nz = "${KEY}"\nday = 2024-05-01\n[settings.a]\nc = 1\nb = "$${"'
    )
    config = read(tmp_path, text)
    assert config.resources["sql.y"] == b'{"url":"${KEY}"}'
    assert config.settings == b'{"a":{"b":"$${","c":1},"day":"2024-05-01","z":"${KEY}"}'
    assert expand(config.settings, "settings") == {
        "a": {"b": "${", "c": 1},
        "day": "2024-05-01",
        "z": "hunter22",
    }


def test_resources_and_discoverers_are_checked_against_their_types(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        """
        [resources.sqll.orders]
        [resources.sql.orders]
        urll = "x"
        [resources.sql."a.b"]
        url = "x"
        [discoverers.one]
        type = "lists"
        [sandbox]
        resources = "all"
        """,
    )
    assert lines(found.values()) == [
        "sandbox.resources: expected one of: any, declared, got 'all'",
        "discoverers.one.type: expected one of: list, got 'lists'",
        "resources.sqll: expected one of: sql, got 'sqll'",
        "resources.sql.orders.urll: expected one of: url, batch, headers, login, tags, token, wait, got 'urll'",
        "resources.sql.orders.url: expected text, got nothing",
        (
            "resources.sql.\"a.b\": expected a name of letters, digits, '_' and '-' that is not the ending of a script "
            "file, got 'a.b'"
        ),
    ]


def test_a_password_in_an_address_that_is_refused_is_not_shown(tmp_path: Path) -> None:
    text = "[resources.sql.a]\nurl = 1\nbatch = 'redis://me:hunter2@h:port/?password=hunter2'"
    found = problems(tmp_path, text)
    assert lines(found.values()) == [
        "resources.sql.a.url: expected text, got 1",
        "resources.sql.a.batch: expected a whole number of at least 1, got 'redis://***@h:port/?password=***'",
    ]


def test_expanding_settings_needs_the_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_SET", raising=False)
    with pytest.raises(ConfigurationError, match=r"settings\.a: expected the environment variable NOT_SET"):
        expand(b'{"a":"${NOT_SET}"}', "settings")


def test_secrets_from_anywhere_in_the_file_are_masked_also_when_escaped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A", 'p"ss wörd')
    monkeypatch.setenv("B", "other-secret")
    monkeypatch.setenv("C", "other-secret-longer")
    monkeypatch.setenv("PIN", "12")
    config = read(tmp_path, '[resources.sql.y]\nurl = "${A}"\n[settings]\na = "${B}"\nb = "${C}"\nc = "${PIN}"')
    assert config.mask('p"ss wörd, {"a": "p\\"ss w\\u00f6rd"}, //p%22ss%20w%C3%B6rd@h') == '***, {"a": "***"}, //***@h'
    assert config.mask("other-secret-longer other-secret") == "*** ***"
    assert config.mask("12 events") == "12 events"


def test_a_configuration_without_variables_masks_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, "").mask("as it is") == "as it is"


def test_a_wrong_value_that_came_from_a_variable_is_masked_in_its_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LISTEN", "secret-host")
    found = problems(tmp_path, '[host]\nlisten = "${LISTEN}"')
    assert found["host.listen"].got == "'***'"


# --- reference ---


def test_the_reference_names_every_key_with_its_type_default_and_text() -> None:
    keys = {(key.path, key.kind): key for key in reference(KINDS)}
    assert keys["host.lanes", None].type == "a whole number from 1 to 256"
    assert keys["host.lanes", None].default == "the number of CPUs"
    assert keys["sources.NAME.type", None].default is None
    assert keys["sources.NAME.batch", "feed"].description == "How many at once."
    assert keys["sources.NAME.token", "feed"].default == "none"
    assert keys["sinks.NAME.path", "file"].type == "text that is not empty"


def test_every_key_of_ours_is_documented() -> None:
    missing = [key.path for key in reference(Plugins.load()) if not key.description]
    assert missing == []

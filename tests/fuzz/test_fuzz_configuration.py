"""Any file is a configuration or refused with everything that is wrong with it, each at its place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.cli.command_line import trimtab
from tests.fuzz.effort import effort
from trimtab.config import Config, load, reference
from trimtab.errors import ConfigurationError
from trimtab.plugin_manager import Plugins

PLUGINS = Plugins.load()
REPOSITORY = Path(__file__).parents[2]
VALID = sorted(
    {path.read_text() for path in (REPOSITORY / "trimtab.toml", *REPOSITORY.glob("host/cli/templates/*.toml"))}
)
KEYS = sorted({key.path.rpartition(".")[2] for key in reference(PLUGINS)} | {"type"})
TYPES = sorted({*PLUGINS.source_kinds(), *PLUGINS.sink_kinds(), *PLUGINS.discoverer_kinds(), *PLUGINS.codecs()})
KINDS = sorted(PLUGINS.resource_kinds())

WORDS = st.sampled_from(
    [
        *TYPES,
        *(
            "scripts",
            ".trimtab",
            "127.0.0.1:0",
            "0.0.0.0:1",
            "[::1]:65536",
            "${HOME}",
            "${NO_SUCH_VARIABLE}",
            "${",
            "$${",
        ),
        *("5s", "-1s", "1e999s", "9" * 400 + "d", "a" * 300, "a\0b", "../..", "/", "", " ", "\u202e", "*"),
        *("http://[", "http://h:99999", "redis://", "redis+cluster://h:1,", "mongodb://", "mongodb+srv://h", "jdbc:"),
        *("sqlite:///x.db", "postgresql://u:p@h:x/d", "jdbc:mysql://h:99999/d?a=b&a", "jdbc:sqlite:"),
    ]
)
NUMBERS = (
    st.sampled_from([0, -1, 1, 257, 2**63, 2**64, 10**400, 1e308, float("inf"), float("nan"), -0.0]) | st.integers()
)
LEAVES = WORDS | st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | NUMBERS | st.booleans()
NAMES = st.sampled_from(["gps", "a.b", "a-b", "js", "ä", "", "a b", '"', "..", "__proto__"])


def trees(keys: st.SearchStrategy[str], inner: st.SearchStrategy[Any], most: int = 3) -> st.SearchStrategy[Any]:
    return st.dictionaries(keys, inner, max_size=most)


VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | trees(st.sampled_from(KEYS) | NAMES, inner), max_leaves=6
)
TABLES = st.fixed_dictionaries(
    {}, optional={"type": st.sampled_from(TYPES)} | {key: VALUES for key in KEYS if key != "type"}
) | trees(st.sampled_from(KEYS), VALUES, 8)
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        **{section: trees(NAMES, TABLES) | VALUES for section in ("sources", "sinks", "discoverers")},
        "resources": trees(st.sampled_from(KINDS) | NAMES, trees(NAMES, TABLES)) | VALUES,
        "host": TABLES,
        "sandbox": TABLES,
        "settings": VALUES,
        "nonsense": VALUES,
    },
)


def written(value: Any) -> str:
    """A value as TOML writes it; a table in one line."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{quoted(key)} = {written(each)}' for key, each in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    return quoted(value) if isinstance(value, str) else str(value).lower()


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def document(tree: Mapping[str, Any]) -> str:
    return "".join(f"{key} = {written(value)}\n" for key, value in tree.items())


PIECES = st.sampled_from(
    [
        *(
            "[",
            "]",
            "[[",
            "]]",
            "{",
            "}",
            "=",
            ".",
            ",",
            '"',
            '"""',
            "'",
            "#",
            "\n",
            "\r",
            "\0",
            "\\u",
            "a",
            "1e",
            "0x",
            "inf",
        ),
        *(
            "1979-05-27",
            "T07:32:00Z",
            "[host]\n",
            "[sources.gps]\n",
            "type = ",
            "resources.",
            "settings",
            "\ufeff",
            "\x7f",
        ),
    ]
)
TEXTS = st.text() | st.lists(PIECES, max_size=30).map("".join)


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    """A configuration that is valid, with some of its bytes or lines changed, taken out or put in twice."""
    content = draw(st.sampled_from(VALID)).encode()
    for _ in range(draw(st.integers(1, 4))):
        start, length = draw(st.integers(0, len(content))), draw(st.integers(0, 20))
        new = draw(st.binary(max_size=4) | PIECES.map(str.encode) | st.just(content[start : start + length] * 2))
        content = content[:start] + new + content[start + length :]
    return content


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("configured")
    (folder / "scripts").mkdir()
    return folder


def read(folder: Path, content: bytes) -> Config | ConfigurationError:
    path = folder / "trimtab.toml"
    path.write_bytes(content)
    try:
        return load(path, PLUGINS)
    except ConfigurationError as error:
        return error


def check(found: Config | ConfigurationError) -> None:
    if isinstance(found, Config):
        assert isinstance(found.settings, bytes)
        return
    assert found.problems
    for problem in found.problems:
        assert problem.path
        assert problem.expected
        assert problem.got
        assert len(problem.got) <= 120


DEEP = 5000


@effort(120)
@given(DOCUMENTS.map(document))
def test_any_tree_of_values_is_a_configuration_or_refused_with_each_place(folder: Path, text: str) -> None:
    check(read(folder, text.encode()))


@effort(200)
@given(TEXTS.map(str.encode) | st.binary() | mutations())
@example(b"a = " + b"[" * DEEP)
@example(b"a = " + b"[" * 300 + b"]" * 300)
@example(b"settings." + b"a." * DEEP + b"a = 1")
@example(b"resources.sql." + b"a." * DEEP + b"a = 1")
@example(b"sources.gps." + b"a." * DEEP + b"a = 1")
@example(b"host.lanes = " + b"9" * DEEP)
@example(b"settings.a = 1" + b"0" * 4299)
@example(b"settings.a = 0x" + b"f" * DEEP)
@example(b'host.scripts = "' + b"a" * 300 + b'"')
@example(b'host.scripts = "a\\u0000b"')
@example(b'sinks.a = {type = "file", path = "' + b"a" * DEEP + b'"}')
def test_any_bytes_are_a_configuration_or_refused_with_each_place(folder: Path, content: bytes) -> None:
    check(read(folder, content))


@pytest.mark.parametrize(
    "content",
    [b"\xff", b"host = 1", b"host.lanes = " + b"9" * DEEP, b"settings." + b"a." * DEEP + b"a = 1"],
    ids=["not-utf-8", "no-table", "long-number", "deep"],
)
def test_the_command_line_refuses_them_without_a_traceback(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "trimtab.toml").write_bytes(content)
    done = trimtab(tmp_path, "run")
    assert done.returncode == 2
    assert "expected" in done.stderr
    assert "Traceback" not in done.stderr

"""Differences between two versions."""

from __future__ import annotations

from trimtab.artifacts.diff import NO_NEWLINE, diff, readable


def test_changed_lines_are_shown_as_a_unified_diff() -> None:
    assert diff(b"a\nb\nc\n", b"a\nB\nc\n", "x.js #1", "x.js #2") == [
        "--- x.js #1",
        "+++ x.js #2",
        "@@ -1,3 +1,3 @@",
        " a",
        "-b",
        "+B",
        " c",
    ]


def test_equal_bytes_have_no_difference() -> None:
    assert diff(b"a\n", b"a\n", "1", "2") == []
    assert diff(None, None, "1", "2") == []


def test_a_deleted_artifact_is_shown_as_all_lines_removed() -> None:
    assert diff(b"a\n", None, "1", "2") == ["--- 1", "+++ /dev/null", "@@ -1 +0,0 @@", "-a"]


def test_a_missing_last_newline_is_a_difference() -> None:
    assert diff(b"a\n", b"a", "1", "2")[3:] == ["-a", "+a", NO_NEWLINE]


def test_bytes_that_are_no_text_are_said_to_differ() -> None:
    for binary in (b"\xff", b"a\0b"):
        assert diff(b"a\n", binary, "1", "2") == ["Binary versions 1 and 2 differ"]


def test_only_a_newline_ends_a_line() -> None:
    assert diff("a\x0cb\u2028c\n".encode(), b"d\n", "1", "2")[3:] == ["-a\x0cb\u2028c", "+d"]


def test_json_in_one_line_is_shown_over_several() -> None:
    one, other = readable(b'{"a":1,"b":[1.50,"x\\ny"]}', b'{\n\t"a": 2,\n\t"b": []}\n')
    assert one == b'{\n  "a": 1,\n  "b": [\n    1.50,\n    "x\\ny"\n  ]\n}\n'
    assert other == b'{\n  "a": 2,\n  "b": []\n}\n'
    assert diff(one, other, "1", "2")[3:5] == [" {", '-  "a": 1,']
    assert readable(None, b"{}") == (None, b"{}\n")


def test_json_over_several_lines_and_what_is_none_stay_as_they_are() -> None:
    written = b'{\n\t"a":1}\n'
    assert readable(written, None) == (written, None)
    assert readable(written, b"no json") == (b'{\n  "a": 1\n}\n', b"no json")
    deep = b"[" * 100_000
    assert readable(deep, None) == (deep, None)

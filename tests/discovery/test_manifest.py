"""Scripts from a list on a web server: what is taken, what is refused, what is asked for."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.discovery.web_shelf import Answer, Asked, Shelf
from trimtab.api import Discoverer, DiscovererContext, OutsideError
from trimtab.plugins.manifest import create
from trimtab.plugins.manifest.options import DocumentOptions

LIST = "/fleet/scripts.json"


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    with Shelf() as shelf:
        yield shelf


def publish(shelf: Shelf, *entries: Any, **scripts: str) -> None:
    """Put a list and scripts (``a_js="..."`` is ``a.js``) beside it."""
    shelf.documents[LIST] = json.dumps(entries).encode()
    for name, text in scripts.items():
        stem, _, suffix = name.rpartition("_")
        shelf.documents[f"/fleet/{stem}.{suffix}"] = text.encode()


def manifest(shelf: Shelf, **options: Any) -> Discoverer:
    context = DiscovererContext(Path("/"), (), Path("/state"), frozenset((".js", ".py")))
    given: dict[str, Any] = {"url": shelf.url(LIST), "timeout": "10s", **options}
    return create(DocumentOptions(**given), "central", context)


def scan(discoverer: Discoverer) -> Mapping[str, bytes]:
    snapshot = asyncio.run(discoverer.scan())
    assert snapshot.refused == {}
    return snapshot.artifacts


def refusal(discoverer: Discoverer) -> str:
    with pytest.raises(OutsideError) as refused:
        scan(discoverer)
    assert refused.value.retryable
    return str(refused.value)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def since(shelf: Shelf, before: int) -> list[Asked]:
    return shelf.requests[before:]


# --- what is taken ---


def test_scripts_are_named_by_the_last_part_of_their_address_or_as_the_list_says(shelf: Shelf) -> None:
    elsewhere = {"name": "alarms/sms.py", "url": shelf.url("/get?id=7")}
    publish(shelf, "a.js", {"url": "/other/b.py"}, elsewhere, "_geo.py", "c.js?v=1", a_js="1", _geo_py="4")
    shelf.documents |= {"/other/b.py": b"2", "/get?id=7": b"3", "/fleet/c.js?v=1": b"5"}
    assert scan(manifest(shelf)) == {
        "a.js": b"1",
        "b.py": b"2",
        "alarms/sms.py": b"3",
        "_geo.py": b"4",
        "c.js": b"5",
    }


def test_an_empty_list_is_no_scripts(shelf: Shelf) -> None:
    publish(shelf)
    assert scan(manifest(shelf)) == {}


def test_what_the_list_leaves_out_is_gone(shelf: Shelf) -> None:
    publish(shelf, "a.js", "b.js", a_js="1", b_js="2")
    found = manifest(shelf)
    assert set(scan(found)) == {"a.js", "b.js"}
    publish(shelf, "b.js")
    assert scan(found) == {"b.js": b"2"}


def test_a_document_that_was_moved_is_followed(shelf: Shelf) -> None:
    publish(shelf, "a.js")
    shelf.answers[LIST] = Answer(302, {"Location": "/moved.json"})
    shelf.documents["/moved.json"] = b'["a.js"]'
    shelf.answers["/fleet/a.js"] = Answer(301, {"Location": "v1/a.js"})
    shelf.documents["/fleet/v1/a.js"] = b"moved"
    assert scan(manifest(shelf)) == {"a.js": b"moved"}


def test_a_compressed_document_is_unpacked(shelf: Shelf) -> None:
    publish(shelf, "a.js")
    shelf.answers["/fleet/a.js"] = Answer(200, {"Content-Encoding": "gzip"}, gzip.compress(b"1"))
    assert scan(manifest(shelf)) == {"a.js": b"1"}


# --- what is asked for ---


def test_what_has_not_changed_is_asked_for_but_not_sent_again(shelf: Shelf) -> None:
    publish(shelf, "a.js", "b.js", a_js="1", b_js="2")
    found = manifest(shelf)
    first = scan(found)
    before = len(shelf.requests)
    second = scan(found)
    assert [asked.status for asked in since(shelf, before)] == [304, 304, 304]
    assert all(second[name] is first[name] for name in first)


def test_of_what_has_changed_only_that_is_sent(shelf: Shelf) -> None:
    publish(shelf, "a.js", "b.js", a_js="1", b_js="2")
    found = manifest(shelf)
    scan(found)
    before = len(shelf.requests)
    shelf.documents["/fleet/b.js"] = b"22"
    assert scan(found) == {"a.js": b"1", "b.js": b"22"}
    assert {asked.path: asked.status for asked in since(shelf, before)} == {
        LIST: 304,
        "/fleet/a.js": 304,
        "/fleet/b.js": 200,
    }


def test_a_server_without_etags_is_asked_by_time(shelf: Shelf) -> None:
    shelf.marked, shelf.modified, shelf.now = False, 1_000_000_000, 1_000_000_001
    publish(shelf, "a.js", a_js="1")
    found = manifest(shelf)
    scan(found)
    before = len(shelf.requests)
    assert scan(found) == {"a.js": b"1"}
    assert [asked.status for asked in since(shelf, before)] == [304, 304]


def test_a_document_of_this_very_second_is_sent_again(shelf: Shelf) -> None:
    """It may have changed since, with the same time stamp."""
    shelf.marked, shelf.modified, shelf.now = False, 1_000_000_000, 1_000_000_000
    publish(shelf, "a.js", a_js="1")
    found = manifest(shelf)
    scan(found)
    publish(shelf, "a.js", a_js="2")
    assert scan(found) == {"a.js": b"2"}


def test_a_server_that_marks_nothing_is_asked_for_everything(shelf: Shelf) -> None:
    shelf.marked = False
    publish(shelf, "a.js", a_js="1")
    found = manifest(shelf)
    first = scan(found)
    assert scan(found)["a.js"] is first["a.js"]
    assert [asked.status for asked in shelf.requests] == [200] * 4


def test_a_script_with_the_hash_that_the_list_names_is_not_asked_for_again(shelf: Shelf) -> None:
    publish(shelf, {"url": "a.js", "sha256": sha256("1").upper()}, a_js="1")
    found = manifest(shelf)
    scan(found)
    before = len(shelf.requests)
    assert scan(found) == {"a.js": b"1"}
    assert [asked.path for asked in since(shelf, before)] == [LIST]


def test_a_new_hash_fetches_the_script_whatever_the_server_says_of_its_age(shelf: Shelf) -> None:
    publish(shelf, {"url": "a.js", "sha256": sha256("1")}, a_js="1")
    shelf.marked, shelf.modified, shelf.now = False, 1_000_000_000, 1_000_000_009
    found = manifest(shelf)
    scan(found)
    publish(shelf, {"url": "a.js", "sha256": sha256("2")}, a_js="2")
    shelf.modified += 1
    shelf.answers["/fleet/a.js"] = Answer(200, {"Last-Modified": "Sun, 09 Sep 2001 01:46:40 GMT"}, b"2")
    assert scan(found) == {"a.js": b"2"}


def test_many_scripts_are_fetched_at_the_same_time_but_not_all_at_once(shelf: Shelf) -> None:
    names = [f"s{number}.js" for number in range(40)]
    publish(shelf, *names)
    shelf.documents |= {f"/fleet/{name}": name.encode() for name in names}
    shelf.crowd = threading.Barrier(8)
    assert scan(manifest(shelf, timeout="60s")) == {name: name.encode() for name in names}
    assert shelf.most_at_once == 8


def test_token_and_headers_are_sent_to_the_server_of_the_list_only(shelf: Shelf) -> None:
    with Shelf() as other:
        publish(shelf, "a.js", other.url("/b.js"), "moved.js", a_js="1")
        shelf.answers["/fleet/moved.js"] = Answer(302, {"Location": other.url("/moved.js")})
        other.documents |= {"/b.js": b"2", "/moved.js": b"3"}
        scan(manifest(shelf, token="secret", headers={"X-Fleet": "north"}))
        here = [(asked.headers.get("authorization"), asked.headers.get("x-fleet")) for asked in shelf.requests]
        there = [(asked.headers.get("authorization"), asked.headers.get("x-fleet")) for asked in other.requests]
    assert here == [("Bearer secret", "north")] * 3
    assert there == [(None, None)] * 2


# --- what is refused: all of it, or nothing ---


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ('{"a": 1}', "expected a JSON list of URLs or of objects with url, name and sha256"),
        ("[1]", "expected a JSON list of URLs"),
        ("<html>", "expected a JSON list of URLs"),
        ("[", "expected a JSON list of URLs"),
        ('[{"name": "a.js"}]', "missing required field `url`"),
        ('[{"url": "a.js", "sha265": "00"}]', "sha265"),
        ('[{"url": "a.js", "sha256": "00"}]', "sha256"),
        ('["a.js", "file:///etc/b.js"]', "entry [1]: expected an http or https URL, got file:/etc/b.js"),
        ('["http://h:x/b.js"]', "entry [0]: expected a URL, got one that is not valid"),
        ('["a.txt"]', "entry [0]: expected a name that ends in .js, .py, got 'a.txt'"),
        ('["/"]', "expected a name that ends in .js, .py, got ''"),
        ('[{"url": "a.js", "name": "settings"}]', "expected a name that ends in .js, .py, got 'settings'"),
        ('[{"url": "a.js", "name": "../a.js"}]', "expected a name that a scripts folder would take, got '../a.js'"),
        ('[{"url": "a.js", "name": "/a.js"}]', "expected a path name below the folder, got '/a.js'"),
        ('["a.test.js"]', "expected a name that a scripts folder would take, got 'a.test.js'"),
        ('["a.js", "old/a.js?v=1"]', "entry [1]: expected each name once, got a.js from "),
    ],
)
def test_a_list_that_is_not_right_is_refused_as_a_whole(shelf: Shelf, entries: str, message: str) -> None:
    publish(shelf, "a.js", a_js="1")
    found = manifest(shelf)
    good = scan(found)
    shelf.documents[LIST] = entries.encode()
    said = refusal(found)
    assert said.startswith("discoverers.central: ")
    assert message in said
    publish(shelf, "a.js")
    assert scan(found) == good


def test_a_name_that_comes_twice_is_told_with_both_addresses(shelf: Shelf) -> None:
    publish(shelf, "a.js", "old/a.js?key=secret", a_js="1")
    said = refusal(manifest(shelf))
    assert f"got a.js from {shelf.url('/fleet/a.js')} and {shelf.url('/fleet/old/a.js')};" in said


@pytest.mark.parametrize("path", [LIST, "/fleet/b.js"])
@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(404, body=b"not here"), "expected a status of 200, got 404 'not here'"),
        (Answer(500), "expected a status of 200, got 500"),
        (Answer(204), "expected a status of 200, got 204"),
        (Answer(200, {}, b"x" * 5000), "expected at most 1000 bytes, got more; raise max_size"),
        (Answer(200, {"Content-Encoding": "gzip"}, b"no gzip"), "expected an answer, got DecodingError"),
        (Answer(200, {"Content-Length": "9"}, b'["a.js"]'), "expected a whole answer within 0.5 s, got none"),
        (Answer(302, {"Location": "file:///etc/x.js"}), "expected an http or https URL, got file:/etc/x.js"),
        (Answer(302, {"Location": "/loop"}), "expected a document after at most 5 redirects, got one more"),
    ],
)
def test_an_answer_that_is_no_document_changes_nothing(shelf: Shelf, path: str, answer: Answer, message: str) -> None:
    publish(shelf, "a.js", "b.js", a_js="1", b_js="2")
    found = manifest(shelf, max_size=1000, timeout="5s" if "whole" not in message else "0.5s")
    good = scan(found)
    shelf.marked = False
    shelf.answers |= {path: answer, "/loop": Answer(302, {"Location": "/loop"})}
    said = refusal(found)
    assert f"discoverers.central: GET {shelf.url('')}" in said
    assert message in said
    shelf.answers.clear()
    assert scan(found) == good


def test_a_server_that_says_unchanged_of_what_was_never_had_is_refused(shelf: Shelf) -> None:
    shelf.answers[LIST] = Answer(304)
    assert "expected a status of 200, got 304" in refusal(manifest(shelf))


def test_content_with_another_hash_than_the_list_names_is_refused(shelf: Shelf) -> None:
    publish(shelf, {"url": "a.js", "sha256": sha256("1")}, a_js="tampered")
    said = refusal(manifest(shelf))
    assert f"expected content with the SHA-256 {sha256('1')}, got {sha256('tampered')}" in said


def test_a_script_that_is_no_text_is_refused(shelf: Shelf) -> None:
    publish(shelf, "a.js")
    shelf.documents["/fleet/a.js"] = b"ok \xff"
    assert "a.js: expected UTF-8 text, got the byte 0xff at 3" in refusal(manifest(shelf))


def test_a_server_that_is_down_or_silent_is_told_and_no_name_or_password_with_it(shelf: Shelf) -> None:
    publish(shelf, "a.js", a_js="1")
    address = shelf.url(LIST).replace("//", "//me:secret@") + "?key=secret"
    shelf.documents[f"{LIST}?key=secret"] = b'["a.js"]'
    found = manifest(shelf, url=address, timeout="0.3s")
    assert scan(found) == {"a.js": b"1"}
    assert shelf.requests[-1].headers["authorization"].startswith("Basic ")
    shelf.pause()
    silent = refusal(found)
    shelf.stop()
    down = refusal(found)
    assert f"GET {shelf.url(LIST)}: expected a whole answer within 0.3 s, got none" in silent
    assert f"GET {shelf.url(LIST)}: expected an answer, got ConnectError" in down
    assert "secret" not in silent + down
    shelf.start()
    assert scan(found) == {"a.js": b"1"}


def test_what_came_encrypted_names_nothing_that_does_not() -> None:
    import httpx

    from trimtab.plugins.manifest.fetch import leads_to

    base = httpx.URL("https://h/list.json")
    assert leads_to(base, "a.js") == "https://h/a.js"
    with pytest.raises(ValueError, match="expected an https URL, because what names it came by https, got http://h/a"):
        leads_to(base, "http://h/a.js?key=1")
    assert leads_to(httpx.URL("http://h/list.json"), "https://h/a.js") == "https://h/a.js"

"""What scripts may reach by HTTP, and what they are told when they may not."""

from __future__ import annotations

import re
import socket
from ipaddress import ip_address
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.http.http_servers import Reply, Site, Visit
from trimtab.api import CallError
from trimtab.plugins.http.addresses import parse_address, sort_of
from trimtab.plugins.http.allow import Entry, entry_for, normal
from trimtab.plugins.http.policy import Policy
from trimtab.testing.scripts import Handled, ScriptRunner

SCRIPTS = {
    "py": "from trimtab import emit, http\n"
    "def handle(e, ctx):\n"
    "    call = http(e['with']) if 'with' in e else http\n"
    "    emit('out', call.get(e['url'], redirects=e.get('redirects', 0), retries=0).status)\n",
    "js": "import { emit, http } from 'trimtab';\n"
    "export function handle(e) {\n"
    "  const call = e.with ? http(e.with) : http;\n"
    "  emit('out', call.get(e.url, { redirects: e.redirects ?? 0, retries: 0 }).status);\n}\n",
}


def handled(event: dict[str, Any], *, confined: bool | None = True, language: str = "py", **resources: Any) -> Handled:
    named = {f"http.{name}": options for name, options in resources.items()}
    with ScriptRunner(resources=named, confined=confined) as runner:
        runner.load(**{f"check__{language}": SCRIPTS[language]})
        return runner.handle(event)


def refusal(event: dict[str, Any], **more: Any) -> str:
    """The message of the refusal that ends the script."""
    (fault,) = handled(event, **more).faults
    assert fault.name == "PolicyError"
    return fault.message


# --- the allow list ---


@pytest.mark.parametrize(
    ("entry", "host", "port", "covered"),
    [
        ("api.example.com", "api.example.com", 443, True),
        ("api.example.com", "api.example.com", 80, True),
        ("api.example.com", "api.example.com", 8080, False),
        ("api.example.com:8080", "api.example.com", 8080, True),
        ("api.example.com:8080", "api.example.com", 443, False),
        ("API.Example.com", "api.example.com", 443, True),
        ("*.internal", "a.internal", 80, True),
        ("*.internal", "a.b.internal", 80, True),
        ("*.internal", "internal", 80, False),
        ("*.internal", "ainternal", 80, False),
        ("*.internal", "a.internal.evil.com", 80, False),
        ("*.internal:8080", "a.internal", 8080, True),
        ("*", "anything.example", 443, True),
        ("*", "anything.example", 8080, False),
        ("*:8080", "anything.example", 8080, True),
        ("[0:0::1]:8080", "::1", 8080, True),
        ("10.0.0.1:80", "10.0.0.1", 80, True),
    ],
)
def test_an_entry_covers_hosts_and_ports(entry: str, host: str, port: int, covered: bool) -> None:
    assert Entry.parse(entry).covers(host, port) is covered


@pytest.mark.parametrize(
    "entry",
    ["", " ", "a b", "http://a", "a/b", "a:0", "a:65536", "a:b", "a*", "*a.b", "a.*", "::1", "[::1", "[a]", "u@a", "é"],
)
def test_an_entry_that_is_none_is_refused_with_those_that_are(entry: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(entry))):
        Entry.parse(entry)


LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
NAME = st.lists(LABEL, min_size=1, max_size=4).map(".".join)
ADDRESS = st.ip_addresses().map(str)
PORT = st.integers(1, 65535)


@given(NAME | ADDRESS, PORT, PORT)
def test_the_entry_that_a_refusal_shows_lists_that_host_on_that_port_alone(host: str, port: int, other: int) -> None:
    host = normal(host)
    entry = Entry.parse(entry_for(host, port))
    assert entry.covers(host, port)
    assert entry.names(host, port)
    assert entry.covers(host, other) is (port == other)
    assert not entry.covers(f"x.{host}", port)


@given(NAME, NAME, PORT)
def test_a_wildcard_covers_what_ends_in_its_domain_and_names_nothing(host: str, domain: str, port: int) -> None:
    entry = Entry.parse(f"*.{domain}:{port}")
    assert entry.covers(f"{host}.{domain}", port)
    assert entry.covers(host, port) is host.endswith(f".{domain}")
    assert not entry.covers(domain, port) or domain.endswith(f".{domain}")
    assert not entry.names(host, port)


@given(st.text(max_size=20))
def test_any_text_is_an_entry_or_a_value_error(text: str) -> None:
    try:
        entry = Entry.parse(text)
    except ValueError:
        return
    assert entry.ports


@given(NAME, PORT)
def test_one_host_has_one_spelling(host: str, port: int) -> None:
    entry = Entry.parse(f"{host.upper()}:{port}")
    assert entry.covers(normal(f"{host.title()}."), port)


# --- confined scripts ---


@pytest.mark.parametrize("language", ["py", "js"])
def test_a_confined_script_reaches_what_is_listed(language: str) -> None:
    site = Site()
    with site.serving() as url:
        allow = {"allow": [f"127.0.0.1:{site.port}"]}
        assert handled({"url": url}, language=language, default=allow).emitted == [200]


@pytest.mark.parametrize("language", ["py", "js"])
def test_a_refusal_shows_the_line_that_would_allow_it_and_that_line_does(language: str) -> None:
    site = Site()
    with site.serving() as url:
        message = refusal({"url": f"{url}/a?token=s3cret"}, language=language, default={"allow": ["a.example"]})
        line = f'[resources.http.default] allow = ["a.example", "127.0.0.1:{site.port}"]'
        assert message.endswith(f"got {url}/a; to allow it: {line}")
        assert site.visits == []
        allow = {"allow": ["a.example", f"127.0.0.1:{site.port}"]}
        assert handled({"url": url}, language=language, default=allow).emitted == [200]


def test_javascript_is_confined_and_python_is_not_unless_the_configuration_says() -> None:
    with Site().serving() as url:
        assert handled({"url": url}, confined=None, language="py").emitted == [200]
        assert "allow" in refusal({"url": url}, confined=None, language="js")
        assert handled({"url": url}, confined=False, language="js").emitted == [200]


def test_a_named_resource_reaches_its_base_url_and_what_it_lists_itself() -> None:
    home, other = Site(), Site()
    with home.serving() as url, other.serving() as elsewhere:
        sms = {"base_url": url}
        assert handled({"with": "sms", "url": "/"}, sms=sms).emitted == [200]
        message = refusal({"with": "sms", "url": elsewhere}, sms=sms, default={"allow": [f"127.0.0.1:{other.port}"]})
        assert f'[resources.http.sms] allow = ["127.0.0.1:{other.port}"]' in message
        assert other.visits == []
        more = sms | {"allow": [f"127.0.0.1:{other.port}"]}
        assert handled({"with": "sms", "url": elsewhere}, sms=more).emitted == [200]
        assert "[resources.http.default]" in refusal({"url": url}, sms=sms)


@pytest.mark.parametrize(
    "path",
    [
        *("/../x", "../x", "/..", "/orders/../../x", "/orders/../7", "/%2e%2e/x", "/.%2E/x", "/..%2fx", "/..%5cx"),
        *("/..\\x", "/..;a=1/x", "/%252e%252e/x", "/..?a=1", "/..#a"),
    ],
)
@pytest.mark.parametrize("confined", [True, False])
def test_a_path_does_not_lead_out_of_the_base_url(path: str, confined: bool) -> None:
    site = Site()
    with site.serving() as url:
        message = refusal({"with": "sms", "url": path}, confined=confined, sms={"base_url": f"{url}/v1"})
    assert f"http.sms: expected a path below {url}/v1, got " in message
    assert site.visits == []


@pytest.mark.parametrize("path", ["/a..b", "/...", "/..a/b", "/a?next=/../b", "/./a"])
def test_dots_that_lead_nowhere_are_sent(path: str) -> None:
    site = Site()
    with site.serving() as url:
        assert handled({"with": "sms", "url": path}, sms={"base_url": f"{url}/v1"}).faults == []
    assert [visit.path[:4] for visit in site.visits] == ["/v1/"]


def test_a_redirect_to_a_host_that_is_not_listed_is_refused_before_it_is_asked() -> None:
    other = Site()

    def away(_visit: Visit) -> Reply:
        return Reply(302, b"", (("Location", f"{other.url}/there"),))

    site = Site(away)
    with other.serving(), site.serving() as url:
        allow = {"allow": [f"127.0.0.1:{site.port}"]}
        assert f'"127.0.0.1:{other.port}"]' in refusal({"url": url, "redirects": 5}, default=allow)
        assert other.visits == []
        assert handled({"url": url}, default=allow).emitted == [302]


@pytest.mark.parametrize("location", ["file:///etc/passwd", "gopher://a/", "ftp://a/"])
def test_a_redirect_to_another_scheme_is_refused(location: str) -> None:
    with Site(lambda _visit: Reply(302, b"", (("Location", location),))).serving() as url:
        assert "expected http or https" in refusal({"url": url, "redirects": 5}, confined=False)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://a/b", "unix:/run/a.sock", "javascript:1"])
def test_only_http_and_https_are_asked_for(url: str) -> None:
    assert "expected http or https" in refusal({"url": url}, confined=False)


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    proxy, site = Site(), Site()
    with proxy.serving() as through, site.serving() as url:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, through)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert handled({"url": url}, confined=False).emitted == [200]
    assert (len(proxy.visits), len(site.visits)) == (0, 1)


# --- special addresses ---


@pytest.mark.parametrize(
    ("address", "sort"),
    [
        ("169.254.169.254", "link-local"),
        ("::ffff:169.254.169.254", "link-local"),
        ("64:ff9b::a9fe:a9fe", "link-local"),
        ("2002:a9fe:a9fe::1", "link-local"),
        ("::a9fe:a9fe", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("fd00:ec2::254", "a metadata service"),
        ("100.100.100.200", "a metadata service"),
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("::", "unspecified"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("255.255.255.255", "multicast"),
        ("127.0.0.1", "loopback"),
        ("127.8.8.8", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("10.0.0.1", None),
        ("192.168.1.1", None),
        ("fd00::1", None),
        ("93.184.216.34", None),
    ],
)
def test_special_addresses_are_known_in_every_form(address: str, sort: str | None) -> None:
    assert sort_of(parse_address(address)) == sort


@given(st.ip_addresses(v=4))
def test_an_address_is_of_the_same_sort_in_ipv6(address: Any) -> None:
    if int(address) > 1:
        assert sort_of(parse_address(f"::ffff:{address}")) == sort_of(address)
        assert sort_of(parse_address(f"64:ff9b::{address}")) == sort_of(address)


METADATA = [
    "http://169.254.169.254/latest/meta-data",
    "http://2852039166/",
    "http://0xa9fea9fe/",
    "http://025177524776/",
    "http://169.254.43518/",
    "http://[::ffff:169.254.169.254]/",
    "http://[::ffff:a9fe:a9fe]/",
    "http://[fe80::1]/",
    "http://[fd00:ec2::254]/",
    "http://metadata.google.internal/",
    "http://METADATA.google.internal./",
    "http://0.0.0.0/",
    "http://0/",
    "http://[::]/",
    "http://224.0.0.1/",
]


@pytest.mark.parametrize("url", METADATA)
@pytest.mark.parametrize("confined", [True, False])
def test_link_local_and_metadata_addresses_are_refused_for_every_script(url: str, confined: bool) -> None:
    assert "to allow it: [resources.http.default] allow = [" in refusal({"url": url}, confined=confined)
    wild = {"allow": ["*", "*.internal"]}
    assert "to allow it: " in refusal({"url": url}, confined=confined, default=wild)


def test_octal_numbers_with_dots_are_no_url() -> None:
    (fault,) = handled({"url": "http://0251.0376.0251.0376/"}, confined=False).faults
    assert (fault.name, "not valid" in fault.message) == ("ValueError", True)


@pytest.mark.parametrize("url", ["http://127.0.0.1:{}/", "http://localhost:{}/", "http://2130706433:{}/"])
def test_loopback_needs_more_than_a_wildcard(url: str) -> None:
    site = Site()
    with site.serving():
        place = url.format(site.port)
        assert "(loopback)" in refusal({"url": place}, default={"allow": [f"*:{site.port}"]})
        assert handled({"url": place}, confined=False).emitted == [200]
        literal = {"allow": [f"*:{site.port}", f"127.0.0.1:{site.port}"]}
        if "localhost" in url:
            literal = {"allow": [f"localhost:{site.port}"]}
        assert handled({"url": place}, default=literal).emitted == [200]
    assert len(site.visits) == 2


def test_an_address_that_is_listed_itself_may_be_reached() -> None:
    policy = policy_of("169.254.169.254:80", "[fd00:ec2::254]:80", "metadata.google.internal", confined=True)
    for url in ("http://169.254.169.254/", "http://metadata.google.internal/", "http://[fd00:ec2::254]/"):
        policy.check(httpx.URL(url))
    for address in ("169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254"):
        policy.check_address("metadata.google.internal", 80, address)


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "::1", "0.0.0.0"])
def test_a_listed_name_is_refused_when_its_dns_points_to_a_special_address(address: str) -> None:
    policy = policy_of("api.example.com:443", confined=True)
    policy.check(httpx.URL("https://api.example.com/"))
    with pytest.raises(CallError, match=r"api\.example\.com, which is") as refused:
        policy.check_address("api.example.com", 443, address)
    assert f'allow = ["api.example.com:443", "{entry_for(str(ip_address(address)), 443)}"]' in str(refused.value)


def test_a_name_is_looked_up_once_and_what_was_checked_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """The resolver of the machine cannot be told to change its mind, so one stands in for it here."""
    real, looked_up = socket.getaddrinfo, list[str]()

    def rebinding(host: Any, port: Any, *arguments: Any, **more: Any) -> Any:
        if host != "rebound.example" or more["flags"] & socket.AI_NUMERICHOST:
            return real(host, port, *arguments, **more)
        looked_up.append(host)
        return real("127.0.0.1" if len(looked_up) == 1 else "169.254.169.254", port, *arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    site = Site()
    with site.serving():
        place = f"http://rebound.example:{site.port}/"
        allow = {"allow": [f"rebound.example:{site.port}", f"127.0.0.1:{site.port}"]}
        assert handled({"url": place}, default=allow).emitted == [200]
        assert looked_up == ["rebound.example"]
        assert site.visits[0].headers["host"] == f"rebound.example:{site.port}"
        assert "169.254.169.254 (link-local)" in refusal({"url": place}, default=allow)


def test_a_connection_of_a_script_that_may_is_not_lent_to_one_that_may_not() -> None:
    site = Site()
    with (
        site.serving(),
        ScriptRunner(resources={"http.default": {"allow": [f"*:{site.port}"]}}, confined=None) as runner,
    ):
        runner.load(a__py=SCRIPTS["py"], b__js=SCRIPTS["js"])
        answer = runner.handle({"url": f"http://localhost:{site.port}/"})
    assert (answer.emitted, [fault.name for fault in answer.faults]) == ([200], ["PolicyError"])
    assert len(site.visits) == 1


def policy_of(*allow: str, confined: bool) -> Policy:
    return Policy("http.default", allow, tuple(map(Entry.parse, allow)), confined)

"""What one HTTP resource may reach. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass

import httpx

from trimtab.api import CallError
from trimtab.plugins.http.addresses import METADATA_NAME, parse_address, sort_of
from trimtab.plugins.http.allow import Entry, entry_for, normal
from trimtab.plugins.http.urls import host_of, port_of, shown


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of one resource for scripts that are ``confined`` to what the configuration declares, or for others.

    A URL is checked before its host is looked up, and then each address that the host has, before it is connected to.
    """

    resource: str
    """``http.default``"""
    allow: tuple[str, ...]
    """As the configuration has it."""
    entries: tuple[Entry, ...]
    """Those of ``allow``, and the host of ``base_url``."""
    confined: bool

    def check(self, url: httpx.URL) -> None:
        """Raise :class:`CallError` unless the URL may be asked for."""
        if url.scheme not in {"http", "https"}:
            raise CallError(
                "PolicyError", f"{self.resource}: expected http or https, got {url.scheme}: ask for neither"
            )
        host, port = host_of(url), port_of(url)
        if self.confined and not any(entry.covers(host, port) for entry in self.entries):
            raise self._refusal("a host that the configuration lists", shown(url), host, port)
        if host == METADATA_NAME and not self._is_named(host, port):
            raise self._refusal("a host of another sort", f"{shown(url)} (a metadata service)", host, port)

    def check_address(self, host: str, port: int, address: str) -> None:
        """Raise :class:`CallError` unless an address that the host has may be connected to.

        Special addresses must be listed themselves: whoever runs the DNS of a host could point it to any.
        """
        plain = parse_address(address)
        sort = sort_of(plain)
        if sort is None or (sort == "loopback" and not self.confined) or self._is_named(str(plain), port):
            return
        name = normal(host)
        is_localhost = name == "localhost" or name.endswith(".localhost")
        if sort == "loopback" and is_localhost and self._is_named(name, port):
            return
        got = f"{name}, which is {plain} ({sort})" if name != str(plain) else f"{name} ({sort})"
        raise self._refusal("a host of another sort", got, str(plain), port)

    def _is_named(self, host: str, port: int) -> bool:
        return any(entry.names(host, port) for entry in self.entries)

    def _refusal(self, expected: str, got: str, host: str, port: int) -> CallError:
        line = f"[resources.{self.resource}] allow = {json.dumps([*self.allow, entry_for(host, port)])}"
        return CallError("PolicyError", f"{self.resource}: expected {expected}, got {got}; to allow it: {line}")

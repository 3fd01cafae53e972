"""What the JavaScript half of Lofka mode (``sandbox/javascript/lofka.js``) calls."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from trimtab.api import Script, ScriptHost
from trimtab.plugins.lofka.http import Requests
from trimtab.plugins.lofka.mongo import MongoConnection
from trimtab.plugins.lofka.own import Connections
from trimtab.plugins.lofka.reach import Reach
from trimtab.plugins.lofka.redis import RedisConnection
from trimtab.plugins.lofka.sql import SqlConnection
from trimtab.sandbox.javascript.lofka import Root

_DRIVERS = (
    (rb"\bRedisCluster\b", "trimtab.plugins.redis.clients"),
    (rb"\bSQLConnection\b", "trimtab.plugins.sql.resource"),
    (rb"\bMongoClient\b", "trimtab.plugins.mongo.resource"),
    (rb"\$|Http\b|\bload\b", "trimtab.plugins.http.resource"),
)


class Lofka(Root):
    """Makes the connections of one version of a script. ``timeout``: seconds that one call may take."""

    methods = frozenset({"get", "post_text", "post_form", "load", "redis", "sql", "mongo", "sleep"})
    outside = methods - {"sql", "mongo"}
    fields = ("sinks",)

    def __init__(self, script: Script, host: ScriptHost, timeout: float) -> None:
        self.sinks = sorted(host.sinks)
        self._timeout = timeout
        self._connections = Connections(script, host, Reach(host))
        self._requests = Requests(host, script.name, timeout)
        for name, module in _DRIVERS:
            if re.search(name, script.source):
                import_module(module)  # now: when the script runs, its time limit runs too

    def close(self) -> None:
        """Close every connection that the script has left open. It may make new ones."""
        self._connections.close()

    def get(self, url: str, params: Mapping[str, str], *, json: bool = False) -> str:
        """Return what is at a URL, as text. ``json``: the script reads it as JSON."""
        return self._requests.get(url, params, "{}" if json else "")

    def post_text(self, url: str, text: str) -> str:
        """Send text. Returns the answer."""
        return self._requests.post(url, text=text)

    def post_form(self, url: str, fields: Mapping[str, str]) -> str:
        """Send a form. Returns the answer."""
        return self._requests.post(url, form=fields)

    def load(self, url: str) -> str:
        """Return the script that is at a URL."""
        return self._requests.code(url)

    def redis(self, hosts: list[str]) -> RedisConnection:
        """Connect to a Redis Cluster, or to one Redis that is none."""
        return RedisConnection(self._connections, hosts, self._timeout)

    def sql(self, setting: Mapping[str, Any]) -> SqlConnection:
        """Return a connection to a database, which connects when it is first used."""
        return SqlConnection(self._connections, setting, self._timeout)

    def mongo(self, setting: Mapping[str, Any]) -> MongoConnection:
        """Return a connection to MongoDB, which connects when it is first used."""
        return MongoConnection(self._connections, setting, self._timeout)

    def sleep(self, milliseconds: float) -> None:
        """Wait. The time limit goes on."""
        time.sleep(max(milliseconds, 0) / 1000)

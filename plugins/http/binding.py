"""``http``: scripts send requests."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, Signature, signature
from typing import Any

from trimtab.api import Caller, Connector, ResourceBinding, Script, ScriptHost, ScriptObject
from trimtab.plugins.http.options import CALL_OPTIONS

Method = Callable[..., ScriptObject]


def takes_options(method: Method) -> Method:
    """Spell out the options of a method, for languages that pass them as one object."""
    own = [each for each in signature(method).parameters.values() if each.kind is not Parameter.VAR_KEYWORD]
    named = [Parameter(name, Parameter.KEYWORD_ONLY, default=None) for name in CALL_OPTIONS]
    method.__signature__ = Signature([*own, *named])  # type: ignore[attr-defined]
    return method


class HttpCalls(ScriptObject):
    """What ``http("sms")`` gives. Options are those of :class:`trimtab.bindings.http.Options`."""

    methods = frozenset({"get", "head", "post", "put", "patch", "delete", "request"})
    outside = methods

    def __init__(self, caller: Caller, *, confined: bool) -> None:
        self._caller = caller
        self._confined = confined

    @takes_options
    def get(self, url: str, /, **options: Any) -> ScriptObject:
        """Send a GET request."""
        return self._call("get", (url,), "GET", url, options)

    @takes_options
    def head(self, url: str, /, **options: Any) -> ScriptObject:
        """Send a HEAD request."""
        return self._call("head", (url,), "HEAD", url, options)

    @takes_options
    def post(self, url: str, /, **options: Any) -> ScriptObject:
        """Send a POST request."""
        return self._call("post", (url,), "POST", url, options)

    @takes_options
    def put(self, url: str, /, **options: Any) -> ScriptObject:
        """Send a PUT request."""
        return self._call("put", (url,), "PUT", url, options)

    @takes_options
    def patch(self, url: str, /, **options: Any) -> ScriptObject:
        """Send a PATCH request."""
        return self._call("patch", (url,), "PATCH", url, options)

    @takes_options
    def delete(self, url: str, /, **options: Any) -> ScriptObject:
        """Send a DELETE request."""
        return self._call("delete", (url,), "DELETE", url, options)

    @takes_options
    def request(self, method: str, url: str, /, **options: Any) -> ScriptObject:
        """Send a request of any method."""
        return self._call("request", (method, url), method, url, options)

    def _call(
        self, name: str, written: tuple[Any, ...], method: str, url: str, options: dict[str, Any]
    ) -> ScriptObject:
        from trimtab.plugins.http.asking import asked
        from trimtab.plugins.http.response import Response

        request = asked(method, url, options)
        arguments = (*written, options) if options else written
        return self._caller.call(
            name, arguments, lambda resource: resource.send(request, confined=self._confined), Response(200, url)
        )


class Http(HttpCalls):
    """``http`` itself: calls go to ``http.default``, and ``http(name)`` gives those of another resource."""

    methods = HttpCalls.methods | {"__call__"}

    def __init__(self, script: Script, host: ScriptHost, connector: Connector) -> None:
        super().__init__(Caller(host.resources, script.name, "http.default"), confined=host.confined is True)
        self._connector = connector

    def __call__(self, name: str) -> ScriptObject:
        """Return the calls of a resource. Raises :class:`CallError` where it is not declared."""
        return self._connector(name)


class HttpBinding(ResourceBinding):
    """Gives scripts ``http``."""

    name = "http"

    def bind(self, script: Script, host: ScriptHost) -> Http:
        """See :class:`Binding`."""
        if b"http" in script.source:
            # Takes 100 ms once a process: now rather than within the time limit of the first event.
            import trimtab.plugins.http.resource  # noqa: F401
        return Http(script, host, Connector(self.name, script, host, self.connect))

    def connect(self, caller: Caller, host: ScriptHost) -> HttpCalls:
        """See :class:`ResourceBinding`."""
        return HttpCalls(caller, confined=host.confined is True)

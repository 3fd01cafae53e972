"""``$``, ``asyncHttp``, ``syncHttp`` and ``load``: requests of Lofka scripts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trimtab.api import Caller, CallError, ScriptHost

if TYPE_CHECKING:
    from trimtab.plugins.http.asking import Asked
    from trimtab.plugins.http.resource import HttpResource

_RESOURCE = "http.default"
_REDIRECTS = 5
_OK = 200


class Requests:
    """Sends requests over the resource ``http.default``. ``timeout``: seconds that one may take."""

    def __init__(self, host: ScriptHost, script: str, timeout: float) -> None:
        self._resources = host.resources
        self._caller = Caller(host.resources, script, _RESOURCE)
        self._confined = host.confined is True
        self._timeout = timeout

    def get(self, url: str, params: Mapping[str, str], rehearsed: str) -> str:
        """Return what is there. Raises :class:`CallError` for any status but 200, as Lofka does."""
        asked = self._asked("GET", url, params=params, redirects=_REDIRECTS)
        return self._caller.call("get", (url, params), lambda resource: self._text(resource, asked), rehearsed)

    def post(self, url: str, **body: Any) -> str:
        """Return the answer to a body: ``text`` or ``form``. Raises :class:`CallError` for any status but 200."""
        asked = self._asked("POST", url, **body)
        return self._caller.call("post", (url, body), lambda resource: self._text(resource, asked), "")

    def code(self, url: str) -> str:
        """Return a script. It is also fetched where calls are rehearsed: without it there is nothing to rehearse."""
        asked = self._asked("GET", url, redirects=_REDIRECTS)
        text = self._caller.call("load", (url,), lambda resource: self._text(resource, asked), None)
        if text is not None:
            return text
        declared: Any = self._resources.require(_RESOURCE)  # reading code is no effect: it is done in rehearsals too
        return self._text(declared, asked)

    def _asked(self, method: str, url: str, **options: Any) -> Asked:
        from trimtab.plugins.http.asking import asked

        return asked(method, url, {**options, "timeout": self._timeout})

    def _text(self, resource: HttpResource, asked: Asked) -> str:
        answer = resource.send(asked, confined=self._confined)
        if answer.status != _OK:
            message = f"expected status {_OK} for {asked.method} {answer.url}, got {answer.status}"
            raise CallError("HttpError", message, code=answer.status)
        return answer.text

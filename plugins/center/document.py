"""A JSON document on an HTTP server, as a place where settings are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from trimtab.api import OutsideError
from trimtab.plugins.center.values import artifact
from trimtab.plugins.manifest.fetch import Fetcher
from trimtab.plugins.manifest.polled import Place


class Document(Place):
    """The settings of one JSON object."""

    def __init__(self, fetcher: Fetcher, name: str) -> None:
        self._fetcher = fetcher
        self._name = name

    async def read(self) -> Mapping[str, bytes]:
        """Return the one artifact. Raises :class:`OutsideError` for no document, or one that is no JSON object."""
        async with self._fetcher.session() as session:
            text = await session.get(self._fetcher.url)
            try:
                return {self._name: artifact(msgspec.json.decode(text, type=dict[str, Any]))}
            except ValueError as error:  # msgspec's errors are some
                raise OutsideError(
                    f"{self._fetcher.place}: expected a JSON object, got: {error}", retryable=True
                ) from None

"""What requests to the control API may say."""

from __future__ import annotations

from typing import Annotated

import msgspec

from trimtab.control.views import HISTORY_LIMIT
from trimtab.runtime.dead_letters import Filters, Kind, Number

Limit = Annotated[int, msgspec.Meta(ge=1, le=1000)]


class HistoryQuery(msgspec.Struct, forbid_unknown_fields=True):
    """``GET /api/history``."""

    name: str | None = None
    limit: Limit = HISTORY_LIMIT


class ShowQuery(msgspec.Struct, forbid_unknown_fields=True):
    """``GET /api/show``."""

    name: str
    version: str | None = None


class DiffQuery(msgspec.Struct, forbid_unknown_fields=True):
    """``GET /api/diff``."""

    name: str
    a: str | None = None
    b: str | None = None


class RulesQuery(msgspec.Struct, forbid_unknown_fields=True):
    """``GET /api/rules``."""

    name: str | None = None
    after: str = ""
    limit: Limit = 100


class LetterPath(msgspec.Struct):
    """``GET /api/dead-letters/{id}``."""

    id: Number


class LettersQuery(msgspec.Struct, forbid_unknown_fields=True):
    """``GET /api/dead-letters``."""

    script: str | None = None
    source: str | None = None
    kind: Kind | msgspec.UnsetType = msgspec.UNSET
    since: Number = 0
    limit: Limit = 100
    after: Number = 0


class Rollback(msgspec.Struct, forbid_unknown_fields=True):
    """``POST /api/rollback``: one name, or a whole generation."""

    name: str | None = None
    to: str | None = None
    generation: Number | None = None


class Replay(msgspec.Struct, forbid_unknown_fields=True):
    """``POST /api/dead-letters/replay``: these letters, or all that match."""

    ids: list[Number] | None = None
    filter: Filters | None = None
    version: str | None = None


class Purge(msgspec.Struct, forbid_unknown_fields=True):
    """``POST /api/dead-letters/purge``. The filter must be there, so that an empty body deletes nothing."""

    filter: Filters

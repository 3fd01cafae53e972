"""The artifact names of rules that have an id instead of a file. Pure."""

from __future__ import annotations

import hashlib

from trimtab.api import is_ignored, name_problem

SUFFIX = ".rule.json"

_LONGEST = 200
"""Characters of an id, as it stands in a name. A name has at most 255 with its ending, and a digest has its room."""
_DIGEST = 16


def rule_name(rule_id: str) -> str:
    """Return the name of a rule's artifact: its id and ``.rule.json``.

    What names do not allow is percent-encoded, so that two ids never have the same name. Of a very long id the
    beginning stands there, and a digest.
    """
    text = "".join(map(_written, rule_id))
    if text[:1] in ("_", "."):
        text = _encoded(text[0]) + text[1:]
    if is_ignored(text + SUFFIX):
        text = text.replace(".", _encoded("."))
    if len(text) > _LONGEST:
        digest = hashlib.sha256(rule_id.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]
        text = f"{text[:_LONGEST]}%-{digest}"
    if name_problem(text + SUFFIX) is not None:  # it would be that of a resource
        text = _encoded(text[0]) + text[1:]
    return text + SUFFIX


def without_id(discoverer: str) -> str:
    """Return the name under which rows without an id are refused: no id has it."""
    return f"%without id ({discoverer}){SUFFIX}"


def _written(character: str) -> str:
    return _encoded(character) if character in "/%" or not character.isprintable() else character


def _encoded(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))

"""``${NAME}`` in the configuration: takes an environment variable. ``$${`` is a plain ``${``."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Collection
from typing import Any
from urllib.parse import quote

from trimtab.configuration.checking import Problems, key_path, show

SHORTEST_SECRET = 4
"""Values with fewer characters are not masked: they are no secrets, and stand in any text by chance."""

MASK = "***"

_VARIABLE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$\{")


class Variables:
    """Expands variables in a tree of configuration values, and keeps the values that it put in."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self.values: set[str] = set()

    def expand(self, tree: Any, path: str) -> Any:
        """Return the tree with the variables expanded in every text. What cannot be expanded is a problem."""
        if isinstance(tree, str):
            return self._expand_text(tree, path)
        if isinstance(tree, list):
            return [self.expand(item, f"{path}[{index}]") for index, item in enumerate(tree)]
        if isinstance(tree, dict):
            return {key: self.expand(item, key_path(path, key)) for key, item in tree.items()}
        return tree

    def _expand_text(self, text: str, path: str) -> str:
        return _VARIABLE.sub(lambda match: self._replacement(match, path), text) if "${" in text else text

    def _replacement(self, match: re.Match[str], path: str) -> str:
        name = match[1]
        if match[0] == "$${":
            return "${"
        if name is None:
            expected = "${NAME} with the name of an environment variable, or $${ for a plain ${"
            self._problems.add(path, expected, show(match.string))
            return match[0]
        value = os.environ.get(name)
        if value is None:
            self._problems.add(path, f"the environment variable {name} to be set", "nothing")
            return match[0]
        self.values.add(value)
        return value


class Masker:
    """Puts ``***`` in the place of secrets; learns more of them while the host runs."""

    def __init__(self, secrets: Collection[str]) -> None:
        self._secrets = set(secrets)
        self._mask = masker(self._secrets)

    def __call__(self, text: str) -> str:
        """Return the text without secrets. Those of less than 4 characters are left."""
        return self._mask(text)

    def learn(self, secrets: Collection[str]) -> None:
        """Mask these too from now on."""
        if not self._secrets.issuperset(secrets):
            self._secrets.update(secrets)
            self._mask = masker(self._secrets)


def masker(values: Collection[str]) -> Callable[[str], str]:
    """Return a function that replaces the values in a text by ``***``, also where JSON or a URL has escaped them."""
    forms = {form for value in values if len(value) >= SHORTEST_SECRET for form in _forms(value)}
    if not forms:
        return str
    pattern = re.compile("|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True)))
    return lambda text: pattern.sub(MASK, text)


def _forms(value: str) -> set[str]:
    escaped = (json.dumps(value), json.dumps(value, ensure_ascii=False), repr(value))
    return {value, quote(value, safe=""), *(text[1:-1] for text in escaped)}

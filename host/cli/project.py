"""What commands need of a configuration without loading plugins: its state folder, and whether a host runs on it.

So ``status`` and ``rollback`` answer at once, and also while the rest of the file is not valid.
"""

from __future__ import annotations

import contextlib
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trimtab.artifacts.store import FILE_NAME, ArtifactStore
from trimtab.configuration.checking import Problems, show
from trimtab.configuration.variables import Variables
from trimtab.control import endpoint
from trimtab.control.client import ControlClient, connect
from trimtab.errors import ConfigurationError, Problem, UsageError
from trimtab.runtime import dead_letters
from trimtab.runtime.dead_letters import DeadLetters

DEFAULT_STATE = ".trimtab"


@dataclass(frozen=True, slots=True)
class Project:
    """A configuration file and its state folder, both absolute."""

    config: Path
    state: Path

    @contextlib.contextmanager
    def store(self) -> Iterator[ArtifactStore | None]:
        """The versions, or None where no host has run yet."""
        path = self.state / FILE_NAME
        if path.exists():
            with ArtifactStore(path) as store:
                yield store
        else:
            yield None

    @contextlib.contextmanager
    def existing_store(self) -> Iterator[ArtifactStore]:
        """The versions. Raises :class:`UsageError` where no host has run yet."""
        with self.store() as store:
            if store is None:
                raise UsageError(f"expected the versions of a host that has run, got none in {self.state}; trimtab run")
            yield store

    @contextlib.contextmanager
    def dead_letters(self) -> Iterator[DeadLetters | None]:
        """The dead letters, or None where no host has run yet."""
        path = self.state / dead_letters.FILE_NAME
        if not path.exists():
            yield None
            return
        with contextlib.closing(DeadLetters(path)) as letters:
            yield letters

    def client(self) -> ControlClient | None:
        """Return a client of the running host, or None when none runs. Raises :class:`StateError`."""
        return connect(self.state)


def open_project(config: Path) -> Project:
    """Read where the state is.

    A host runs on while somebody breaks its file: then the default folder is taken, if a host runs on that, with a
    warning on stderr. Raises :class:`ConfigurationError` when the file is missing or is not TOML otherwise.
    """
    config = config.absolute()
    try:
        tree = tomllib.loads(config.read_bytes().decode())
    except FileNotFoundError:
        expected = "a configuration file (trimtab init writes one; --config names another)"
        raise ConfigurationError([Problem(str(config), expected, "nothing")]) from None
    except (OSError, ValueError) as error:
        problem = Problem(str(config), "a readable TOML file", str(error))
        default = config.parent / DEFAULT_STATE
        if endpoint.holder(default) is None:
            raise ConfigurationError([problem]) from None
        print(f"warning: {problem}; taking the host that runs on {default}", file=sys.stderr)
        return Project(config, default)
    return Project(config, config.parent / _state(tree))


def _state(tree: dict[str, object]) -> str:
    host = tree.get("host", {})
    state = host.get("state", DEFAULT_STATE) if isinstance(host, dict) else DEFAULT_STATE
    if not isinstance(state, str) or not state:
        raise ConfigurationError([Problem("host.state", "the path of a folder", show(state))])
    problems = Problems()
    expanded: str = Variables(problems).expand(state, "host.state")
    if len(problems):
        raise ConfigurationError(list(problems))
    return expanded

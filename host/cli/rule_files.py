"""RULE of a command: a rule's file, or a script with a ``pattern``; and the scripts whose functions it names."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.cep import Rule, RuleError, read_rule
from trimtab.cep.conditions import Test
from trimtab.cep.documents import decode
from trimtab.cep.pattern import FunctionCall
from trimtab.cep.rule import read_target
from trimtab.errors import UsageError

if TYPE_CHECKING:
    from trimtab.api import ScriptInstance
    from trimtab.cli.script_files import ScriptFiles

STDIN = Path("-")
RULE, JSON = ".rule.json", ".json"


@dataclass(frozen=True, slots=True)
class RuleFile:
    """What a file says. ``document``: decoded JSON, or the pattern of a script."""

    name: str
    document: Any

    @property
    def rule(self) -> Rule:
        """The rule. Raises :class:`RuleError`."""
        return read_rule(self.document, self.name)


class RuleFiles:
    """Reads rules, and finds the functions that they name in scripts beside them or in the scripts folders.

    ``config``: the configuration file; without it only what lies beside the rule is found. Nothing of scripts or of the
    configuration is loaded before it is needed.
    """

    def __init__(self, config: Path, rule: Path) -> None:
        self._config, self._rule = config, rule
        self._files: ScriptFiles | None = None
        self._instances: dict[str, ScriptInstance] = {}

    def read(self) -> RuleFile:
        """Read the rule.

        Raises :class:`UsageError` for a file that cannot be one, :class:`RuleError` for JSON that is none,
        :class:`ScriptError` for a script that cannot be loaded.
        """
        path = self._rule
        if path == STDIN:
            return RuleFile("rule", decode(sys.stdin.buffer.read(), "$"))
        if path.name.endswith(JSON):
            name = path.name.removesuffix(RULE if path.name.endswith(RULE) else JSON)
            return RuleFile(name, decode(_content(path), "$"))
        name, instance = self._load(path)
        if instance.pattern is None:
            raise UsageError(f"expected a script that exports a pattern, got {path}, which has none")
        return RuleFile(name, instance.pattern)

    def function(self, call: FunctionCall) -> Test:
        """Find a function that a condition names. Raises ``LookupError`` where there is none."""
        try:
            target = read_target(call.function, "function")
        except RuleError as error:
            raise LookupError(str(error)) from None
        instance = self._instances.get(target.name) or self._load(self._find(target.name))[1]
        instance.function(target.function)
        return _asking(instance, target.function)

    def _find(self, name: str) -> Path:
        folders = [self._rule.parent, *self._scripts.roots]
        found = next((folder / name for folder in folders if (folder / name).is_file()), None)
        if found is None:
            raise LookupError(f"no file {name} in {' or '.join(str(folder) for folder in folders)}")
        return found

    def _load(self, path: Path) -> tuple[str, ScriptInstance]:
        """Load a script; returns its name too."""
        files = self._scripts
        script = files.read(path)
        engine = next((e for e in files.plugins.script_engines() if path.name.endswith(e.suffixes)), None)
        if engine is None:
            known = ", ".join(suffix for each in files.plugins.script_engines() for suffix in each.suffixes)
            raise UsageError(f"expected a rule ({RULE}, {JSON}) or a script ({known}), got {path}")
        host = files.host(lambda entry: print(f"{entry.level}: {entry.message}", file=sys.stderr), lambda _call: None)
        instance = engine.load(script, files.libraries(path), host)
        self._instances[script.name] = instance
        return script.name, instance

    @property
    def _scripts(self) -> ScriptFiles:
        if self._files is None:
            self._files = _script_files(self._config)
        return self._files


def _script_files(config: Path) -> ScriptFiles:
    from trimtab.cli.script_files import ScriptFiles  # with what rules without functions do not need
    from trimtab.config import load
    from trimtab.plugin_manager import Plugins

    plugins = Plugins.load()
    return ScriptFiles(load(config.absolute(), plugins) if config.exists() else None, plugins)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"expected the file of a rule, got {path}: {error.strerror}") from None


def _asking(instance: ScriptInstance, function: str) -> Callable[[Any, Any], bool]:
    return lambda event, partial: instance.ask(function, event, partial)

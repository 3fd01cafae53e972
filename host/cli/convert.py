"""``trimtab convert``: a rule or pattern of any form as JSON in the dialect of dynamic Flink CEP."""

from __future__ import annotations

from pathlib import Path

from trimtab.cep.writing import convert as converted
from trimtab.cli.output import print_json
from trimtab.cli.rule_files import RuleFiles


def convert(config: Path, rule: Path) -> int:
    """Print the JSON; ``rule`` is ``-``: of what stdin holds. A whole document keeps its other fields."""
    file = RuleFiles(config, rule).read()
    print_json(converted(file.document, file.name))
    return 0

"""Complex event processing: patterns over streams of events, with the semantics of Apache Flink CEP.

Pure: no processes, sockets or files. :class:`Matcher` runs one rule; the runtime runs many over one stream.
"""

from __future__ import annotations

from trimtab.cep.builder import PatternBuilder, begin, pattern
from trimtab.cep.errors import RuleError
from trimtab.cep.matcher import Match, Matcher
from trimtab.cep.pattern import Pattern
from trimtab.cep.rule import Rule, read_rule

__all__ = ["Match", "Matcher", "Pattern", "PatternBuilder", "Rule", "RuleError", "begin", "pattern", "read_rule"]

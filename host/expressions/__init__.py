"""The expression language of ``where`` filters and CEP conditions: ``speed > 60 && string.startsWith(id, 'bus')``.

Pure: no clock, no files, no processes. The syntax is Aviator's, the part that rules use.
"""

from __future__ import annotations

from trimtab.expressions.errors import EvaluationError, ExpressionError, MissingField
from trimtab.expressions.expression import Expression, compile_expression

__all__ = ["EvaluationError", "Expression", "ExpressionError", "MissingField", "compile_expression"]

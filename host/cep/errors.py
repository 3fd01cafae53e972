"""What can be wrong with a rule."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.errors import Problem, TrimtabError


class RuleError(TrimtabError):
    """A rule is refused. ``problems`` says what is wrong with it: each with its place in the rule's JSON."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


def refused(path: str, expected: str, got: str) -> RuleError:
    """Return the error for one problem."""
    return RuleError([Problem(*map(_printable, (path, expected, got)))])


def _printable(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()  # names may hold lone surrogates

"""Matches regular expressions in time linear in the string, whatever the pattern: there is no backtracking.

A pattern becomes an automaton whose states are the positions of its characters (Glushkov's construction). It is
run with all possible positions at once; each set of positions that occurs is kept, with what follows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from trimtab.expressions.patterns import Anchor, Atom, Choice, Part, PatternError, Repeat, Sequence

MAX_POSITIONS = 1_000
"""Characters of a pattern once its counted repetitions are written out."""
MAX_EDGES = 50_000
"""Pairs of positions that can follow each other."""
MAX_KNOWN = 5_000
"""Steps that are kept for one pattern; then they are found anew."""


def automaton(part: Part) -> Callable[[str], bool]:
    """Return a function that tells whether a whole string matches. Raises :class:`PatternError` if it is too large."""
    builder = _Builder()
    whole = builder.add(part)
    atoms = builder.atoms
    accepting = frozenset(whole.last)
    follow = [frozenset(targets) for targets in builder.follow]
    return _Runner(atoms, follow, frozenset(whole.first), accepting, whole.nullable).matches


@dataclass(frozen=True, slots=True)
class _Fragment:
    """A part of the automaton: may it be empty, with which positions can it begin and end."""

    nullable: bool
    first: tuple[int, ...] = ()
    last: tuple[int, ...] = ()


_NOTHING = _Fragment(nullable=True)


class _Builder:
    def __init__(self) -> None:
        self.atoms: list[Atom] = []
        self.follow: list[set[int]] = []
        self._edges = 0

    def add(self, part: Part) -> _Fragment:
        """Add a part, with new positions."""
        match part:
            case Atom():
                return self._position(part)
            case Anchor():
                return _NOTHING
            case Sequence(items):
                return self._chain(self.add(item) for item in items)
            case Choice(options):
                fragments = [self.add(option) for option in options]
                return _Fragment(
                    any(fragment.nullable for fragment in fragments),
                    tuple(place for fragment in fragments for place in fragment.first),
                    tuple(place for fragment in fragments for place in fragment.last),
                )
            case Repeat(body, least, most):
                return self._repeat(body, least, most)

    def _position(self, atom: Atom) -> _Fragment:
        if len(self.atoms) == MAX_POSITIONS:
            raise PatternError(f"expected a pattern of at most {MAX_POSITIONS} characters with all its repetitions")
        self.atoms.append(atom)
        self.follow.append(set())
        place = (len(self.atoms) - 1,)
        return _Fragment(False, place, place)

    def _chain(self, fragments: Iterable[_Fragment]) -> _Fragment:
        whole = _NOTHING
        for fragment in fragments:
            self._connect(whole, fragment)
            whole = _Fragment(
                whole.nullable and fragment.nullable,
                whole.first + fragment.first if whole.nullable else whole.first,
                whole.last + fragment.last if fragment.nullable else fragment.last,
            )
        return whole

    def _repeat(self, body: Part, least: int, most: int | None) -> _Fragment:
        if most is None:
            rounds = self._copies(body, max(least - 1, 0))
            last = self.add(body)
            self._connect(last, last)
            looped = self._chain([*rounds, last])
            return _Fragment(looped.nullable or least == 0, looped.first, looped.last)
        whole = self._chain(self._copies(body, least))
        # x{0,2} is (x(x)?)?: what may be left out can only be left out at the end, which keeps the edges few.
        tail = _NOTHING
        for fragment in reversed(self._copies(body, most - least)):
            chained = self._chain([fragment, tail])
            tail = _Fragment(True, chained.first, chained.last)
        return self._chain([whole, tail])

    def _copies(self, body: Part, count: int) -> list[_Fragment]:
        copies: list[_Fragment] = []
        for _ in range(count):
            copies.append(self.add(body))
            if copies[0] == _NOTHING:  # the body takes no character: once is as good as a million times
                break
        return copies

    def _connect(self, left: _Fragment, right: _Fragment) -> None:
        self._edges += len(left.last) * len(right.first)
        if self._edges > MAX_EDGES:
            raise PatternError("expected a simpler pattern: too many of its characters can follow each other")
        for place in left.last:
            self.follow[place].update(right.first)


class _State(dict[str, "_State"]):
    """A set of positions that the automaton can be in, and the state after each character seen there so far."""

    __slots__ = ("_runner", "accepts", "targets")

    def __init__(self, runner: _Runner, targets: frozenset[int], *, accepts: bool) -> None:
        super().__init__()
        self._runner = runner
        self.targets = targets
        self.accepts = accepts

    def __missing__(self, char: str) -> _State:
        return self._runner.step(self, char)


class _Runner:
    def __init__(
        self,
        atoms: list[Atom],
        follow: list[frozenset[int]],
        first: frozenset[int],
        accepting: frozenset[int],
        nullable: bool,
    ) -> None:
        self._atoms = atoms
        self._kinds = set(atoms)
        self._follow = follow
        self._accepting = accepting
        self._first, self._nullable = first, nullable
        self._forget()

    def matches(self, subject: str) -> bool:
        """Tell whether the whole string matches."""
        state = self._start
        for char in subject:
            state = state[char]
        return state.accepts

    def step(self, state: _State, char: str) -> _State:
        """Find what follows a state, and keep it."""
        if self._known >= MAX_KNOWN:
            self._forget()
        fitting = {atom for atom in self._kinds if atom.chars.fullmatch(char)}
        places = frozenset(place for place in state.targets if self._atoms[place] in fitting)
        following = self._states.get(places)
        if following is None:
            targets = frozenset().union(*(self._follow[place] for place in places))
            accepts = not places.isdisjoint(self._accepting)
            following = self._states[places] = _State(self, targets, accepts=accepts)
        state[char] = following
        self._known += 1
        return following

    def _forget(self) -> None:
        self._known = 0
        self._states: dict[frozenset[int], _State] = {}
        self._start = _State(self, self._first, accepts=self._nullable)

"""What Apache Flink CEP 2.3.0 makes of rules and streams: how the recorded cases came about, and how to get more.

``make cep-oracle`` compiles the harness beside this file (Java), draws random rules and streams
(:mod:`tests.cep.oracle.generate`), adds those of Flink's documentation (:mod:`tests.cep.oracle.known`), runs all of
them through Flink's own automaton, and writes ``tests/cep/cases``. ``make cep-oracle COMPARE=1 N=5000 SEED=7`` compares
the host with Flink on fresh cases instead, and prints where they disagree. ``--check-harness`` of
:mod:`tests.cep.oracle.record` shows that the harness does with the automaton what a real job does.

A file of cases is JSON lines, compressed. The files divide them by what is hardest in the rule; within a file the
simplest come first. Of a case:

``id``
    ``SEED-NUMBER`` of a drawn one, ``known/WORDS`` of a documented one.
``rule``
    A rule in one of the two dialects. Conditions are AVIATOR comparisons joined by ``&&`` and ``||``, null, or of a type
    that only the oracle knows and that stands for user code: ``{"type": "PARTIAL", "pattern", "op", "field", "value",
    "expression"?}``. It looks at the events that stage ``pattern`` took in this partial match: ``last_lt`` holds if the
    event's ``field`` is more than that of the last of them, or there is none; ``count_lt`` if they are less than
    ``value``; ``sum_lt`` if the sum of their ``field`` and the event's is less than ``value``. A missing field counts as
    0. ``expression``, if there, must hold too.
``time``
    ``event`` or ``arrival``. In both the field ``ts`` of an event is its time; for arrival it is when the clock showed it.
``lateness``
    What the watermarks were drawn with (ms); they are in the case.
``events``
    In the order of feeding; the place in this list is the event's position.
``watermarks``
    ``[position, time]``: once the event of that position is fed, the watermark (for arrival: the clock) moves to that time.
    Feeding an event is a step, and moving the clock is one; they count from 0.
``answer``
    ``{"refused": reason}``: the rule was refused. ``{"crash": reason}``: Flink threw, or walked in a circle, at run time.
    Or ``{"matches", "late"}``: the positions of late events, and what was emitted, in order: ``kind`` (``match``,
    ``timeout``), ``positions`` by stage, ``timestamp``, and the ``step`` in which it came.
``exception``
    Null, or why Flink's answer is not to be had as such. ``heap-order``: another order among the runs that began with the
    same event changes the answer; the recorded one has them in the order of their creation. ``clock-steps``: the recorded
    answer is that of a clock that stops at every deadline, and with the case's own watermarks it differs. ``crash``: Flink
    crashed, or would with other events. Nowhere but in the last case is less than the recorded answer asked of the host.
``varies``
    With ``heap-order``: whether ``order`` alone varies, or ``content`` does.
"""

"""Doubles for tests of plugins and of the host: a scripted source, a collecting sink, a context, a clock.

They are the real thing behind the public interfaces, only without an outside system.
"""

from trimtab.testing.clock import FakeClock
from trimtab.testing.context import RecordingContext, Rejected
from trimtab.testing.plugin import TestingPlugin
from trimtab.testing.scripts import Handled, ScriptRunner
from trimtab.testing.sink import CollectingSink
from trimtab.testing.source import Abort, Eof, Pause, TestingSource

__all__ = [
    "Abort",
    "CollectingSink",
    "Eof",
    "FakeClock",
    "Handled",
    "Pause",
    "RecordingContext",
    "Rejected",
    "ScriptRunner",
    "TestingPlugin",
    "TestingSource",
]

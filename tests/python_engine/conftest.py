from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.python_engine.python_engine_kit import Kit


@pytest.fixture
def kit() -> Iterator[Kit]:
    """A host for scripts. Whatever the test does: no module of a script may stay in ``sys.modules``."""
    kit = Kit()
    yield kit
    kit.close()
    assert [name for name in sys.modules if ".py@" in name] == []

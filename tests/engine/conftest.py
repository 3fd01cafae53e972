from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engine.keyed_kit import Keyed


@pytest.fixture
def keyed() -> Iterator[Keyed]:
    keyed = Keyed()
    yield keyed
    keyed.close()

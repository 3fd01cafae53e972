"""A running server for each case, started once a test process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.bindings.binding_cases import Case, Place


@pytest.fixture(scope="session")
def case(request: pytest.FixtureRequest) -> Case:
    """The implementation, as a test is parametrized with it."""
    found: Case = request.param
    return found


@pytest.fixture(scope="session")
def place(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The case's server. Tests leave it running."""
    with case.start(tmp_path_factory.mktemp(case.name)) as running:
        yield running

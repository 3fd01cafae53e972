"""Racks that heat up: the page is walked on the demo host."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.docs.documents import GUIDES
from tests.docs.test_readme import demo_host
from tests.docs.walkthrough import PATIENCE, Walkthrough


@pytest.mark.timeout(300)
def test_the_page_of_the_racks_goes_as_it_says(tmp_path: Path) -> None:
    with demo_host(tmp_path) as terminal:
        Walkthrough(tmp_path, terminal.printed).follow(GUIDES / "racks.md")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.process.wait(PATIENCE) == 0, terminal.printed()

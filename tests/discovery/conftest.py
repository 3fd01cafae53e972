"""Folders to discover things in."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

NOBODY = 65534


@pytest.fixture
def plain_user() -> Iterator[Path]:
    """A folder of a user to whom permissions apply; root becomes somebody else for the time of the test."""
    base = Path(tempfile.mkdtemp())
    scripts = base / "scripts"
    scripts.mkdir()
    root = os.geteuid() == 0
    if root:
        base.chmod(0o755)
        os.chown(scripts, NOBODY, NOBODY)
        os.seteuid(NOBODY)
    try:
        yield scripts
    finally:
        if root:
            os.seteuid(0)
        for folder in (scripts, *(path for path in scripts.glob("*") if path.is_dir())):
            folder.chmod(0o755)
        shutil.rmtree(base)

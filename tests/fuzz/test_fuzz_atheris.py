"""A short run of the coverage-guided targets; ``make fuzz`` runs each for as long as one likes."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.e2e.project import PATIENCE
from tests.fuzz.effort import EFFORT

RUNS = 2000

# There are no wheels of it for some machines. Where CI says that nothing is skipped, it must be there.
pytestmark = pytest.mark.skipif(find_spec("atheris") is None and "CI" not in os.environ, reason="needs atheris")
ROOT = Path(__file__).parents[2]


def test_no_bytes_break_what_reads_them(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz.atheris_targets", "all", f"--runs={RUNS * EFFORT}"]
    command += ["--seed=1"] if EFFORT == 1 else []
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True,
        text=True,
        timeout=PATIENCE * EFFORT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"Done {RUNS * EFFORT} runs" in done.stderr

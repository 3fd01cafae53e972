"""The README: its tour is walked, and the commands that it names are there."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.docs.documents import README, ROOT, blocks
from tests.docs.walkthrough import PATIENCE, Walkthrough, environment

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Terminal:
    """A terminal in which a host runs, as a person sees it."""

    def __init__(self, folder: Path) -> None:
        self._ours, theirs = os.openpty()
        command = [sys.executable, "-m", "trimtab", "run"]
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment(), stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        self._chunks: list[bytes] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def printed(self) -> str:
        """Everything so far, without colours."""
        return _COLOURS.sub("", b"".join(self._chunks).decode(errors="replace"))

    def close(self) -> None:
        """End the host if it still runs, and let go of the terminal."""
        self.process.kill()
        self.process.wait()
        self._reader.join()
        os.close(self._ours)

    def _read(self) -> None:
        while True:
            try:
                chunk = os.read(self._ours, 1 << 16)
            except OSError:  # the last process has closed its side
                return
            self._chunks.append(chunk)


@contextmanager
def demo_host(folder: Path) -> Iterator[Terminal]:
    """The demo project in a folder of its own, on a free port, with a running host."""
    shutil.copytree(ROOT / "scripts", folder / "scripts", ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
    config = (ROOT / "trimtab.toml").read_text()
    assert "[host]" not in config, "name the free port where [host] is now"
    (folder / "trimtab.toml").write_text(f'[host]\nlisten = "127.0.0.1:0"\nlanes = 2\n{config}')
    terminal = Terminal(folder)
    try:
        yield terminal
    finally:
        terminal.close()


@pytest.mark.timeout(300)
def test_the_tour_goes_as_it_says(tmp_path: Path) -> None:
    with demo_host(tmp_path) as terminal:
        Walkthrough(tmp_path, terminal.printed).follow(README)
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.process.wait(PATIENCE) == 0, terminal.printed()


def test_make_knows_the_targets_that_it_names() -> None:
    text = README.read_text()
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z]+)`", text)) | {
        target
        for block in blocks(README)
        if block.language == "sh"
        for target in re.findall(r"^make ([a-z]+)", block.text, re.MULTILINE)
    }
    assert {"run", "test", "bench"} <= named <= targets

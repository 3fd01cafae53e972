"""A clock of the host's own, which can be dropped back while it runs."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

from tests.servers.programs import program

_SOURCE = Path(__file__).with_name("clock.c")


class Clock:
    """Lies in a folder; a process that is started with its :attr:`environment` goes by it, with its children."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self.set_back(0)
        library = folder / "clock.so"
        compiler = program("cc", "g++")  # a package that depends on the headers of the system too
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, _SOURCE, "-ldl"], check=True)
        self.environment = {"LD_PRELOAD": str(library), "CHAOS_CLOCK": str(self._file)}

    def set_back(self, seconds: int) -> None:
        """Have the clock lie behind by so much, from this moment on."""
        with self._file.open("r+b" if self._file.exists() else "wb") as file:
            file.write(struct.pack("l", seconds))

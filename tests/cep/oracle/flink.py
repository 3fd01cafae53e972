"""Apache Flink CEP on this machine: its jars in a folder of the project, and the harness that drives it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

VERSION = "2.3.0"
ROOT = Path(__file__).parents[3]
JARS = ROOT / ".flink"
NEEDED = (f"flink-cep-{VERSION}.jar", f"flink-dist-{VERSION}.jar")


def install() -> None:
    """Put the jars in place, if they are not: 200 MB, from the wheel that Apache publishes for PyFlink."""
    if all((JARS / name).exists() for name in NEEDED):
        return
    JARS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=JARS) as folder:
        package = f"apache-flink-libraries=={VERSION}"
        command = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps", "--dest", folder, package]
        subprocess.run(command, check=True)
        [wheel] = Path(folder).glob("*.whl")
        _unpack(wheel, Path(folder))


def _unpack(wheel: Path, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            name = Path(entry.filename).name
            if name in NEEDED:
                entry.filename = name
                archive.extract(entry, folder)
                (folder / name).replace(JARS / name)


def compile_harness() -> str:
    """Compile the harness, and return the class path to run it with."""
    classes = JARS / "classes"
    jars = os.pathsep.join(str(JARS / name) for name in NEEDED)
    sources = sorted(str(path) for path in Path(__file__).parent.glob("*.java"))
    # It is told off for one internal class, without which Flink's order of equal runs cannot be fixed.
    command = ["javac", "-XDignore.symbol.file", "-cp", jars, "-d", str(classes), *sources]
    subprocess.run(command, check=True)
    return os.pathsep.join((str(classes), jars))


def answers(class_path: str, cases: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """What Flink makes of each case: lines as the harness writes them, in the order of the cases."""
    command = ["java", "-Xmx1g", "-XX:+UseSerialGC", "-cp", class_path, "Oracle"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as harness:
        assert harness.stdout is not None
        feeder = threading.Thread(target=_feed, args=(harness, cases), daemon=True)
        feeder.start()
        try:
            for line in harness.stdout:
                yield json.loads(line)
        except GeneratorExit:
            harness.kill()
            raise
        finally:
            feeder.join()
    if harness.returncode:
        raise RuntimeError(f"the harness must answer every case, but ended with {harness.returncode}: run it by hand")


def compare_with_jobs(class_path: str, cases: Iterable[dict[str, Any]]) -> str:
    """Run cases in event time as parts of a real Flink job too; returns where the harness differs, and a summary."""
    lines = "".join(json.dumps(case) + "\n" for case in cases)
    command = ["java", "-Xmx3g", "-cp", class_path, "Job"]
    job = subprocess.run(command, input=lines, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    return job.stdout


def _feed(harness: subprocess.Popen[str], cases: Iterable[dict[str, Any]]) -> None:
    assert harness.stdin is not None
    # It may be stopped before it has read all.
    with contextlib.suppress(BrokenPipeError), harness.stdin as pipe:
        for case in cases:
            pipe.write(json.dumps(case) + "\n")

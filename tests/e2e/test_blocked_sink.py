"""A sink that is down holds up its events, and nothing else: that is when logic has to be changed."""

from __future__ import annotations

import socket
from pathlib import Path

from tests.e2e.project import Project, eventually

SCRIPT = 'from trimtab import emit\ndef handle(event, ctx):\n    emit("{sink}", [event["n"], {version}])\n'


def test_changes_and_rollbacks_go_through_while_a_sink_is_down(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        project = Project(tmp_path, lanes=1, extra=f'[sinks.down]\ntype = "http"\nurl = "{url}"\nattempts = 1')
        project.save("work.py", SCRIPT.format(sink="down", version=1))
        project.start()
        assert project.process is not None
        try:
            project.send({"n": 1})
            eventually(lambda: project.status()["sinks"]["down"]["error"], "the sink is seen to be down")
            project.save("work.py", SCRIPT.format(sink="out", version=2))
            eventually(lambda: project.script("work.py")["seq"] == 2, "the change is committed")
            project.trimtab("rollback", "work.py")
            assert project.script("work.py")["seq"] == 1
            project.process.terminate()
            eventually(lambda: project.logged("the end waits for a sink"), "the host says what it waits for")
            project.process.terminate()
            assert project.process.wait(60) == 1
        finally:
            project.process.kill()
            project.process.wait()

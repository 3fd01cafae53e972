"""Sends the events of a round while accidents happen."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import httpx

from tests.chaos.workload import Event
from tests.e2e.project import PATIENCE, Project

Send = Callable[[Sequence[Event]], None]


class Feed(threading.Thread):
    """Sends events in order, some at a time with a pause after each."""

    def __init__(self, events: Sequence[Event], send: Send, *, at_a_time: int, pause: float) -> None:
        super().__init__(daemon=True)
        self._events, self._send, self._at_a_time, self._pause = events, send, at_a_time, pause
        self.failed: Exception | None = None

    def run(self) -> None:
        """Send everything."""
        try:
            for start in range(0, len(self._events), self._at_a_time):
                self._send(self._events[start : start + self._at_a_time])
                time.sleep(self._pause)
        except Exception as error:  # noqa: BLE001 - told to whoever waits for the end
            self.failed = error

    def finish(self) -> None:
        """Wait until everything is sent."""
        self.join(PATIENCE)
        if self.failed or self.is_alive():
            raise AssertionError(f"not all events could be sent: {self.failed or 'still at it'}")


def append(project: Project) -> Send:
    """Return what appends events to the file of the project."""

    def send(events: Sequence[Event]) -> None:
        with project.events.open("a") as file:
            file.write("".join(event.line() + "\n" for event in events))

    return send


class Poster:
    """Posts events to the HTTP source of whatever host runs, again and again until they are accepted.

    ``token``: of this project alone, so that a host that has got the port of ours refuses what is not its own.
    """

    def __init__(self, project: Project, token: str) -> None:
        self._project = project
        self._client = httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE, trust_env=False)
        self.unanswered: set[int] = set()
        """Numbers of events whose request got no answer: nobody can say whether they were taken."""

    def __call__(self, events: Sequence[Event]) -> None:
        """Send events in one request. Returns when they are accepted, or when nobody can say."""
        deadline = time.monotonic() + PATIENCE
        while not self._accepted(events):
            if time.monotonic() > deadline:
                raise TimeoutError("no host accepts what is posted")
            time.sleep(0.01)

    def _accepted(self, events: Sequence[Event]) -> bool:
        body = f"[{','.join(event.line() for event in events)}]"
        try:
            answer = self._client.post(f"{self._project.url}/sources/hook", content=body)
        except (FileNotFoundError, ValueError, httpx.ConnectError):
            return False  # no host runs, or it has not said yet where it listens
        except httpx.TransportError:
            self.unanswered |= {event.n for event in events}
            return True
        return answer.status_code == 202  # whatever else it says, it has taken none of them

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

"""What outlives the host: journal, checkpoints and dead letters, opened together."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack

from trimtab.config import Config
from trimtab.runtime import checkpoints, dead_letters, journal
from trimtab.runtime.checkpoints import CheckpointStore
from trimtab.runtime.dead_letters import DeadLetters
from trimtab.runtime.journal import Journal


class Durable(AbstractContextManager["Durable"]):
    """The databases of one state folder, for one run of the host. Opening them blocks on the disk.

    Raises :class:`StateError` where one of them cannot be used.
    """

    def __init__(self, config: Config) -> None:
        with ExitStack() as stack:
            self.checkpoints = CheckpointStore(config.state / checkpoints.FILE_NAME)
            stack.callback(self.checkpoints.close)
            self.journal = Journal(config.state / journal.FILE_NAME, config.fsync)
            stack.callback(self.journal.close)
            self.dead_letters = DeadLetters(config.state / dead_letters.FILE_NAME)
            stack.callback(self.dead_letters.close)
            self.checkpoint = self.checkpoints.latest()
            """The one to go on from; None: there is none yet."""
            self.partition = f"{self.journal.identity}.{self.checkpoints.begin_run():x}"
            """Of sources that count their own records: never the same again."""
            self._stack = stack.pop_all()

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

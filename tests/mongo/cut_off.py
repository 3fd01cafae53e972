"""Has the time limit cut off calls at any moment, and prints how each event failed: ``URL COLLECTION``.

In a process of its own: the limit may strike in any code that runs meanwhile, also in that of a test's tools.
"""

from __future__ import annotations

import sys

from trimtab.testing.scripts import ScriptRunner

EVENTS = 60
SCRIPT = """
from trimtab import mongo

timeout = 0.05

def handle(event):
    # Goes on until the time is up. Every answer must be that of its own call: each document is asked for only once.
    collection = mongo("it").collection("faults", "{collection}")
    for i in range(10**9):
        mine = {{"event": event["n"], "i": i}}
        collection.insert(mine)
        assert collection.find_one(mine, projection={{"_id": 0}}) == mine, "the answer of another call"
        found = collection.find({{"event": event["n"]}}, sort="i", batch=1, limit=3)
        assert [document["i"] for document in found] == [0, 1, 2][: i + 1], "the answer of another call"
"""


def main(url: str, collection: str) -> None:
    """Run the events, one by one."""
    with ScriptRunner({"mongo.it": {"url": url}}) as runner:
        runner.load(cut__py=SCRIPT.format(collection=collection))
        for n in range(EVENTS):
            for fault in runner.handle({"n": n}).faults:
                print(fault.name)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""The scripts of the soak: keyed state over a bounded set of keys, some of it for a while only, and what they emit."""

from __future__ import annotations

PYTHON = """
from trimtab import emit, state

VERSION = {version}


def handle(event, ctx):
    state.set("seen", [event["n"]] * 8, ttl="2s")
    state.incr("count")
    emit("out", ["steady.py", event["source"], event["n"], event["sent"]])
"""
JAVASCRIPT = """
import {{ emit, state }} from "trimtab";

const VERSION = {version};

export function handle(event) {{
  state.set("seen", Array(8).fill(event.n), {{ ttl: "2s" }});
  state.incr("count");
  emit("out", ["steady.js", event.source, event.n, event.sent]);
}}
"""
ASYNCHRONOUS = """
import asyncio
from trimtab import emit, state

VERSION = {version}


async def handle(event, ctx):
    await asyncio.sleep(0.005)
    state.incr("count")
    emit("out", ["waiting.py", event["source"], event["n"], event["sent"]])
"""
SCRIPTS = {"steady.js": JAVASCRIPT, "steady.py": PYTHON, "waiting.py": ASYNCHRONOUS}


def script(name: str, version: int) -> str:
    """Return a script; versions differ in nothing but their number."""
    return SCRIPTS[name].format(version=version)

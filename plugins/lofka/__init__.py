"""Connections of scripts that were written for Lofka's night-watcher. The language's half is in ``trimtab.sandbox``."""

from __future__ import annotations

from trimtab.plugins.lofka.root import Lofka

__all__ = ["Lofka"]

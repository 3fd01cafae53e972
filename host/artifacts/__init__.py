"""Artifacts: what may change while the stream runs, its bytes, versions and history."""

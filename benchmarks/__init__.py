"""Benchmarks: what the host costs beside a bare loop, and what a change costs while events flow."""

"""Processes: the nursery, lanes, routing, supervision, dead letters."""

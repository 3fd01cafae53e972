"""The bindings' types as Python scripts see them: what an editor completes. The host gives the objects."""

"""The control API of a running host, and its client."""

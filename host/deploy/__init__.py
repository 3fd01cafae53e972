"""From changed bytes to a committed generation."""

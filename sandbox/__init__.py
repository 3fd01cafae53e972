"""Script engines: JavaScript and Python, and the limits that both run under."""

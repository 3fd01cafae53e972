"""Plugins that come with trimtab, and the hook contract (``hookspecs.py``) that all plugins use."""

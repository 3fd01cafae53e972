"""The parts of reading ``trimtab.toml``; :mod:`trimtab.config` puts them together."""

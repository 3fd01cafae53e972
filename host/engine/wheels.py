"""Python wheels as libraries of single rules: their modules, for scripts that are loaded with them."""

from __future__ import annotations

import io
import zipfile

from trimtab.artifacts.names import WHEEL
from trimtab.errors import Fault, ScriptError

FOLDER = "_wheels"
"""Where the modules of wheels stand among the libraries of a script: imports of other names than ``_...`` look here."""
MOST_BYTES = 64 << 20
"""Of the modules of one wheel."""


def modules_of(name: str, content: bytes) -> dict[str, bytes]:
    """Return the modules of a wheel by the names under which they are libraries.

    Raises :class:`ScriptError` for what is no wheel of pure Python.
    """
    if not name.endswith(f"-none-any{WHEEL}"):
        message = "expected a wheel of pure Python (...-none-any.whl), got another; install it where the host runs"
        raise ScriptError(Fault("RuleError", message, name))
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as wheel:
            members = [each for each in wheel.infolist() if each.filename.endswith(".py") and ".." not in each.filename]
            if sum(each.file_size for each in members) > MOST_BYTES:
                raise ScriptError(
                    Fault("RuleError", f"expected modules of at most {MOST_BYTES >> 20} MiB, got more", name)
                )
            return {f"{FOLDER}/{each.filename}": wheel.read(each) for each in members}
    except (zipfile.BadZipFile, RuntimeError, EOFError, OSError) as error:
        raise ScriptError(Fault("RuleError", f"expected a wheel, which is a zip file, got {error}", name)) from error

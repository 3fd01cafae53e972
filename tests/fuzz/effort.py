"""How hard the fuzz tests try: the same few inputs in every test run, many new ones in ``make fuzz``."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

EFFORT = int(os.environ.get("TRIMTAB_FUZZ_EFFORT", "1"))
"""How many times as many inputs as a test run has. Above 1 they are new in each run."""


def effort(examples: int) -> settings:
    """Return the settings of a property that looks at this many inputs in a test run."""
    return settings(
        max_examples=examples * EFFORT,
        derandomize=EFFORT == 1,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
    )

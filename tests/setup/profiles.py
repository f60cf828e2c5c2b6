"""How long Hypothesis searches: a little in `make test`, more in `make proof`, long in `make soak`.

Import it once, from conftest.py. `TIDINGS_PROOF` chooses: unset, `ci` or `release`.
A failure prints the line that replays it.
"""

import os

from hypothesis import HealthCheck, settings

EXAMPLES = {"test": 60, "ci": 2_000, "release": 50_000}

for _name, _examples in EXAMPLES.items():
    # No deadline: a commit waits for the disk, and a slow disk is not a wrong answer.
    settings.register_profile(
        _name,
        max_examples=_examples,
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],
    )

settings.load_profile(os.environ.get("TIDINGS_PROOF") or "test")

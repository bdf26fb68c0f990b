from __future__ import annotations

import subprocess
import sys


def test_importing_the_metrics_loads_nothing_heavy() -> None:
    code = (
        "import sys, gannet.evaluation, gannet.evaluation.score;"
        "print([m for m in ('torch', 'sklearn', 'numba', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

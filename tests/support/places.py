"""The paths of the checkout, of the tests' data, and of the scripts that they start."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
SCRIPTS = ROOT / "tests" / "scripts"
SUPPORT = ROOT / "tests" / "support"
# For a script that is started in a separate process.
PYTHONPATH = os.pathsep.join(map(str, (ROOT, ROOT / "trainers", SUPPORT)))

"""Where the tests find the checkout, their data, and the scripts that they start."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
SCRIPTS = ROOT / "tests" / "scripts"
SUPPORT = ROOT / "tests" / "support"
# For a script that is started in a process of its own.
PYTHONPATH = os.pathsep.join(map(str, (ROOT, ROOT / "trainers", SUPPORT)))

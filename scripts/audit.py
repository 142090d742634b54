#!/usr/bin/env python3
"""Look up known vulnerabilities of the locked packages and of torch.

    scripts/audit.py [LOCK...]

Exit code 0: every package was looked up, and none is known to be vulnerable. 1: some are. 3: none
is known to be vulnerable, but some could not be looked up, for example because the service cannot
be reached.

pip-audit alone would count a package that the service does not know as one without vulnerabilities.
It is installed in an environment of its own, .venv-audit.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TOOL = "pip-audit==2.10.1"


def verdict(packages: Sequence[Mapping[str, Any]], expected: int, reason: str) -> tuple[int, str]:
    """The exit code and the text for what pip-audit reports of `expected` packages.

    `reason` is pip-audit's last error line, which is shown for packages that it does not report.
    """
    lines = [
        f"{each['name']} {each['version']}: {fault['id']}, fixed in "
        f"{', '.join(fault['fix_versions']) or 'no release'}"
        for each in packages
        for fault in each.get("vulns", [])
    ]
    code = 1 if lines else 0
    skipped = [each["skip_reason"] for each in packages if "vulns" not in each]
    if missing := expected - len(packages) + len(skipped):
        code = code or 3
        lines.append(f"NOT looked up: {missing} of {expected} packages: {(skipped or [reason])[0]}")
    if code == 0:
        lines.append(f"{expected} packages looked up, none with a known vulnerability")
    return code, "\n".join(lines)


def pins(locks: Sequence[Path]) -> list[list[str]]:
    """The pins of lock files and of torch, in lists that have each name only once.

    A lock has several versions of some packages, for different versions of Python.
    """
    script = (ROOT / "scripts" / "install_torch.sh").read_text(encoding="utf-8")
    text = "\n".join(lock.read_text(encoding="utf-8") for lock in locks)
    text += re.sub("^VERSION=", "\ntorch==", script, flags=re.MULTILINE)
    lists: list[list[str]] = []
    for pin in sorted(set(re.findall(r"^[\w.-]+==[\w.+!]+", text, re.MULTILINE))):
        name = pin.partition("==")[0] + "=="
        for each in lists:
            if not any(other.startswith(name) for other in each):
                each.append(pin)
                break
        else:
            lists.append([pin])
    return lists


def look_up(requirements: Sequence[str], folder: Path) -> tuple[list[dict[str, Any]], str]:
    """What pip-audit reports of these pins, and the last line of its errors."""
    tools = ROOT / ".venv-audit"
    if not (tools / "bin" / "pip-audit").exists():
        venv.create(tools, with_pip=True)
    subprocess.run([tools / "bin" / "python", "-m", "pip", "install", "--quiet", TOOL], check=True)
    given, report = folder / "requirements.txt", folder / "report.json"
    given.write_text("\n".join(requirements), encoding="utf-8")
    report.unlink(missing_ok=True)
    options = ["--disable-pip", "--no-deps", "--progress-spinner", "off", "--format", "json"]
    done = subprocess.run(
        [tools / "bin" / "pip-audit", *options, "--output", report, "--requirement", given],
        capture_output=True,
        text=True,
    )
    # If the service cannot be reached, pip-audit ends with a traceback and without a report.
    text = report.read_text(encoding="utf-8") if report.exists() else ""
    packages = json.loads(text)["dependencies"] if text else []
    return packages, (done.stderr.strip() or "no reason given").splitlines()[-1][:300]


def main() -> None:
    """Look up the packages, and end with the verdict."""
    locks = [Path(name) for name in sys.argv[1:]] or sorted((ROOT / "requirements").glob("*.lock"))
    lists, packages, reason = pins(locks), [], ""
    with tempfile.TemporaryDirectory() as folder:
        for requirements in lists:
            found, said = look_up(requirements, Path(folder))
            packages += found
            reason = reason or said
    code, text = verdict(packages, sum(map(len, lists)), reason)
    print(text)
    sys.exit(code)


if __name__ == "__main__":
    main()

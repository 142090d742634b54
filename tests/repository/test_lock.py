"""The lock files fit pyproject.toml, and name every file by its hash and no index."""

from __future__ import annotations

import re
import runpy
import tomllib
from collections import defaultdict
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from places import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PIN = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>[^\s;]+)(?: ; (?P<marker>[^\\]+))? \\$", re.M)
HASHED = re.compile(r"(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+")


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def versions(lock: str) -> dict[str, set[str]]:
    """Name -> its versions in a lock file, of which each is for some versions of Python."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for pin in PIN.finditer(read(f"requirements/{lock}.lock")):
        found[pin["name"]].add(pin["version"])
    return dict(found)


def torch() -> str:
    version = re.search(r"^VERSION=(\S+)", read("scripts/install_torch.sh"), re.M)
    assert version
    return version[1]


def extras() -> list[str]:
    """The extras of the development environment, which both scripts name."""
    locked = re.search(r"^EXTRAS=\((.*)\)", read("scripts/lock.sh"), re.M)
    installed = re.search(r"\$repo\[(.*)\]", read("scripts/install.sh"))
    assert locked
    assert installed
    assert locked[1].split() == installed[1].split(",")
    return locked[1].split()


def required(*names: str) -> list[Requirement]:
    """What tclue requires with these extras, and with those that they name."""
    optional = PROJECT["project"]["optional-dependencies"]
    texts = [*PROJECT["project"]["dependencies"], *(t for name in names for t in optional[name])]
    needed = [Requirement(text) for text in texts]
    own = {extra for each in needed if each.name == "tclue" for extra in each.extras}
    if own - set(names):
        return required(*names, *sorted(own - set(names)))
    return [each for each in needed if each.name != "tclue"]


def test_every_requirement_is_locked_at_a_version_that_it_allows() -> None:
    pins = versions("dev") | {"torch": {torch()}}
    for requirement in required(*extras()):
        locked = pins[canonicalize_name(requirement.name)]
        assert all(requirement.specifier.contains(v, prereleases=True) for v in locked), requirement


def test_what_builds_is_locked_too_and_alike() -> None:
    build, dev = versions("build"), versions("dev")
    for text in PROJECT["build-system"]["requires"]:
        requirement = Requirement(text)
        assert all(requirement.specifier.contains(v) for v in build[requirement.name]), text
    assert {"editables", "setuptools"} <= set(build)
    assert not [name for name in build.keys() & dev.keys() if build[name] != dev[name]]


@pytest.mark.parametrize("lock", ["build", "dev"])
def test_a_lock_names_every_file_by_its_hash_and_no_place(lock: str) -> None:
    text = read(f"requirements/{lock}.lock")
    comment, _, rest = text.partition("\n")
    assert comment.startswith("# Written by scripts/lock.sh")
    # Nothing is left: no path, no address, no option, and no pin without a hash.
    assert not HASHED.sub("", PIN.sub("", rest)).strip()
    assert len(PIN.findall(rest)) == len(HASHED.findall(rest))
    assert not {"torch", "triton"} & versions(lock).keys()
    assert not [n for n in versions(lock) if n.startswith(("nvidia-", "cuda-"))]


FAULT = {"name": "a", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}
SOUND = {"name": "b", "version": "1", "vulns": []}
UNKNOWN = {"name": "c", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("packages", "expected", "code", "says"),
    [
        ([SOUND], 1, 0, ["1 packages looked up, none"]),
        ([SOUND, FAULT], 2, 1, ["a 1: CVE-1, fixed in 2"]),
        ([SOUND, UNKNOWN], 2, 3, ["NOT looked up: 1 of 2 packages: not found"]),
        ([FAULT, UNKNOWN], 2, 1, ["CVE-1", "NOT looked up: 1 of 2"]),
        ([], 2, 3, ["NOT looked up: 2 of 2 packages: no network"]),
        ([FAULT], 2, 1, ["CVE-1", "NOT looked up: 1 of 2 packages: no network"]),
    ],
)
def test_an_audit_tells_no_finding_from_no_look(
    packages: list[dict[str, Any]], expected: int, code: int, says: list[str]
) -> None:
    verdict = runpy.run_path(str(ROOT / "scripts" / "audit.py"))["verdict"]
    found, text = verdict(packages, expected, "no network")
    assert found == code
    assert all(part in text for part in says)


def test_an_audit_asks_about_every_version_of_a_package_once() -> None:
    lists = runpy.run_path(str(ROOT / "scripts" / "audit.py"))["pins"](
        [ROOT / "requirements" / "build.lock", ROOT / "requirements" / "dev.lock"]
    )
    expected = {
        f"{n}=={v}" for lock in ("build", "dev") for n, vs in versions(lock).items() for v in vs
    }
    assert sorted(pin for pins in lists for pin in pins) == sorted({*expected, f"torch=={torch()}"})
    for pins in lists:
        assert len({pin.partition("==")[0] for pin in pins}) == len(pins)

"""What holds in every test: the day stands still, and a busy machine is no reason to fail."""

from __future__ import annotations

import datetime
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, settings

# The day on which the facts in the shipped registry were read: none of them is out of date then.
DAY = os.environ.get("TCLUE_TEST_DAY", "2026-11-24")

# Each worker has a core to itself, and torch would start as many threads as there are cores.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# How long an example takes says how busy the machine is, and nothing about the code.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Where no test with a model is asked for, do not import the files of such tests alone.

    They import torch, which takes seconds in every worker.
    """
    if collection_path.suffix != ".py" or "not model" not in config.option.markexpr:
        return None
    source = collection_path.read_text(encoding="utf-8")
    return True if re.search(r"^pytestmark = \[?\s*pytest\.mark\.model\b", source, re.M) else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest come first, so that no worker is left with one at the end."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    tests = Counter(item.path for item in items)
    items.sort(key=lambda item: slow[item.path] / tests[item.path], reverse=True)


def set_day(patch: pytest.MonkeyPatch, day: str) -> None:
    """Have `tclue.bench.costs.cost.today`, which everything asks for the day, say this one."""
    noon = datetime.datetime.fromisoformat(f"{day}T12:00+00:00")
    clock = SimpleNamespace(UTC=datetime.UTC, datetime=SimpleNamespace(now=noon.astimezone))
    patch.setattr("tclue.bench.costs.cost.datetime", clock)


@pytest.fixture(scope="session", autouse=True)
def _day_stands_still() -> Iterator[None]:
    """The day is fixed in this process; it is not in the processes that tests start."""
    with pytest.MonkeyPatch.context() as patch:
        set_day(patch, DAY)
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_numbers_are_kept() -> Iterator[None]:
    """Numbers of runs are computed in every test, and none are left in the user's cache."""

    def no_folder() -> Path:
        raise OSError("a test without a cache")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tclue.bench.stats.cached.cache_folder", no_folder)
        yield


@pytest.fixture
def on_day(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Sets the day for a test that is about a certain one, whatever day the others have."""
    return lambda day: set_day(monkeypatch, day)

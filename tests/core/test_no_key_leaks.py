"""Keys: read from the environment or a `.env`, and never written or shown.

The real command runs against a server that repeats the key in every header, error and text. What
it wrote is searched for every key, and for parts of them.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from bench_support import write_puzzles
from killing import environment
from places import ROOT
from providers import (
    KEY_VARIABLES,
    MODELS,
    PROVIDERS,
    QUICK,
    Fault,
    Model,
    Server,
    Settings,
    serving,
)

pytestmark = [pytest.mark.server, pytest.mark.slow]

# Each in its provider's own form, so that what looks like a key is known, too.
KEYS = {
    "openai": "sk-proj-Pl4nted-openai-0123456789abcdefghij",
    "anthropic": "sk-ant-api03-Pl4nted-anthropic-0123456789",
    "deepseek": "sk-Pl4nteddeepseek0123456789abcdef",
    "gemini": "AIzaSyPl4ntedgemini0123456789abcdefghi",
    "openrouter": "sk-or-v1-Pl4ntedopenrouter0123456789abcdef",
}
PLANTED = "Pl4nted"


def bench(
    folder: Path, server: Server, keys: Mapping[str, str], *arguments: str
) -> subprocess.CompletedProcess[str]:
    """The real command in a folder, with these variables and no other keys."""
    return subprocess.run(
        [sys.executable, "-m", "tclue", "bench", *arguments],
        cwd=folder,
        env={**environment(server, keys), "PYTHONPATH": str(ROOT), "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def leaks(folder: Path, done: subprocess.CompletedProcess[str]) -> list[str]:
    """Where a planted key stands, in what the command wrote or showed; the `.env` is ours."""
    leaking = [name for name in ("stdout", "stderr") if PLANTED in getattr(done, name)]
    for path in folder.rglob("*"):
        if path.is_file() and path.name != ".env" and PLANTED.encode() in path.read_bytes():
            leaking.append(str(path))
        if PLANTED in path.name:
            leaking.append(str(path))
    return leaking


def test_planted_keys_are_in_no_file_and_on_no_screen(tmp_path: Path) -> None:
    path, puzzles = write_puzzles(tmp_path, 2 * len(QUICK))
    faults: dict[str, Fault] = dict(zip([p.id for p in puzzles], QUICK, strict=False))
    settings = Settings(Model(puzzles), first=faults, echo=True, retry_after="0.01")
    keys = {KEY_VARIABLES[name]: key for name, key in KEYS.items()}
    # Half of them stand in a `.env`.
    filed = [KEY_VARIABLES["gemini"], KEY_VARIABLES["anthropic"]]
    (tmp_path / ".env").write_text("".join(f"{name}={keys.pop(name)}\n" for name in filed))
    # What the packages below print when they are asked to is more than anybody wants to see.
    keys |= {"LITELLM_LOG": "DEBUG", "OPENAI_LOG": "debug"}
    with serving(settings) as server:
        models = ",".join(MODELS.values())
        done = bench(tmp_path, server, keys, "--models", models, "--puzzles", path.name)
        assert server.keys == set(KEYS.values())
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "results").iterdir())) == len(PROVIDERS)
    assert leaks(tmp_path, done) == []
    texts = (file.read_text() for file in (tmp_path / "results").rglob("responses.jsonl"))
    assert all("My key is [" in text for text in texts)  # it was there, and is masked


@pytest.mark.parametrize("fault", ["expired-key", "quota"])
def test_a_key_that_is_refused_is_one_line_without_the_key(tmp_path: Path, fault: Fault) -> None:
    path, puzzles = write_puzzles(tmp_path, 4)
    broken = dict.fromkeys(PROVIDERS, fault)
    keys = {KEY_VARIABLES[name]: key for name, key in KEYS.items()}
    with serving(Settings(Model(puzzles), broken=broken, echo=True)) as server:
        models = ",".join(MODELS.values())
        done = bench(tmp_path, server, keys, "--models", models, "--puzzles", path.name)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert all(model in last for model in MODELS.values())
    assert "key" in last if fault == "expired-key" else "credit" in last
    assert not re.search(r"\b(\d{3}): \1", last)  # a status is told once
    assert leaks(tmp_path, done) == []


def test_a_key_in_the_environment_goes_before_one_in_a_file(tmp_path: Path) -> None:
    path, puzzles = write_puzzles(tmp_path, 1)
    (tmp_path / ".env").write_text(f"OPENAI_API_KEY='{KEYS['deepseek']}'\n")
    with serving(Settings(Model(puzzles))) as server:
        keys = {"OPENAI_API_KEY": KEYS["openai"]}
        done = bench(tmp_path, server, keys, "--models", MODELS["openai"], "--puzzles", path.name)
        assert server.keys == {KEYS["openai"]}
    assert done.returncode == 0, done.stderr
    assert (tmp_path / ".env").exists()
    assert os.environ.get("OPENAI_API_KEY") != KEYS["openai"]

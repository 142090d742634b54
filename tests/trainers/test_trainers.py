"""Trainers behind entry points: the one in docs/howto/write-a-trainer.md, and broken ones."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from commands import refused, run
from places import ROOT

from tclue.bench.models.local import TINY

pytestmark = pytest.mark.server


def both_packages(*folders: Path) -> dict[str, str]:
    paths = os.pathsep.join(map(str, [*folders, ROOT, ROOT / "trainers"]))
    return {**os.environ, "PYTHONPATH": paths}


def install(folder: Path, points: dict[str, str], modules: dict[str, str]) -> None:
    """Write a distribution with trainers, as pip installs one."""
    info = folder / "some_trainers-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: some-trainers\nVersion: 1.0\n")
    lines = [f"{name} = {where}" for name, where in points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[tclue.trainers]", *lines, ""]))
    for name, text in modules.items():
        (folder / name).write_text(text)


def train(folder: Path, site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tclue", "train", *arguments]
    env = both_packages(site)
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.model
def test_the_trainer_that_the_page_shows(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "howto" / "write-a-trainer.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.S)
    entry_point = re.search(r'^(\w+) = "(.*)"$', page, re.M)
    assert entry_point is not None
    site = tmp_path / "site"
    install(site, {entry_point[1]: entry_point[2]}, {"toy_trainer.py": code})
    listed = train(tmp_path, site, "--trainer", "sharpen", "--presets")
    assert listed.stdout == "double  the tiny checkpoint at half its temperature\n"
    planned = train(tmp_path, site, "--trainer", "sharpen", "--set", "factor=3", "--dry-run")
    assert planned.stdout == "multiplies the output matrix by 3.0\n"
    wrong = train(tmp_path, site, "--trainer", "sharpen", "--set", "size=3")
    assert refused(wrong) == "--set size=3: expected factor=NUMBER"

    pytest.importorskip("torch")
    bench = ("--then-bench", "--results", "records", "--board", "board", "--json")
    done = train(tmp_path, site, "--trainer", "sharpen", "--set", "factor=3", *bench)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert (result["run"], result["best"], result["last"]) == ("sharper-3", 1, 1)
    assert result["puzzles"] == 8
    assert result["difference"] == pytest.approx(
        result["trained_accuracy"] - result["base_accuracy"]
    )
    # Greedy decoding does not depend on the temperature.
    assert result["greedy"]["base_accuracy"] == result["greedy"]["trained_accuracy"]
    assert result["greedy_difference"] == 0
    assert 0 < result["seconds"] < 600
    assert (tmp_path / "board" / "README.md").exists()
    run_folder = tmp_path / "runs" / "sharper-3"
    sizes = [(f / "model.safetensors").stat().st_size for f in (TINY, run_folder / "step-000001")]
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("import nothing_of_this_name\n", "ModuleNotFoundError: No module named 'nothing_of"),
        ("def Broken():\n    raise OSError('no licence')\n", "OSError: no licence"),
        (
            "class Broken:\n    def train(self): ...\n",
            "toy:Broken is not a trainer: it lacks presets, plan",
        ),
        ("", "has no attribute 'Broken'"),
    ],
)
def test_a_broken_trainer_is_named(module: str, message: str, tmp_path: Path) -> None:
    install(tmp_path / "site", {"broken": "toy:Broken"}, {"toy.py": module})
    line = refused(train(tmp_path, tmp_path / "site", "--trainer", "broken"))
    assert line.startswith("--trainer broken: toy:Broken ")
    assert message in line


def test_installed_trainers_are_listed(tmp_path: Path) -> None:
    install(tmp_path / "site", {"other": "toy:Other"}, {})
    line = refused(train(tmp_path, tmp_path / "site", "--trainer", "none"))
    assert line == "--trainer none: no such trainer: expected one of grpo, other"


def test_the_command_is_there(tmp_path: Path) -> None:
    assert "--then-bench" in run(tmp_path, "train", "--help").stdout


def test_a_plan_loads_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from tclue.cli import cli\n"
        "for last in (['--help'], ['--presets'], ['--preset', 'tiny', '--dry-run']):\n"
        "    try: cli(['train', *last], standalone_mode=False)\n"
        "    except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'pandas', 'litellm', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=tmp_path, env=both_packages(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr

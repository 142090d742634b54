"""The built wheel, installed in environments of its own, outside the checkout: `make test-wheel`.

Two empty environments: the core alone, and with the extras. What a wheel forgets to hold or to ask
for is missed here, and nowhere else: the other tests run in the checkout.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tarfile
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from places import ROOT

pytestmark = [
    pytest.mark.server,
    pytest.mark.slow,
    pytest.mark.skipif(
        "TCLUE_TEST_WHEEL" not in os.environ,
        reason="takes minutes: `make test-wheel` sets TCLUE_TEST_WHEEL",
    ),
]

WHEEL_BYTES = 12_000_000


@dataclass(frozen=True)
class Environment:
    """A virtual environment, and an empty folder to work in."""

    path: Path
    work: Path

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(self.path / "hf")}
        environment.pop("PYTHONPATH", None)
        return subprocess.run(
            [str(self.path / "bin" / command[0]), *command[1:]],
            cwd=self.work,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def output(self, *command: str) -> str:
        done = self.run(*command)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
        return done.stdout

    def install(self, *requirements: str) -> None:
        self.output("python", "-m", "pip", "install", "--quiet", *requirements)


@pytest.fixture(scope="module")
def built() -> Path:
    """The folder of the source distribution and of the wheel, built by `make check-package`."""
    return ROOT / os.environ["TCLUE_TEST_WHEEL"]


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (path,) = built.glob("*.whl")
    return path


def empty_environment(folder: Path) -> Environment:
    venv.create(folder / "venv", with_pip=True)
    (folder / "work").mkdir()
    return Environment(folder / "venv", folder / "work")


@pytest.fixture(scope="module")
def core(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    environment = empty_environment(tmp_path_factory.mktemp("core"))
    environment.install(str(wheel))
    return environment


@pytest.fixture(scope="module")
def full(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    environment = empty_environment(tmp_path_factory.mktemp("full"))
    python = environment.path / "bin" / "python"
    subprocess.run([ROOT / "scripts" / "install_torch.sh", python], check=True)
    torch = environment.output(
        "python", "-c", "from importlib.metadata import version; print(version('torch'))"
    )
    environment.install(f"{wheel}[local,lm-eval]", f"torch=={torch.strip()}")
    return environment


def test_wheel_holds_the_package_and_its_data(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for name in (
        *(f"tclue/puzzle/data/{split}.jsonl" for split in ("val", "test", "easy-val", "easy-test")),
        "tclue/puzzle/data/manifest.json",
        "tclue/board/published.json",
        "tclue/bench/data/tiny/model.safetensors",
        "tclue/bench/data/tiny/tokenizer.json",
        *(
            f"tclue/{path.relative_to(ROOT)}"
            for path in (ROOT / "tasks" / "temporal_clue").glob("*.yaml")
        ),
        "tclue/tasks/temporal_clue/temporal_clue_by_difficulty.yaml",
    ):
        assert name in names
    top = {name.split("/")[0] for name in names}
    assert top == {"tclue", "tclue_grpo", "tclue-0.1.0.dist-info"}
    assert {"tclue_grpo/presets/tiny.toml", "tclue_grpo/tiny_seen.safetensors"} <= names
    assert any(name.endswith("/LICENSE") for name in names)
    assert wheel.stat().st_size < WHEEL_BYTES


# What follows `](` in Markdown, and what src, srcset and href hold in HTML.
TARGET = re.compile(r"""\]\(([^)\s]+)|\b(?:src|srcset|href)=["']([^"']+)""")


def test_the_description_has_no_relative_link_and_no_picture_element(wheel: Path) -> None:
    """A package index resolves no relative link, and drops what it does not know."""
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    description = archive.read(name).decode().partition("\n\n")[2]
    targets = [first or second for first, second in TARGET.findall(description)]
    assert any("/raw/v0.1.0/leaderboards/" in target for target in targets)
    assert any("/blob/v0.1.0/docs/" in target for target in targets)
    assert not [target for target in targets if not target.startswith(("https://", "#"))]
    assert "<picture" not in description
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(TARGET.findall(description)) >= len(re.findall(r"\]\(", readme))


def test_source_distribution_holds_no_records(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        folders = {name.split("/")[1] for name in archive.getnames()}
    assert {"tclue", "trainers", "tasks", "tests", "Makefile", "README.md", "LICENSE"} <= folders
    assert not folders & {"results", "leaderboards", ".venv", ".venv-vllm"}


def test_core_benches_and_makes_a_board(core: Environment) -> None:
    lines = core.output("tclue", "bench", "--models", "random,solver", "--json").splitlines()
    random, solver = (json.loads(line) for line in lines)
    assert random["accuracy"]["value"] < solver["accuracy"]["value"] == 1.0
    core.output("tclue", "leaderboard")
    assert "solver" in (core.work / "leaderboards" / "README.md").read_text()
    core.output("tclue", "leaderboard", "--check")


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        (("tclue", "bench", "--models", "hf:somewhere"), "tclue[local]"),
        (("tclue", "lm-eval", "--register"), "tclue[lm-eval]"),
        (("tclue", "train", "--preset", "tiny"), "tclue[train]"),
    ],
)
def test_core_names_the_extra_that_is_missing(
    core: Environment, command: tuple[str, ...], extra: str
) -> None:
    done = core.run(*command)
    assert done.returncode == 2
    assert extra in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_core_speaks_to_hosted_models(core: Environment) -> None:
    done = core.run("tclue", "bench", "--models", "no-such-model")
    assert done.returncode == 2
    assert "unknown model 'no-such-model'" in done.stderr


def test_bench_and_lm_eval_agree(full: Environment) -> None:
    """The shipped checkpoint, registered with the real lm-eval, asked by its real command."""
    assert full.output("python", "-m", "pip", "check")
    code = "import tclue; print(*tclue.__path__)"
    package = Path(full.output("python", "-c", code).strip())
    assert package.is_relative_to(full.path)
    tiny = package / "bench" / "data" / "tiny"
    bench = json.loads(
        full.output(
            *("tclue", "bench", "--models", f"hf:{tiny}", "--puzzles", "easy-test", "--json"),
            *("--limit", "16", "--max-tokens", "512"),
        )
    )
    assert "temporal_clue_avg4, " in full.output("tclue", "lm-eval", "--register")
    full.output(
        *("lm_eval", "--tasks", "temporal_clue_easy", "--model", "hf", "--apply_chat_template"),
        *("--model_args", f"pretrained={tiny},dtype=float32", "--gen_kwargs", "max_gen_toks=512"),
        *("--limit", "16", "--batch_size", "16", "--device", "cpu", "--output_path", "out"),
    )
    (path,) = full.work.glob("out/*/results_*.json")
    results = json.loads(path.read_text())["results"]["temporal_clue_easy"]
    assert results["accuracy,none"] == pytest.approx(bench["accuracy"]["value"])
    assert results["solved,none"] == pytest.approx(bench["solved"]["value"])
    assert full.output("tclue", "lm-eval", "--unregister").startswith("removed ")

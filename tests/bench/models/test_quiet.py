"""Standard error of hosted runs: nothing of the libraries', because nothing is left to report.

What is known is silenced by its text alone, so that a warning of another kind is seen.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from bench_support import write_puzzles
from places import PYTHONPATH
from providers import BASE_VARIABLES, KEY_VARIABLES, MODELS, Model, Settings, bases, serving

pytestmark = [pytest.mark.server, pytest.mark.slow]

# All kinds that Python knows, also of connections that nobody closed; but not what it shows to the
# authors of a library alone.
ALL_WARNINGS = ("-W", "always", "-W", "ignore::DeprecationWarning")


def python(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *ALL_WARNINGS, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": PYTHONPATH, **variables},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("streamed", [[], ["--stream"]], ids=["whole", "streamed"])
def test_a_run_of_every_provider_leaves_nothing_open(streamed: list[str], tmp_path: Path) -> None:
    path, puzzles = write_puzzles(tmp_path, 3)
    with serving(Settings(model=Model(puzzles))) as server:
        variables = dict.fromkeys(KEY_VARIABLES.values(), "sk-of-this-test")
        for provider, base in bases(server).items():
            variables[BASE_VARIABLES[provider]] = base
        models = ",".join(MODELS.values())
        arguments = ("--models", models, "--puzzles", str(path), "--price-in=1", "--price-out=2")
        done = python(tmp_path, "-m", "tclue", "bench", *arguments, *streamed, **variables)
    assert done.returncode == 0, done.stderr
    for line in done.stderr.splitlines():
        assert line.startswith(("records: ", "next: ")) or ": 3/3, $" in line, done.stderr


SPEAK = """
import logging, warnings
from tclue.bench.models.hosted import load_litellm
load_litellm()
from pydantic import TypeAdapter
from litellm.types.llms.openai import ChatCompletionReasoningItem
TypeAdapter(ChatCompletionReasoningItem)
warnings.warn_explicit("new of schemas", UserWarning, "x", 1, "pydantic._internal._generate_schema")
warnings.warn_explicit("new of models", UserWarning, "x", 1, "pydantic.main")
logging.getLogger("LiteLLM").warning("new of litellm")
"""


# `tclue.bench.models.loading` reports the weights of a checkpoint itself, in one line.
SPEAK_LOCAL = """
import logging
from tclue.bench.models.chat_template import import_transformers_quietly
import_transformers_quietly()
for _ in range(2):
    logging.getLogger("transformers.models").warning("new of transformers")
logging.getLogger("transformers.models").warning("\033[1mQwen LOAD REPORT\033[0m from: x")
logging.getLogger("torchao").warning("new of torchao")
logging.getLogger("torchao").warning("Skipping import of cpp extensions due to something")
"""


@pytest.mark.parametrize(
    ("code", "news"),
    [
        (SPEAK, ["schemas", "models", "litellm"]),
        pytest.param(SPEAK_LOCAL, ["transformers", "torchao"], marks=pytest.mark.model),
    ],
    ids=["hosted", "local"],
)
def test_what_is_known_is_silenced_and_what_is_new_is_seen(
    code: str, news: list[str], tmp_path: Path
) -> None:
    done = python(tmp_path, "-c", code)
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == len(news), done.stderr
    for line, name in zip(lines, news, strict=True):
        assert f"new of {name}" in line

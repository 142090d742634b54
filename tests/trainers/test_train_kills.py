"""A training run with a vLLM server, killed again and again, ends as one that was never killed."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs the extra `train`")
pytest.importorskip("transformers", reason="training needs the extra `train`")

from killing_training import TrainKiller, TrainPlan

pytestmark = [pytest.mark.model, pytest.mark.server, pytest.mark.slow]


def test_killed_again_and_again_it_ends_as_if_never_killed_and_leaves_no_server() -> None:
    # Not `tmp_path`, because the path of a socket may have 107 bytes.
    with tempfile.TemporaryDirectory() as folder:
        books = TrainKiller(Path(folder), TrainPlan(kills=5, seed=1)).run()
    assert books.wrong == ()
    assert books.left == ()
    assert books.kills == 5
    assert books.complete >= 1
    assert books.servers > books.complete

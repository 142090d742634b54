"""The lm-eval tasks on servers, through two of its backends, beside bench on the same server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from threading import Lock
from typing import Any

import pytest
from bench_support import KEY, Answer, Server, completion, prompt_of, serving
from lm_eval_support import LIMIT, Installed, bench, compare, evaluate, install

from tclue.bench.models.local import MAX_TOKENS
from tclue.bench.records import Response
from tclue.lm_eval import dataset, process_results
from tclue.puzzle.puzzle import BANDS, Puzzle, answer_lines
from tclue.puzzle.splits import load_set

pytestmark = pytest.mark.model


@pytest.fixture
def installed(tmp_path: Path) -> Installed:
    return install(tmp_path)


def answer_for(puzzle: Puzzle, turn: int) -> Answer:
    """A reply of one of six kinds: right, thought about, not thought through, a guess, none."""
    right = answer_lines(puzzle.solution)
    first = right.splitlines()[0]
    match turn % 6:
        case 0:
            return Answer(completion(right))
        case 1:
            return Answer(completion(f"<think>\n{first}? Or not?\n</think>\n\n{right}"))
        case 2:
            return Answer(completion(f"<think>\nSay it is\n\n{right}", "length"))
        case 3:
            # The template opened the block: only its end is in the text.
            return Answer(completion(f"Perhaps.\n</think>\n{right}"))
        case 4:
            return Answer(completion(first))
        case _:
            return Answer(completion(None, "length", reasoning_content=f"Is it\n{right}"))


@contextmanager
def talking(*names: str) -> Iterator[Server]:
    """A server that answers a puzzle's n-th request as it does in every other run.

    Greedy requests, of temperature 0, get a puzzle's first reply; the others each the next.
    """
    puzzles = {p.prompt: (n, p) for name in names for n, p in enumerate(load_set(name).puzzles)}
    turns: Counter[str] = Counter()

    def behave(body: dict[str, Any]) -> Answer:
        number, puzzle = puzzles[prompt_of(body)]
        if body["temperature"] == 0:
            return answer_for(puzzle, number)
        with lock:
            turns[puzzle.id] += 1
            return answer_for(puzzle, number + turns[puzzle.id])

    lock = Lock()
    with serving(behave) as server:
        yield server


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[float, dict[str, list[Response]]]:
    """Temperature -> what bench makes of the server: one sample at 0, four at 1."""
    responses = {}
    for temperature, samples in ((0.0, 1), (1.0, 4)):
        with talking("easy-test") as server:
            responses[temperature] = bench(
                "policy",
                "easy-test",
                tmp_path_factory.mktemp("bench"),
                api_base=server.url,
                temperature=temperature,
                samples=samples,
            )
    return responses


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.parametrize("backend", ["local-chat-completions", "litellm"])
def test_a_server_is_scored_as_in_bench(
    installed: Installed, expected: dict[float, dict[str, list[Response]]], backend: str
) -> None:
    """Thinking, closed or not, is dealt with by our grader; litellm cuts off what is closed."""
    same_texts = backend == "litellm"
    tasks = "temporal_clue_easy,temporal_clue_easy_avg4,temporal_clue_by_difficulty"
    with talking("easy-test", "test") as server:
        model_args = {
            "local-chat-completions": f"model=policy,base_url={server.url}/chat/completions",
            "litellm": "model=openai/policy,num_concurrent=4",
        }[backend]
        evaluated = evaluate(
            installed,
            *("tclue", "lm-eval", "--model", backend, "--model_args", model_args),
            tasks=tasks,
            OPENAI_BASE_URL=server.url,
            OPENAI_API_KEY=KEY,
        )
        sampled = [body for body in server.bodies if body["temperature"] == 1]
        greedy = [body for body in server.bodies if body["temperature"] == 0]
    assert len(sampled) == 4 * LIMIT
    assert {body.get("seed") for body in sampled} == {None}
    assert len(greedy) == (1 + len(BANDS)) * LIMIT
    assert {body["max_tokens"] for body in server.bodies} == {MAX_TOKENS}
    compare(evaluated["temporal_clue_easy"], expected[0], "easy-test", texts=same_texts)
    compare(
        evaluated["temporal_clue_easy_avg4"], expected[1], "easy-test", "avg@4", texts=same_texts
    )
    assert 0 < evaluated["temporal_clue_easy_avg4"].metrics["solved,avg@4"] < 1
    bands = [evaluated[f"temporal_clue_{band.replace(' ', '_')}"] for band in BANDS]
    group = evaluated["temporal_clue_by_difficulty"].metrics
    assert group["accuracy,none"] == pytest.approx(
        fmean(sample["accuracy"] for band_result in bands for sample in band_result.samples)
    )


def test_thinking_that_lm_eval_cuts_off_makes_no_difference() -> None:
    """`think_end_token=</think>`, lm-eval's own option, and our grader on the whole text."""
    from lm_eval.models.utils import (  # type: ignore[import-untyped]
        postprocess_generated_text,
    )

    documents = dataset("easy-test", "easy-test")["test"]
    scores = []
    for puzzle, document in zip(load_set("easy-test").puzzles[:6], documents, strict=False):
        for turn in range(5):
            message = answer_for(puzzle, turn).body["choices"][0]["message"]
            cut = postprocess_generated_text(message["content"], [], "</think>")
            assert process_results(document, [cut]) == process_results(
                document, [message["content"]]
            )
            scores.append(process_results(document, [cut])["solved"])
    assert scores == [1, 1, 0, 1, 0] * 6

"""inspect_ai on the same prompts, replies and grader, for `bench_overhead.py`, which runs this.

    PYTHONPATH=. PYTHON_WITH_INSPECT benchmarks/inspect_mock.py < job.json

The job is `{"puzzles": name, "samples": n, "in_flight": n, "texts": {puzzle id: reply}}`. The
output is one line of JSON: the version, the seconds of `eval` (without imports) and the mean score.
All settings of inspect except the number in flight are its defaults, including its log.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from typing import Any

import inspect_ai
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import Score, mean, scorer

from tclue.puzzle.grading.grade import grader
from tclue.puzzle.splits import load_set


def main() -> None:
    """Evaluate, and print the time."""
    job = json.load(sys.stdin)
    puzzles = {puzzle.id: puzzle for puzzle in load_set(job["puzzles"]).puzzles}
    texts = {puzzles[id].prompt: text for id, text in job["texts"].items()}
    sound_grader = grader("sound")

    def graded() -> Any:
        async def score(state: Any, target: Any) -> Score:  # noqa: ARG001
            grade = sound_grader.grade(puzzles[state.sample_id], state.output.completion)
            return Score(value=grade.accuracy)

        return score

    def reply(messages: Any, *_: Any) -> ModelOutput:
        output = ModelOutput.from_content("mockllm", texts[messages[-1].text])
        # Otherwise tokens would be counted, which is not part of a request.
        output.usage = ModelUsage(input_tokens=500, output_tokens=600, total_tokens=1100)
        return output

    task = inspect_ai.Task(
        dataset=MemoryDataset([Sample(input=p.prompt, id=p.id) for p in puzzles.values()]),
        scorer=scorer(metrics=[mean()])(graded)(),
        epochs=job["samples"],
    )
    with tempfile.TemporaryDirectory() as folder:

        def evaluate(limit: int | None) -> Any:
            (log,) = inspect_ai.eval(
                task,
                model=get_model("mockllm/model", custom_outputs=reply),
                limit=limit,
                max_connections=job["in_flight"],
                max_samples=job["in_flight"],
                log_dir=folder,
                display="none",
            )
            return log

        evaluate(1)  # the first evaluation loads modules
        start_s = time.perf_counter()
        log = evaluate(None)
        wall_s = time.perf_counter() - start_s
        samples = len(log.samples or [])  # read from the log
    if log.status != "success":
        raise SystemExit(f"inspect_ai: {log.error}")
    (score,) = log.results.scores
    figures = {
        "version": inspect_ai.__version__,
        "wall_s": wall_s,
        "accuracy": score.metrics["mean"].value,
        "samples": samples,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()

"""Records as a pandas frame, one row a response, for a notebook.

    import tclue.bench
    frame = tclue.bench.frame("results")
    frame.groupby(["puzzle_set", "variant"]).accuracy.mean()

A row is the response that counts for its puzzle and sample: the first that did not fail, or the
last failure where all failed (`accuracy` is then missing). Unknown numbers are missing, never 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas

from tclue.bench.runs.records import Response, RunConfig, read_run, run_folders
from tclue.errors import UserError

# column -> pandas type; nullable ones where whole numbers and truths may be missing
COLUMNS = {
    "run": "string",
    "variant": "string",
    "model": "string",
    "reasoning": "string",
    "puzzle_set": "string",
    "grader": "string",
    "temperature": "float64",
    "puzzle": "string",
    "num_clues": "Int64",
    "difficulty": "string",
    "sample": "Int64",
    "outcome": "string",
    "accuracy": "float64",
    "solved": "boolean",
    "main_accuracy": "float64",
    "main_solved": "boolean",
    "prompt_tokens": "Int64",
    "cached_tokens": "Int64",
    "cache_write_5m_tokens": "Int64",
    "cache_write_1h_tokens": "Int64",
    "completion_tokens": "Int64",
    "reasoning_tokens": "Int64",
    "cost_usd": "float64",
    "cost_litellm_usd": "float64",
    "latency_s": "float64",
    "tries": "Int64",
    "finish_reason": "string",
    "model_id": "string",
    "error": "string",
    "at": "string",
}
TEXTS = {"text": "string", "reasoning_text": "string"}


def build(results: Path, *, texts: bool = False) -> pandas.DataFrame:
    """The frame of every run below a results folder, or of one run folder.

    Columns are COLUMNS, and TEXTS where asked for; shares are 0 to 1, costs US dollars, times
    seconds. Raises UserError, naming the file and the line, where records cannot be read.
    """
    folders = [results] if (results / "run.json").is_file() else run_folders(results)
    if not folders:
        raise UserError(f"{results}: no run in it: expected a folder of run folders")
    columns = COLUMNS | (TEXTS if texts else {})
    rows = [row for folder in folders for row in _rows(folder, texts)]
    return pandas.DataFrame(rows, columns=list(columns)).astype(columns)


def _rows(folder: Path, texts: bool) -> Iterator[dict[str, Any]]:
    run = read_run(folder, texts=texts)
    for response in run.final():
        row = _row(folder.name, run.config, response)
        if texts:
            row |= {"text": response.text, "reasoning_text": response.reasoning}
        yield row


def _row(name: str, config: RunConfig, response: Response) -> dict[str, Any]:
    grade, usage = response.grade, response.usage
    main = grade.main_accuracy if grade else None
    return {
        "run": name,
        "variant": config.variant,
        "model": config.model,
        "reasoning": config.reasoning,
        "puzzle_set": config.puzzle_set,
        "grader": config.grader,
        "temperature": config.temperature,
        "puzzle": response.puzzle,
        "num_clues": response.num_clues,
        "difficulty": response.difficulty,
        "sample": response.sample,
        "outcome": response.outcome,
        "accuracy": grade.accuracy if grade else None,
        "solved": grade.solved if grade else None,
        "main_accuracy": main,
        "main_solved": None if main is None else main == 1,
        "prompt_tokens": usage.prompt_tokens,
        "cached_tokens": usage.cached_tokens,
        "cache_write_5m_tokens": usage.cache_write_5m_tokens,
        "cache_write_1h_tokens": usage.cache_write_1h_tokens,
        "completion_tokens": usage.completion_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "cost_usd": response.cost_usd,
        "cost_litellm_usd": response.cost_litellm_usd,
        "latency_s": response.latency_s,
        "tries": response.tries,
        "finish_reason": response.finish_reason,
        "model_id": response.model_id,
        "error": response.error,
        "at": response.at,
    }

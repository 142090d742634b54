"""Records as a pandas frame with one row per response, for notebooks.

    import tclue.bench
    frame = tclue.bench.frame("results")
    frame.groupby(["puzzle_set", "variant"]).accuracy.mean()

A row is the response that counts for its puzzle and sample: the first that did not fail, or the
last failure if all failed; then `accuracy` is missing. Unknown numbers are missing, never 0.
"""

from pathlib import Path
from typing import Any

import pandas

from tclue.bench.records import Response, RunConfig, read_run, run_folders
from tclue.errors import UserError

# column -> pandas type; nullable types for whole numbers and booleans that may be missing
COLUMNS = {
    "run": "string",
    "variant": "string",
    "model": "string",
    "reasoning": "string",
    "puzzle_set": "string",
    "grader": "string",
    "grader_version": "Int64",
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
    """The frame of all runs in a results folder, or of one run folder.

    Columns are COLUMNS, and TEXTS too if `texts`. Shares are from 0 to 1, costs in US dollars,
    times in seconds. Raises UserError, which names the file and the line, if records cannot be
    read.
    """
    folders = [results] if (results / "run.json").is_file() else run_folders(results)
    if not folders:
        raise UserError(f"{results}: it has no runs: expected a folder of run folders")
    columns = COLUMNS | (TEXTS if texts else {})
    rows = []
    for folder in folders:
        run = read_run(folder, texts=texts)
        rows += [_row(folder.name, run.config, response) for response in run.final()]
    return pandas.DataFrame(rows, columns=list(columns)).astype(columns)


def _row(name: str, config: RunConfig, response: Response) -> dict[str, Any]:
    """The columns of a row by name, from configuration, response, usage and grade."""
    usage = {name: getattr(response.usage, name) for name in COLUMNS if name.endswith("_tokens")}
    grade = vars(response.grade) if response.grade else {}
    renamed = {"run": name, "reasoning_text": response.reasoning}
    values = {**vars(response), **usage, **grade, **vars(config), **renamed}
    if (main := grade.get("main_accuracy")) is not None:
        values["main_solved"] = main == 1
    return {column: values.get(column) for column in COLUMNS | TEXTS}

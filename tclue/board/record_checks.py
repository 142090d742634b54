"""What the board takes for granted of records, checked before it shows numbers made of them.

Records may be edited by hand, or come from elsewhere. A share above 1 or a cost below 0 would not
stop any sum; it would stand on the board.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

from tclue.bench.runs.records import Outcome, Response, RunConfig
from tclue.errors import UserError


def check_config(folder: Path, config: RunConfig) -> None:
    """Raise UserError, naming the file, for a configuration that no run writes."""
    for name in ("variant", "puzzle_set", "puzzle_sha256", "grader"):
        if not (isinstance(value := getattr(config, name), str) and value):
            raise UserError(f"{folder / 'run.json'}: {name} is {value!r}: expected a text")
    if not isinstance(config.prices.date, str):
        date = config.prices.date
        raise UserError(f"{folder / 'run.json'}: prices.date is {date!r}: expected a day")
    if (trained := config.trained) and not (isinstance(trained.run, str) and _whole(trained.step)):
        said = f"{trained.run!r}, step {trained.step!r}"
        raise UserError(f"{folder / 'run.json'}: trained is {said}: expected a text and a number")
    for name in ("puzzles", "samples"):
        if not (_whole(value := getattr(config, name)) and value > 0):
            raise UserError(f"{folder / 'run.json'}: {name} is {value!r}: expected 1 or more")


def checked(folder: Path, config: RunConfig, responses: Iterable[Response]) -> Iterator[Response]:
    """The responses of a run, as they come, one a line of its file.

    Raises UserError, naming the file and the line, for values that no run writes.
    """
    asked = config.puzzles * config.samples
    pairs: set[tuple[str, int]] = set()
    letters: dict[str, list[str]] = {}
    for number, response in enumerate(responses, 1):
        where = f"{folder / 'responses.jsonl'}, line {number}"
        if wrong := _wrong(response, config.samples, config.grader):
            raise UserError(f"{where}: {wrong}")
        pairs.add(response.pair)
        if len(pairs) > asked:
            raise UserError(f"{where}: one more than the {asked} that run.json asks for")
        if response.grade:
            asks = sorted(response.grade.answers)
            if asks != letters.setdefault(response.puzzle, asks):
                expected = ", ".join(letters[response.puzzle])
                raise UserError(f"{where}: answers to {', '.join(asks)}: expected {expected}")
        yield response


def _wrong(response: Response, samples: int, grader: str) -> str | None:
    """What no run writes in a line, and what it would."""
    usage = response.usage
    if not isinstance(response.puzzle, str):
        return f"puzzle is {response.puzzle!r}: expected a text"
    if not (_whole(response.sample) and 0 <= response.sample < samples):
        return f"sample is {response.sample!r}: expected 0 to {samples - 1}"
    if response.outcome not in get_args(Outcome):
        return f"outcome is {response.outcome!r}: expected one of {', '.join(get_args(Outcome))}"
    if response.scored and (wrong := _wrong_grade(response, grader)):
        return wrong
    for name, said in (("model_id", response.model_id), ("difficulty", response.difficulty)):
        if not isinstance(said, str | None):
            return f"{name} is {said!r}: expected a text, or null"
    for name, value in (
        ("cost_usd", response.cost_usd),
        ("cost_litellm_usd", response.cost_litellm_usd),
        ("at_most_usd", response.at_most_usd),
        ("num_clues", response.num_clues),
        ("latency_s", response.latency_s),
        ("prompt_tokens", usage.prompt_tokens),
        ("completion_tokens", usage.completion_tokens),
        ("cached_tokens", usage.cached_tokens),
        ("cache_write_5m_tokens", usage.cache_write_5m_tokens),
        ("cache_write_1h_tokens", usage.cache_write_1h_tokens),
        ("reasoning_tokens", usage.reasoning_tokens),
        ("reported_usd", usage.reported_usd),
    ):
        if value is not None and not _number(value):
            return f"{name} is {value!r}: expected 0 or more"
    return None


def _wrong_grade(response: Response, grader: str) -> str | None:
    grade = response.grade
    if grade is None:
        return f"{response.outcome}, and no grade: expected one"
    if not (_number(grade.accuracy) and grade.accuracy <= 1):
        return f"accuracy is {grade.accuracy!r}: expected 0 to 1"
    main = grade.main_accuracy
    if main is not None and not (_number(main) and main <= 1):
        return f"main_accuracy is {main!r}: expected 0 to 1, or null"
    if not isinstance(grade.solved, bool):
        return f"solved is {grade.solved!r}: expected true or false"
    if not (isinstance(grade.answers, dict) and grade.answers):
        return f"answers is {grade.answers!r}: expected an object from letter to answer"
    if not set(grade.right) <= grade.answers.keys():
        return f"right is {list(grade.right)!r}: expected letters of its answers"
    if response.grader != grader:
        return f"graded by {response.grader}: expected {grader}, as run.json says"
    return None


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    """Whether it is a finite number, 0 or more."""
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and value >= 0
    )

"""A run: what is missing, slots, durable records.

What is missing are the pairs of puzzle and sample without a record that did not fail. As many
workers as there are slots take them in turn; a reply is on the disk before its slot takes the
next. So a process killed at any moment loses only what was in flight, and the next one asks for
that and no more.
"""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Iterator, Sequence
from dataclasses import replace

from tclue.bench.answerers import Answerer, Ask, Reply
from tclue.bench.costs import cost_parts
from tclue.bench.progress import Progress
from tclue.bench.records import Outcome, Response, RunConfig, RunFolder
from tclue.puzzle.grade import Grade, Grader, grader
from tclue.puzzle.puzzle import Puzzle


def missing(puzzles: Sequence[Puzzle], samples: int, recorded: Sequence[Response]) -> list[Ask]:
    """The requests without a record that did not fail: all first samples, then all second ones."""
    done = {response.pair for response in recorded if response.scored}
    return [
        Ask(puzzle, sample)
        for sample in range(samples)
        for puzzle in puzzles
        if (puzzle.id, sample) not in done
    ]


async def ask_missing(
    answerer: Answerer, folder: RunFolder, puzzles: Sequence[Puzzle], progress: Progress
) -> str | None:
    """Ask for what is missing and record it.

    Returns None, or why the rest was not asked: a key is wrong, a quota is used up. Raises
    UserError where the model cannot be loaded or a record cannot be written.
    """
    config = folder.config
    asks = missing(puzzles, config.samples, folder.run.responses)
    if not asks:
        return None
    # In a thread, so that Ctrl-C is heard meanwhile.
    await asyncio.to_thread(answerer.open)
    judge = grader(config.grader)
    total = len(puzzles) * config.samples
    stops: list[str] = []

    async def work(batches: Iterator[Sequence[Ask]]) -> None:
        for batch in batches:
            async for ask, reply in answerer.ask(batch):
                response = judged(config, ask, reply, judge)
                folder.append(response)
                progress.advance(response)
                if reply.stop:
                    stops.append(f"{reply.stop} ({reply.error})")
            if stops:
                return
            # An answerer that never waits would keep the others, and Ctrl-C, waiting.
            await asyncio.sleep(0)

    batches = iter(answerer.batches(asks))
    progress.start(config.variant, total - len(asks), total)
    try:
        async with asyncio.TaskGroup() as workers:
            for _ in range(min(answerer.setup.slots, len(asks))):
                workers.create_task(work(batches))
    except ExceptionGroup as group:
        raise group.exceptions[0] from None
    finally:
        progress.stop()
    return stops[0] if stops else None


def judged(config: RunConfig, ask: Ask, reply: Reply, judge: Grader) -> Response:
    """The record of a reply."""
    grade = None if reply.error else judge.grade(ask.puzzle, reply.text)
    parts = cost_parts(config.prices, reply.usage, reply.compute_s)
    return Response(
        puzzle=ask.puzzle.id,
        sample=ask.sample,
        outcome=_outcome(reply.finish_reason, reply.refused, grade),
        grader=judge.name,
        grade=grade,
        text=reply.text,
        reasoning=reply.reasoning,
        finish_reason=reply.finish_reason,
        usage=reply.usage,
        latency_s=reply.latency_s,
        compute_s=reply.compute_s,
        cost_usd=sum(parts.values()) if parts is not None else None,
        cost_parts=parts,
        cost_litellm_usd=reply.litellm_usd,
        at_most_usd=reply.at_most_usd,
        tries=reply.tries,
        model_id=reply.model_id,
        error=reply.error,
        at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        num_clues=ask.puzzle.num_clues,
        difficulty=ask.puzzle.difficulty,
    )


def _outcome(finish_reason: str | None, refused: bool, grade: Grade | None) -> Outcome:
    if grade is None:
        return "failed"
    if refused:
        return "refused"
    if finish_reason in ("length", "context"):
        return "truncated"
    return "answered" if grade.answered else "unparsed"


def recounted(response: Response, config: RunConfig, puzzle: Puzzle, judge: Grader) -> Response:
    """A recorded response under another grader or other prices; its text stays as it is."""
    if not response.scored:
        return response
    grade = judge.grade(puzzle, response.text)
    parts = cost_parts(config.prices, response.usage, response.compute_s)
    return replace(
        response,
        outcome=_outcome(response.finish_reason, response.outcome == "refused", grade),
        grader=judge.name,
        grade=grade,
        cost_usd=sum(parts.values()) if parts is not None else None,
        cost_parts=parts,
    )

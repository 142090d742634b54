"""A run: what is missing, who may be in flight, what is tried again, what is paid, what is kept.

What is missing are the keys of responses without a record that did not fail. As many workers as
there are slots take them in turn; `throttle` says how many of them may be in flight. A reply is on
the disk before its slot takes the next. So a process killed at any moment loses only what was in
flight, and the next one asks for that and no more.

* A request that failed and that nobody is paid for is tried again, TRIES times in all, after as
  long as the provider asks for, or after 2, 4, 8, ... seconds, each a fifth more or less by a
  seeded draw. (Ours, not tenacity's: a request that waits gives its slot to others and must stop
  waiting when the run stops, and tenacity's jitter has no seed.)
* Asking stops at once where `failures` says so, where LOST requests in a row came to nothing, where
  money or time is used up, or on Ctrl-C. What is in flight then is waited for and recorded, since
  it is paid for; only when the time is up is it given up, and recorded as failed.
"""

from __future__ import annotations

import asyncio
import datetime
from collections import Counter
from collections.abc import AsyncIterator, Container, Iterator, Sequence
from dataclasses import replace
from random import Random

from tclue.bench.costs.cost import cost_parts
from tclue.bench.models.failures import MAYBE_PAID, TRUNCATED, Failure
from tclue.bench.models.model import Completion, Model, Request
from tclue.bench.records import Outcome, Response, RunConfig, spent_usd
from tclue.bench.runs.budget import Budget, Ceiling
from tclue.bench.runs.run_folder import RunFolder
from tclue.bench.runs.run_progress import RunObserver
from tclue.bench.runs.throttle import Gate, Throttle
from tclue.bench.runs.time_shares import TimeShares
from tclue.errors import UserError
from tclue.puzzle.grading.grade import Grade, Grader, grader
from tclue.puzzle.puzzle import Puzzle

TRIES = 6
FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 60.0
LOST = 20
TIME_IS_UP = "the time is up"


def missing(puzzles: Sequence[Puzzle], config: RunConfig, done: Container[str]) -> list[Request]:
    """The requests whose keys are not done: all first samples, then all second ones."""
    key = config.response_key()
    return [
        Request(puzzle, sample)
        for sample in range(config.samples)
        for puzzle in puzzles
        if key(puzzle.prompt, sample) not in done
    ]


class RunExecutor:
    """One model being asked for what its run misses."""

    def __init__(
        self,
        answerer: Model,
        folder: RunFolder,
        puzzles: Sequence[Puzzle],
        progress: RunObserver,
        budget: Budget | None = None,
        deadline_s: float | None = None,
    ) -> None:
        """`deadline_s` by the event loop's clock, which must be running."""
        self._answerer, self._folder, self._progress = answerer, folder, progress
        self._config = folder.config
        self._judge = grader(self._config.grader)
        self._key = self._config.response_key()
        self._asks = missing(puzzles, self._config, folder.done)
        self._total = len(puzzles) * self._config.samples
        self._budget = budget or Budget(None)
        self._ceiling = Ceiling(self._config.prices, answerer.resolved)
        self._ceiling.saw(folder.dearest_usd)
        self._loop = asyncio.get_running_loop()
        self._deadline_s = deadline_s
        self._slots = max(1, min(answerer.resolved.slots, len(self._asks)))
        self._gate = Gate(Throttle(self._slots, self._loop.time))
        self._pace = self._slots
        self._lost = 0
        # for a machine that is paid by the hour: who was in flight when, and seconds of the tries
        shared = self._config.prices.source == "gpu-hour"
        self._clock = TimeShares() if shared else None
        self._compute_s: dict[int, float] = {}
        # how often which error was recorded
        self.errors: Counter[str] = Counter()
        # why the rest is not asked
        self._stopped: str | None = None
        # what could not be written, and why
        self._unwritten: list[Response] = []
        self._broken: UserError | None = None

    @property
    def in_flight(self) -> int:
        """Requests that were sent and have not come back."""
        return self._gate.throttle.in_flight

    def stop(self, reason: str) -> None:
        """Send nothing more; the first reason is told."""
        self._stopped = self._stopped or reason
        self._gate.close()

    async def run(self) -> str | None:
        """Ask and record.

        Returns None, or why the rest was not asked. Raises UserError where the model cannot be
        loaded or a record cannot be written.
        """
        if not self._asks:
            return None
        if not self._late():
            # In a thread, so that Ctrl-C is heard meanwhile.
            await asyncio.to_thread(self._answerer.open)
        if self._late():
            # What is sent now would be given up at once, and may be paid for.
            return TIME_IS_UP
        batches = iter(self._answerer.batches(self._asks))
        done = self._total - len(self._asks)
        self._progress.start(self._config.variant, done, self._total, self._folder.spent_usd)
        timer = None
        if self._deadline_s is not None:
            timer = self._loop.call_at(self._deadline_s, self.stop, TIME_IS_UP)
        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(self._slots):
                    workers.create_task(self._work(batches))
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            if timer:
                timer.cancel()
            self._progress.stop()
        if self._broken:
            raise UserError(f"{self._broken}{self._folder.rescue(self._unwritten)}")
        return self._stopped

    def _late(self) -> bool:
        return self._deadline_s is not None and self._loop.time() >= self._deadline_s

    async def _work(self, batches: Iterator[Sequence[Request]]) -> None:
        while not self._gate.closed and (batch := next(batches, None)):
            await self._run_batch_with_retries(batch)
            # An answerer that never waits would keep the others, and Ctrl-C, waiting.
            await asyncio.sleep(0)

    async def _run_batch_with_retries(self, batch: Sequence[Request]) -> None:
        """Ask a batch until each of its requests has an outcome, or asking is stopped."""
        reserved_usd = await self._reserve(batch)
        if reserved_usd is None:
            return
        cost_usd, share_usd = 0.0, reserved_usd / len(batch)
        first = batch[0]
        try:
            for tries in range(1, TRIES + 1):
                round_ = await self._gate.enter()
                if round_ is None:
                    return
                again: list[Request] = []
                failure: Failure | None = None
                try:
                    async for ask, reply in self._replies(batch):
                        failure = failure or reply.failure
                        if reply.failure and reply.failure.kind == "again" and tries < TRIES:
                            again.append(ask)
                        else:
                            if tries > 1:
                                reply = replace(reply, tries=tries)
                            cost_usd += await self._record(ask, reply, share_usd)
                finally:
                    self._gate.leave(round_, failure)
                    self._tell_pace()
                if not again:
                    return
                asked_s = failure.wait_s if failure else None
                await self._gate.pause(_pause_s(first, tries) if asked_s is None else asked_s)
                batch = again
        finally:
            self._budget.settle(reserved_usd, cost_usd)
            self._gate.wake()

    async def _replies(self, batch: Sequence[Request]) -> AsyncIterator[tuple[Request, Completion]]:
        """The replies to a batch, or what the end of time leaves of them."""
        async for ask, reply in self._in_time(batch):
            if self._clock:
                share_s = self._clock.finish(id(ask), self._loop.time())
                # Of every try: the machine was busy with each.
                self._compute_s[id(ask)] = share_s + self._compute_s.get(id(ask), 0.0)
            yield ask, reply

    async def _in_time(self, batch: Sequence[Request]) -> AsyncIterator[tuple[Request, Completion]]:
        left, start_s = list(batch), self._loop.time()
        if self._clock:
            for ask in batch:
                self._clock.start(id(ask), self._loop.time())
        replies = aiter(self._answerer.ask(batch))
        while left:
            try:
                async with asyncio.timeout_at(self._deadline_s):
                    ask, reply = await anext(replies)
            except StopAsyncIteration:
                return
            except TimeoutError:
                if self._config.prices.source not in ("free", "hour"):
                    for ask in left:
                        yield (
                            ask,
                            Completion(
                                error="given up at --total-timeout",
                                failure=MAYBE_PAID,
                                latency_s=self._loop.time() - start_s,
                            ),
                        )
                return
            left.remove(ask)
            yield ask, reply

    async def _reserve(self, batch: Sequence[Request]) -> float | None:
        """Set aside what a batch may cost; None where asking is stopped first."""
        if self._budget.limit_usd is None:
            return 0.0
        while not self._gate.closed:
            most = [self._ceiling.most_usd(ask.puzzle.prompt) for ask in batch]
            known = [usd for usd in most if usd is not None]
            most_usd = sum(known) if len(known) == len(most) else None
            reserved_usd = self._budget.reserve(most_usd)
            if reserved_usd is not None:
                return reserved_usd
            if not self._budget.open:
                self.stop(self._budget.told(most_usd))
                return None
            await self._gate.change(None)
        return None

    async def _record(self, ask: Request, reply: Completion, reserved_usd: float) -> float:
        """Keep a reply, and stop where it says so: the dollars that it cost, at most."""
        if self._clock:
            reply = replace(reply, compute_s=self._compute_s.pop(id(ask)))
        prompt = ask.puzzle.prompt
        response = to_record(self._config, ask, reply, self._judge, self._key(prompt, ask.sample))
        if response.cost_usd is None and (not reply.error or reply.failure == MAYBE_PAID):
            at_most_usd = self._ceiling.most_usd(prompt, reply.usage) or reserved_usd or None
            response = replace(response, at_most_usd=at_most_usd)
        try:
            await self._folder.record(response)
        except UserError as error:
            # Replies that are under way are paid for: they are waited for before this is told.
            self._broken = self._broken or error
            self._unwritten.append(response)
            self._gate.close()
            return spent_usd(response)
        self._ceiling.saw(response.cost_usd)
        self._progress.advance(response)
        if reply.error:
            self.errors[reply.error] += 1
        self._stop_if_told(reply)
        return spent_usd(response)

    def _stop_if_told(self, reply: Completion) -> None:
        failure = reply.failure
        if failure and failure.kind == "stop":
            self.stop(f"{failure.to_do} ({reply.error})")
        lost = failure is not None and failure.kind in ("again", "maybe-paid")
        self._lost = self._lost + 1 if lost else 0
        if self._lost >= LOST:
            self.stop(f"{LOST} requests in a row came to nothing (the last: {reply.error})")

    def _tell_pace(self) -> None:
        if self._gate.throttle.limit != self._pace:
            self._pace = self._gate.throttle.limit
            self._progress.pace(self._pace)


def _pause_s(ask: Request, tries: int) -> float:
    """Seconds before the next try, where the provider does not say."""
    dice = Random(f"{ask.puzzle.id}/{ask.sample}")
    pause_s: float = FIRST_PAUSE_S * 2 ** (tries - 1) * dice.uniform(0.8, 1.2)
    return min(pause_s, LONGEST_PAUSE_S)


def to_record(
    config: RunConfig, ask: Request, reply: Completion, judge: Grader, key: str
) -> Response:
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
        tries=reply.tries,
        model_id=reply.model_id,
        error=reply.error,
        at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        key=key,
        num_clues=ask.puzzle.num_clues,
        difficulty=ask.puzzle.difficulty,
    )


def _outcome(finish_reason: str | None, refused: bool, grade: Grade | None) -> Outcome:
    if grade is None:
        return "failed"
    if refused:
        return "refused"
    if finish_reason in TRUNCATED:
        return "truncated"
    return "answered" if grade.answered else "unparsed"


def regrade(response: Response, config: RunConfig, puzzle: Puzzle, judge: Grader) -> Response:
    """A recorded response under another grader or other prices; its text stays as it is."""
    parts = cost_parts(config.prices, response.usage, response.compute_s)
    priced = replace(
        response,
        cost_usd=sum(parts.values()) if parts is not None else None,
        cost_parts=parts,
    )
    if not response.scored:
        return priced
    grade = judge.grade(puzzle, response.text)
    refused = response.outcome == "refused"
    outcome = _outcome(response.finish_reason, refused, grade)
    return replace(priced, outcome=outcome, grader=judge.name, grade=grade)

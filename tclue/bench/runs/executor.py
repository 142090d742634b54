"""Executes a run: sends the missing requests, limits those in flight, retries, and records.

docs/reference/bench.md says when a request is sent again, and when no more are sent. A request is
missing if its key has no record, or only failed ones. There is one worker per slot, and each takes
the next missing request; `throttle` limits how many are in flight. A completion is on the disk
before its worker takes the next request. So a process that is killed at any moment loses only the
requests in flight, and the next process sends only those again. What they may have cost is written
to the disk before they are sent.

Pauses double up to a minute, each up to a fifth longer or shorter by a seeded draw. (tenacity is
not used, because a waiting request must give its slot to others and must stop waiting when the run
stops, and because tenacity's jitter has no seed.)
"""

import asyncio
import datetime
import math
import re
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Container, Iterator, Sequence
from dataclasses import fields, replace
from random import Random
from textwrap import shorten

from tclue.bench.costs.cost import total_usd
from tclue.bench.models.failures import KEY, LONGEST_WAIT_S, MAYBE_PAID, Failure
from tclue.bench.models.model import Completion, Model, Request
from tclue.bench.records import Outcome, Response, RunConfig, spent_usd
from tclue.bench.runs.budget import Budget, Ceiling, Reservation
from tclue.bench.runs.regrade import regrade
from tclue.bench.runs.run_folder import RunFolder
from tclue.bench.runs.run_progress import RunProgress
from tclue.bench.runs.throttle import Throttle, TimeShares
from tclue.errors import UserError
from tclue.puzzle.grading.grade import grader
from tclue.puzzle.puzzle import Puzzle
from tclue.secrets import error_line

TRIES = 6
FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 60.0
MAX_LOST_IN_A_ROW = 20
FIRST_ALIKE = 12
TIME_IS_UP = "the time is up"
NO_ANSWER = "no request was answered"
RESUME = "tclue: this is a bug. All other replies were recorded, and the same command resumes."
# Words with a digit, such as ids and counts. Messages that differ only in these count as the same.
_NUMBERED = re.compile(r"[\w-]*\d[\w-]*")
# the fields of a completion that its record takes over
_SAME = {field.name for field in fields(Completion)} & {field.name for field in fields(Response)}
# for a request in flight when the process is killed
_LOST = Completion(error="the process ended before the reply came; it may have been billed")


def missing(puzzles: Sequence[Puzzle], config: RunConfig, done: Container[str]) -> list[Request]:
    """The requests whose keys are not done: all first samples, then all second samples, etc."""
    key = config.response_key()
    return [
        Request(puzzle, sample)
        for sample in range(config.samples)
        for puzzle in puzzles
        if key(puzzle.prompt, sample) not in done
    ]


class RunExecutor:
    """Sends one model the missing requests of its run."""

    def __init__(
        self,
        model: Model,
        folder: RunFolder,
        puzzles: Sequence[Puzzle],
        progress: RunProgress,
        budget: Budget | None = None,
        deadline_s: float = math.inf,
        samples: int | None = None,
    ) -> None:
        """`deadline_s` is a time of the event loop's clock, which must be running.

        `samples` is the number of responses to each puzzle, if it is not that of the run.
        """
        self._model, self._folder, self._progress = model, folder, progress
        self._config = folder.config
        self._grader = grader(self._config.grader)
        self._key = self._config.response_key()
        wanted = replace(self._config, samples=samples or self._config.samples)
        self._requests = missing(puzzles, wanted, folder.done)
        self._total = len(puzzles) * wanted.samples
        self._budget = budget or Budget()
        self._ceiling = Ceiling(self._config.prices, model.resolved)
        for puzzle in puzzles:
            self._ceiling.count_cost(puzzle.prompt, folder.dearest_usd.get(puzzle.id))
        self._loop = asyncio.get_running_loop()
        self._deadline_s = deadline_s
        self._slots = max(1, min(model.resolved.slots, len(self._requests)))
        self._throttle = Throttle(self._slots, self._loop.time)
        self._pace = self._slots
        self._lost_in_a_row = 0
        # whether the server was reached, whether any request was answered, and failures before that
        self._reached, self._answered = False, bool(folder.done)
        self._first_failures: Counter[tuple[str, str]] = Counter()
        self._busy_since_s: float | None = None
        # the first error, of writing or unexpected
        self._fault: Exception | None = None
        # for GPUs that are paid by the hour: the time shares, and each request's seconds so far
        shared = self._config.prices.source == "gpu-hour"
        self._time_shares = TimeShares() if shared else None
        self._compute_s: defaultdict[int, float] = defaultdict(float)
        # recorded error -> how often
        self.errors: Counter[str] = Counter()
        # why the remaining requests are not sent
        self._stopped: str | None = None

    @property
    def in_flight(self) -> int:
        """The number of requests that were sent and have no reply yet."""
        return self._throttle.in_flight

    def stop(self, reason: str) -> None:
        """Send no more requests. The first reason is reported."""
        self._stopped = self._stopped or shorten(reason, 300, placeholder=" ...)")
        self._throttle.close()

    async def run(self) -> str | None:
        """Send the missing requests, and record the responses.

        Returns None, or the reason if not all were sent or none was answered. Raises UserError if
        the model cannot be loaded or a record cannot be written.
        """
        if not self._requests:
            return None
        if not self._time_is_up():
            # In a thread, so that Ctrl-C works while it loads.
            await asyncio.to_thread(self._model.open)
        if self._time_is_up():
            # A request would be given up at once, but could be billed.
            return TIME_IS_UP
        self._model.sent = self._config.sent
        batches = iter(self._model.batches(self._requests))
        done = self._total - len(self._requests)
        self._progress.start(self._config.variant, done, self._total, self._folder.spent_usd)
        timer = self._loop.call_at(self._deadline_s, self.stop, TIME_IS_UP)
        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(self._slots):
                    workers.create_task(self._work(batches))
        finally:
            timer.cancel()
            self._progress.stop()
            await self._model.aclose()
        if self._fault:
            if not isinstance(self._fault, UserError):
                self._fault.add_note(RESUME)  # shown below a traceback
            raise self._fault
        return self._stopped or (NO_ANSWER if self.errors and not self._answered else None)

    def _time_is_up(self) -> bool:
        return self._loop.time() >= self._deadline_s

    async def _work(self, batches: Iterator[Sequence[Request]]) -> None:
        try:
            while not self._throttle.closed and (batch := next(batches, None)):
                await self._run_batch_with_retries(batch)
                # Without this, a model that never awaits would block the other workers and Ctrl-C.
                await asyncio.sleep(0)
        except Exception as error:  # the task group would cancel the other workers
            self._fail(error)

    def _fail(self, error: Exception) -> str:
        """Stop, and raise the error after the requests in flight, which are paid for.

        Returns a text for records.
        """
        self._fault = self._fault or error
        self._throttle.close()
        return error_line(f"internal error: {error!r}")

    async def _run_batch_with_retries(self, batch: Sequence[Request]) -> None:
        """Send a batch until each of its requests has an outcome, or the run is stopped."""
        reserved = await self._reserve(batch)
        if reserved is None:
            return
        cost_usd, size = 0.0, len(batch)
        first = batch[0]
        tries = failed_tries = 0
        try:
            while (round_ := await self._throttle.enter()) is not None:
                tries += 1
                to_retry: list[Request] = []
                failure: Failure | None = None
                error = ""
                try:
                    if not await self._set_aside(batch, reserved.usd / size):
                        return
                    async for request, completion in self._until_deadline(batch):
                        if self._time_shares:
                            # The sum over all tries, because each used the machine.
                            share_s = self._time_shares.finish(id(request), self._loop.time())
                            self._compute_s[id(request)] += share_s
                        why = completion.failure
                        self._reached |= not (why and why.unconnected)
                        failure, error = failure or why, error or completion.error or ""
                        if why and why.kind == "again" and (why.busy or failed_tries + 1 < TRIES):
                            to_retry.append(request)
                        else:
                            done = replace(completion, tries=tries)
                            cost_usd += await self._record(request, done, reserved.usd / size)
                finally:
                    self._throttle.done(round_, failure)
                    if self._throttle.limit != self._pace:
                        self._pace = self._throttle.limit
                        self._progress.pace(self._pace)
                if not to_retry or not await self._set_aside(to_retry, None):
                    return
                assert failure
                failed_tries += not failure.busy
                await self._pause(failure, error, _pause_s(first, tries, failure.wait_s))
                batch = to_retry
        finally:
            self._budget.settle(reserved, cost_usd)
            self._throttle.wake()

    async def _pause(self, failure: Failure, error: str, pause_s: float) -> None:
        """Wait before a request is sent again; stop if nothing can be expected of the server."""
        if failure.unconnected and not self._reached and self._config.api_base:
            self.stop(f"no server can be reached at {self._config.api_base} ({error})")
            return
        if failure.busy:
            now_s = self._loop.time()
            self._busy_since_s = self._busy_since_s or now_s
            # The limit of a busy provider falls to 1. Another request in flight is being answered.
            if now_s + pause_s > self._busy_since_s + LONGEST_WAIT_S and not self.in_flight:
                minutes = f"{LONGEST_WAIT_S / 60:g} minutes"
                self.stop(f"the provider is busy, and answered nothing for {minutes} ({error})")
                return
        self._progress.wait(pause_s, error)
        await self._throttle.pause(pause_s)

    async def _until_deadline(
        self, batch: Sequence[Request]
    ) -> AsyncIterator[tuple[Request, Completion]]:
        """The completions of a batch. At the deadline, those that are missing become failures."""
        pending, start_s = list(batch), self._loop.time()
        if self._time_shares:
            for request in batch:
                self._time_shares.start(id(request), start_s)
        completions = aiter(self._model.complete(batch))
        while pending:
            try:
                async with asyncio.timeout_at(self._deadline_s):
                    request, completion = await anext(completions)
            except StopAsyncIteration:
                return
            except Exception as error:
                why = "given up at --total-timeout"
                if not (isinstance(error, TimeoutError) and self._time_is_up()):
                    why = self._fail(error)
                if self._config.prices.source not in ("free", "hour"):
                    waited_s = self._loop.time() - start_s
                    given_up = Completion(error=why, failure=MAYBE_PAID, latency_s=waited_s)
                    for request in pending:
                        yield request, given_up
                return
            pending.remove(request)
            yield request, completion

    async def _reserve(self, batch: Sequence[Request]) -> Reservation | None:
        """Set aside what a batch may cost; None if the run is stopped before there is enough."""
        while not self._throttle.closed:
            max_usd = total_usd(self._ceiling.max_usd(each.puzzle.prompt) for each in batch)
            reserved = self._budget.reserve(max_usd, proven=self._ceiling.proven)
            if reserved is not None:
                return reserved
            if not self._budget.open:
                self.stop(self._budget.exhausted_message(max_usd))
                return None
            await self._throttle.change(None)
        return None

    async def _set_aside(self, batch: Sequence[Request], usd: float | None) -> bool:
        """Write what each request of a batch may cost to the disk, before it is sent.

        None if it was not billed. Local models cost nothing that a killed process would lose.
        Returns whether this succeeded; if not, nothing may be sent.
        """
        if not self._config.request:
            return True
        lines = [replace(self._response(each, _LOST), at_most_usd=usd or None) for each in batch]
        try:
            await self._folder.set_aside(lines)
        except UserError as error:
            self._fail(error)
            return False
        return True

    async def _record(self, request: Request, completion: Completion, reserved_usd: float) -> float:
        """Record a completion, and stop if its failure requires it; returns its cost, at most."""
        if self._time_shares:
            completion = replace(completion, compute_s=self._compute_s.pop(id(request)))
        prompt = request.puzzle.prompt
        try:
            response = self._response(request, completion)
        except Exception as error:  # the reply is paid for, so its text and its bound are kept
            why = self._fail(error)
            completion = Completion(text=completion.text, error=why, failure=MAYBE_PAID)
            response = self._response(request, completion)
        maybe_paid = completion.failure is not None and completion.failure.kind == "maybe-paid"
        if response.cost_usd is None and (maybe_paid or not completion.error):
            at_most_usd = self._ceiling.max_usd(prompt, completion.usage) or reserved_usd or None
            response = replace(response, at_most_usd=at_most_usd)
        self._budget.raise_open(self._ceiling.count_cost(prompt, response.cost_usd))
        try:
            if self._folder.config.sent is None and self._model.sent:
                self._folder.amend(sent=self._model.sent)
            await self._folder.record(response)
        except UserError as error:
            self._fail(error)
            return spent_usd(response)
        self._progress.advance(response)
        if completion.error:
            self.errors[completion.error] += 1
        self._stop_if_hopeless(completion)
        return spent_usd(response)

    def _response(self, request: Request, completion: Completion) -> Response:
        """The record of a completion."""
        outcome: Outcome = "refused" if completion.refused else "answered"
        same = {name: value for name, value in vars(completion).items() if name in _SAME}
        response = Response(
            puzzle=request.puzzle.id,
            sample=request.sample,
            outcome="failed" if completion.error else outcome,
            grader=self._grader.name,
            grade=None,
            cost_usd=None,
            cost_parts=None,
            at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            key=self._key(request.puzzle.prompt, request.sample),
            num_clues=request.puzzle.num_clues,
            difficulty=request.puzzle.difficulty,
            **same,
        )
        return regrade(response, self._config, request.puzzle, self._grader)

    def _stop_if_hopeless(self, completion: Completion) -> None:
        failure, error = completion.failure, completion.error
        self._busy_since_s = None
        if failure and failure.kind == "stop":
            to_do = self._model.resolved.key_advice if failure == KEY else None
            self.stop(f"{to_do or failure.to_do} ({error})")
        if error is None:
            self._answered = True
        elif failure and not self._answered:
            self._first_failures[failure.kind, _NUMBERED.sub("#", error)] += 1
            if self._first_failures.total() == FIRST_ALIKE and len(self._first_failures) == 1:
                same = "requests failed with the same message"
                self.stop(f"the first {FIRST_ALIKE} {same} (the last: {error})")
        lost = failure is not None and failure.kind in ("again", "maybe-paid")
        self._lost_in_a_row = self._lost_in_a_row + 1 if lost else 0
        if self._lost_in_a_row >= MAX_LOST_IN_A_ROW:
            self.stop(f"{MAX_LOST_IN_A_ROW} requests in a row failed (the last: {error})")


def _pause_s(request: Request, tries: int, wait_s: float | None) -> float:
    """Seconds before the next try, if the provider asks to wait `wait_s`."""
    if wait_s is not None and tries < TRIES:  # one that always asks for too little is not believed
        return wait_s
    rng = Random(f"{request.puzzle.id}/{request.sample}")
    pause_s: float = FIRST_PAUSE_S * 2 ** min(tries - 1, 30) * rng.uniform(0.8, 1.2)
    return max(min(pause_s, LONGEST_PAUSE_S), wait_s or 0.0)

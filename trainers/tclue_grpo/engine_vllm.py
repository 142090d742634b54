"""Rollouts by a vLLM server that the trainer starts and owns; see docs/howto/vllm-rollouts.md.

* Prompts are sent and responses received as token ids: nothing is tokenized again.
* Response i of a request is drawn with the request's seed + i, as vLLM does with `n`; so responses
  can be requested together (`n`) or one by one. They are requested one by one, and streamed, if
  degenerate ones are stopped: closing a connection ends only one response.
* The prefix cache is cleared after new weights, since its contents were computed with the old ones.
* A tied head is written as a separate weight: on a CPU, reloading tied weights in place changes
  the embedding but silently not the head (vLLM 0.32.0).
* Responses that were received before a server died are kept.
"""

import asyncio
import json
import logging
import re
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import aiohttp
import torch

from tclue.errors import UserError
from tclue.puzzle.grading.grade import Grade
from tclue.puzzle.puzzle import Puzzle
from tclue_grpo.engines import WatchedRow
from tclue_grpo.hf_files import write_untied
from tclue_grpo.packing import Pack, pack_groups
from tclue_grpo.policy import Policy
from tclue_grpo.rollout import Finish, GradedSample, Group, Sample, SamplingRequest
from tclue_grpo.vllm_server import Server, ServerSettings, new_log, scratch_folder

logger = logging.getLogger(__name__)

CHECK_TOKENS = 16
# Limits in nats: for the largest gap in fp32, and for the mean gap if one side is bf16.
FP32_GAP, BF16_GAP = 1e-3, 0.02
RESET_S = 30.0  # wait for cache blocks that stopped responses still occupy


class _DiedError(Exception):
    """The server has died or failed."""


class VLLMEngine:
    """Samples from a vLLM server."""

    def __init__(
        self,
        ends: set[int],
        *,
        python: Path,
        max_tokens: int,
        temperature: float = 1.0,
        settings: ServerSettings | None = None,
        make_row: Callable[[int, int], WatchedRow] | None = None,
        log: Path | None = None,
    ) -> None:
        """`make_row` makes a response that stops when it degenerates; None: no response stops."""
        self._ends, self._python = ends, python
        self._max_tokens, self._temperature = max_tokens, temperature
        self._settings, self._make_row = settings or ServerSettings(), make_row
        self.log = log or new_log()
        self.server: Server | None = None
        self._scratch = scratch_folder()
        self._weights, self._syncs, self._cache_tokens = Path(), 0, 0
        self._policy: Policy | None = None
        self._unchecked = False

    def sync(self, policy: Policy) -> None:
        """Sample from these weights from now on."""
        start = time.perf_counter()
        self._syncs += 1
        previous = self._weights
        self._weights = self._scratch / f"weights-{self._syncs}"
        write_untied(policy.hf_state(), policy.base, self._weights)
        self._policy, self._unchecked = policy, True
        if self.server is None:
            self._start()
        else:
            try:
                asyncio.run(self._reload())
            except _DiedError as error:
                self._restart(str(error))
        if previous != Path():
            shutil.rmtree(previous, ignore_errors=True)
        logger.info("vLLM: weights %d in %.1f s", self._syncs, time.perf_counter() - start)

    def sample(self, requests: Sequence[SamplingRequest]) -> list[list[Sample]]:
        """`n` samples for each request, in order."""
        if self.server is None:
            raise UserError("vLLM: weights are missing: call sync(policy) before sample")
        for request in requests:
            if (length := len(request.prompt) + self._max_tokens) > self._settings.max_model_len:
                raise UserError(
                    f"vLLM: a prompt of {len(request.prompt)} tokens and a response of "
                    f"{self._max_tokens} are {length}: expected at most "
                    f"{self._settings.max_model_len}, the server's limit"
                )
        samples: dict[tuple[int, int], Sample] = {}
        restarted = False
        while True:
            try:
                if self._unchecked and requests:
                    self._check(requests[0].prompt)
                asyncio.run(self._sample(requests, samples))
            except _DiedError as error:
                if restarted:
                    raise UserError(f"vLLM failed twice: {error}: see {self.log}") from error
                restarted = True
                self._restart(str(error))
                continue
            return [[samples[i, j] for j in range(request.n)] for i, request in enumerate(requests)]

    def close(self) -> None:
        """Stop the server, and remove its weight files."""
        if self.server:
            self.server.close()
            self.server = None
        shutil.rmtree(self._scratch, ignore_errors=True)

    # The server

    def _start(self) -> None:
        self.server = Server(
            *(self._weights, self._python, self._settings, self.log), scratch=self._scratch
        )
        self._cache_tokens = asyncio.run(self._read_cache_tokens())
        logger.info("vLLM: keys and values of %d tokens", self._cache_tokens)

    def _restart(self, reason: str) -> None:
        logger.warning("vLLM: %s; restarting it, its log is %s", reason, self.log)
        if self.server:
            self.server.close()
        self._unchecked = True
        self._start()

    async def _reload(self) -> None:
        """Replace the weights of the running server."""
        async with self._session() as session:
            body = {"method": "reload_weights", "kwargs": {"weights_path": str(self._weights)}}
            await self._post(session, "/collective_rpc", body)
            deadline = time.monotonic() + RESET_S
            while (await self._post(session, "/reset_prefix_cache", {})).get("success") is False:
                if time.monotonic() > deadline:
                    raise _DiedError(f"its prefix cache could not be emptied in {RESET_S:.0f} s")
                await asyncio.sleep(0.2)

    async def _read_cache_tokens(self) -> int:
        """The number of tokens that vLLM's cache holds, read from its metrics."""
        async with self._session() as session, session.get("/metrics") as reply:
            return cache_tokens(await reply.text())

    def _session(self) -> aiohttp.ClientSession:
        """A session without a total timeout and without a proxy."""
        assert self.server
        return aiohttp.ClientSession(
            self.server.url,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=30),
            connector=aiohttp.TCPConnector(limit=0),
            read_bufsize=2**20,
        )

    async def _post(self, session: aiohttp.ClientSession, path: str, body: Any) -> dict[str, Any]:
        try:
            async with session.post(path, json=body) as reply:
                text = await reply.text()
                _expect_ok(reply.status, path, text)
        except (aiohttp.ClientError, OSError) as error:
            raise _DiedError(f"{path}: {error or type(error).__name__}") from error
        return dict(json.loads(text)) if text else {}

    # The check

    def _check(self, prompt: list[int]) -> None:
        """Raise UserError if the server samples from other weights, also after a restart."""
        if mismatch := self._mismatch(prompt):
            self._restart(mismatch)
            if mismatch := self._mismatch(prompt):
                raise UserError(f"vLLM: {mismatch}, also after a restart: see {self.log}")
        self._unchecked = False

    def _mismatch(self, prompt: list[int]) -> str:
        """How the server's log-probabilities differ from the policy's; empty if they do not."""
        policy = self._policy
        assert policy
        sample = asyncio.run(self._sample_short(prompt))
        logprobs = policy.score(check_pack(prompt, sample))
        gaps = (logprobs - torch.tensor(sample.logprobs)).abs()
        exact = policy.dtype == torch.float32 and self._settings.precision == "float32"
        gap = float(gaps.max() if exact else gaps.mean())
        limit = FP32_GAP if exact else BF16_GAP
        logger.info("vLLM: gap to the policy %.2g nats", gap)
        if gap < limit:
            return ""
        return f"log-probabilities differ from the policy's by {gap:.3g} nats, more than {limit}"

    async def _sample_short(self, prompt: list[int]) -> Sample:
        async with self._session() as session:
            body = self._body(SamplingRequest(prompt, 1, seed=0))
            # The model's context may be too short for more than a response.
            body["max_tokens"] = min(CHECK_TOKENS, self._max_tokens)
            (sample,) = self._samples(await self._post(session, "/v1/completions", body))
            return sample

    # Sampling

    async def _sample(
        self, requests: Sequence[SamplingRequest], samples: dict[tuple[int, int], Sample]
    ) -> None:
        """Request the samples that are still missing; the first failure ends all requests."""
        longest = max((len(r.prompt) + r.n * self._max_tokens for r in requests), default=1)
        slots = asyncio.Semaphore(max(1, self._cache_tokens // longest))
        async with self._session() as session:

            async def sample_group(i: int, request: SamplingRequest) -> None:
                async with slots:
                    await self._sample_group(session, i, request, samples)

            missing = [
                asyncio.create_task(sample_group(i, request))
                for i, request in enumerate(requests)
                if any((i, j) not in samples for j in range(request.n))
            ]
            try:
                await asyncio.gather(*missing)
            finally:
                for task in missing:
                    task.cancel()
                await asyncio.gather(*missing, return_exceptions=True)

    async def _sample_group(
        self,
        session: aiohttp.ClientSession,
        i: int,
        request: SamplingRequest,
        samples: dict[tuple[int, int], Sample],
    ) -> None:
        if self._make_row is None:
            answer = await self._post(session, "/v1/completions", self._body(request))
            group = self._samples(answer)
            if len(group) != request.n:
                raise UserError(f"vLLM sent {len(group)} responses: expected {request.n}")
            samples.update({(i, j): sample for j, sample in enumerate(group)})
            return

        async def sample_one(j: int) -> None:
            single = SamplingRequest(request.prompt, 1, request.seed + j)
            samples[i, j] = await self._stream(session, single)

        await asyncio.gather(*(sample_one(j) for j in range(request.n) if (i, j) not in samples))

    async def _stream(self, session: aiohttp.ClientSession, request: SamplingRequest) -> Sample:
        """Stream one response, and stop it as soon as it is degenerate."""
        assert self._make_row
        row = self._make_row(0, self._max_tokens)
        body = self._body(request) | {"stream": True}
        finish: str | None = None
        try:
            async with session.post("/v1/completions", json=body) as reply:
                if reply.status != 200:
                    _expect_ok(reply.status, "/v1/completions", await reply.text())
                async for line in reply.content:
                    event = line.decode().removeprefix("data:").strip()
                    if not event or event == "[DONE]":
                        continue
                    (choice,) = _choices(json.loads(event))
                    for token, logprob in zip(*_tokens(choice), strict=True):
                        row.extend(token, logprob, self._ends)
                        if row.finish == "degenerate":
                            reply.close()  # vLLM drops a request whose connection is closed
                            return Sample(row.ids, row.logprobs, "degenerate")
                    finish = choice.get("finish_reason") or finish
        except (aiohttp.ClientError, OSError) as error:
            raise _DiedError(f"/v1/completions: {error or type(error).__name__}") from error
        return _sample(row.ids, row.logprobs, finish)

    def _body(self, request: SamplingRequest) -> dict[str, Any]:
        assert self.server
        return {
            "model": self.server.model,
            "prompt": request.prompt,
            "n": request.n,
            "seed": request.seed,
            "max_tokens": self._max_tokens,
            "temperature": self._temperature,
            "top_p": 1.0,
            "top_k": 0,  # off
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            # Only the given end tokens end a response, whatever the checkpoint says.
            "ignore_eos": True,
            "stop_token_ids": sorted(self._ends),
            "logprobs": 0,  # of the sampled token alone
            "return_token_ids": True,
        }

    def _samples(self, answer: dict[str, Any]) -> list[Sample]:
        choices = sorted(_choices(answer), key=lambda choice: choice["index"])
        return [_sample(*_tokens(choice), choice.get("finish_reason")) for choice in choices]


def _expect_ok(status: int, path: str, text: str) -> None:
    if status >= 500:
        raise _DiedError(f"{path}: {status} {text[:200]}")
    if status != 200:
        raise UserError(f"vLLM refused {path}: {status} {text[:300]}")


def _choices(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """An answer's responses; in a stream, an error comes as an event."""
    if "error" in answer:
        raise _DiedError(f"/v1/completions: {json.dumps(answer['error'])[:200]}")
    return list(answer["choices"])


def _tokens(choice: dict[str, Any]) -> tuple[list[int], list[float]]:
    """A response's token ids and their log-probabilities. Raises UserError if one is missing."""
    ids: list[int] | None = choice.get("token_ids")
    if ids is None:
        raise UserError("vLLM: token_ids are missing: expected a version that has return_token_ids")
    logprobs = (choice.get("logprobs") or {}).get("token_logprobs") or []
    if len(logprobs) != len(ids) or None in logprobs:
        raise UserError(f"vLLM sent {len(logprobs)} log-probabilities for {len(ids)} tokens")
    return ids, logprobs


def _sample(ids: list[int], logprobs: list[float], finish: str | None) -> Sample:
    if finish not in ("stop", "length"):  # "abort", "error", or None if a stream ended early
        raise _DiedError(f"a response ended with {finish!r}")
    return Sample(ids, logprobs, cast(Finish, finish))


def cache_tokens(metrics: str) -> int:
    """The number of tokens whose keys and values fit, from the text of /metrics."""
    info = re.search(r"^vllm:cache_config_info\{(.*)\}", metrics, re.MULTILINE)
    labels = dict(re.findall(r'(\w+)="([^"]*)"', info[1])) if info else {}
    try:
        return int(labels["num_gpu_blocks"]) * int(labels["block_size"])
    except (KeyError, ValueError) as error:
        raise UserError("vLLM: num_gpu_blocks or block_size is missing in /metrics") from error


def check_pack(prompt: list[int], sample: Sample) -> Pack:
    """A pack of one prompt with one response, all of whose tokens count."""
    response = GradedSample(sample, "", Grade(0.0, False, {}, (), None))
    group = Group(Puzzle("", id="check"), prompt, [response])
    (pack,) = pack_groups([group], len(prompt) + len(sample.ids), mask_truncated=False)
    return pack

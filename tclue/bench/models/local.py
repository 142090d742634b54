"""`hf:`: a checkpoint, a folder or a name on the Hugging Face hub, through transformers.

* The prompt is one user message in the checkpoint's own chat template, and is never cut. Where
  prompt and limit do not fit the model's context, the limit shrinks, and a response that reaches it
  ends with finish reason "context"; a prompt that leaves no room fails.
* Sampling is by temperature alone: top-k, top-p and whatever else `generation_config.json` asks
  for is ignored, except where it says which tokens end a text. Each response has a generator of
  its own, seeded by seed, puzzle and sample, so it does not depend on what shares its batch, but
  for rounding: batches of another shape round differently, and a near-tie may fall the other way.
* Batches are of prompts of like length, padded on the left; a prompt that several rows share is
  computed once, and rows that have ended leave together, when they are many enough to be worth it.
* A response's cost is its share of the wall time: each step's, divided by the rows that go on. It
  may be counted at a serverless tier's price for tokens instead, or at that of GPU-hours.
* Nothing is unpickled (safetensors only) and no code from a checkpoint is run.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tclue.bench.costs.cost import Usage
from tclue.bench.costs.price_book import local_prices
from tclue.bench.models.chat_template import (
    check_hub_name,
    end_tokens,
    hushed_transformers,
    no_template,
    prompt_ids,
)
from tclue.bench.models.model import DEFAULT_SEED, Completion, Request, ResolvedModel
from tclue.bench.options import BenchOptions
from tclue.errors import UserError

if TYPE_CHECKING:
    import torch

# The checkpoint that this package brings.
TINY = Path(str(files("tclue.bench") / "data" / "tiny"))
MAX_TOKENS = 2048
MAX_ROWS = 256
# Share of the rows of a batch that are left when those that have ended leave it: to take them out
# copies all keys and values.
KEPT = 0.85
# What a checkpoint folder answers by, and so what identifies it.
_CHECKPOINT_FILES = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt")


@dataclass
class _Row:
    """A response in the making."""

    ask: Request
    prompt: list[int]
    # most tokens it may take, and what it means to reach that: "length" or "context"
    limit: int
    at_limit: str
    dice: torch.Generator
    tokens: list[int] = field(default_factory=list)
    finish_reason: str | None = None
    compute_s: float = 0.0


class LocalModel:
    """A checkpoint. Making it reads its configuration and tokenizer; `open` loads the weights."""

    def __init__(self, name: str, options: BenchOptions) -> None:
        """Raises UserError where there is no such checkpoint, or it cannot be asked."""
        torch, transformers = _libraries()
        folder = Path(name).expanduser()
        self._name = str(folder) if folder.exists() else name
        if folder.exists():
            _check_folder(name, folder)
        else:
            check_hub_name(name, f"hf:{name}")
        with _told(name):
            config = transformers.AutoConfig.from_pretrained(self._name, trust_remote_code=False)
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(
                self._name, trust_remote_code=False
            )
        if not self._tokenizer.chat_template:
            raise no_template(f"hf:{name}")
        self._config = config.get_text_config()
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = options.dtype or ("bfloat16" if self._device == "cuda" else "float32")
        self._dtype = getattr(torch, dtype)
        greedy = options.samples == 1
        self.setup = ResolvedModel(
            variant="/".join(folder.resolve().parts[-2:]) if folder.exists() else name,
            prices=local_prices(options),
            seed=DEFAULT_SEED if options.seed is None else options.seed,
            temperature=(0.0 if greedy else 1.0)
            if options.temperature is None
            else options.temperature,
            max_tokens=options.max_tokens or MAX_TOKENS,
            concurrency=options.concurrency,
            checkpoint=fingerprint(folder) if folder.exists() else config._commit_hash,
            dtype=dtype,
            packages=("torch", "transformers"),
        )
        self._model: Any = None
        # One thread, so that torch keeps one pool of workers.
        self._thread = ThreadPoolExecutor(1)

    def open(self) -> None:
        """Load the weights."""
        _, transformers = _libraries()
        with _told(self._name):
            self._model = transformers.AutoModelForCausalLM.from_pretrained(
                self._name, dtype=self._dtype, use_safetensors=True, trust_remote_code=False
            )
        self._model.to(self._device).eval()
        self._ends = end_tokens(self._model.generation_config, self._tokenizer)

    def batches(self, asks: Sequence[Request]) -> Iterable[Sequence[Request]]:
        """Requests of like length together, the longest first, as many as memory allows."""
        from tclue.bench.models.kv_cache import kv_cache_capacity_tokens

        assert self.setup.max_tokens is not None
        lengths = {ask.puzzle.id: len(prompt_ids(self._tokenizer, ask.puzzle)) for ask in asks}
        left = sorted(asks, key=lambda ask: (-lengths[ask.puzzle.id], ask.puzzle.id, ask.sample))
        room_tokens = kv_cache_capacity_tokens(self._config, self._dtype, self._device)
        while left:
            longest = lengths[left[0].puzzle.id] + self.setup.max_tokens
            rows = self.setup.concurrency or max(1, min(MAX_ROWS, room_tokens // longest))
            yield left[:rows]
            left = left[rows:]

    async def ask(self, batch: Sequence[Request]) -> AsyncIterator[tuple[Request, Completion]]:
        """Answer a batch; each response as soon as its row ends."""
        start = time.perf_counter()
        rows = [self._row(ask) for ask in batch]
        for row in rows:
            if row.limit < 1:
                yield row.ask, self._no_room(row)
        steps = self._steps([row for row in rows if row.limit >= 1])
        loop = asyncio.get_running_loop()
        while (done := await loop.run_in_executor(self._thread, next, steps, None)) is not None:
            for row in done:
                yield row.ask, self._reply(row, time.perf_counter() - start)

    def _row(self, ask: Request) -> _Row:
        assert self.setup.max_tokens is not None
        prompt = prompt_ids(self._tokenizer, ask.puzzle)
        context = getattr(self._config, "max_position_embeddings", None)
        room = context - len(prompt) if context else self.setup.max_tokens
        limit = min(self.setup.max_tokens, room)
        return _Row(
            ask,
            prompt,
            limit,
            "length" if limit == self.setup.max_tokens else "context",
            self._dice(ask),
        )

    def _dice(self, ask: Request) -> torch.Generator:
        import torch

        name = f"{self.setup.seed}/{ask.puzzle.id}/{ask.sample}".encode()
        seed = int.from_bytes(hashlib.sha256(name).digest()[:7])
        return torch.Generator(self._device).manual_seed(seed)

    def _no_room(self, row: _Row) -> Completion:
        context = self._config.max_position_embeddings
        return Completion(
            usage=Usage(prompt_tokens=len(row.prompt)),
            error=f"the prompt has {len(row.prompt)} tokens: the model's context is {context}",
        )

    def _reply(self, row: _Row, latency_s: float) -> Completion:
        ended = row.finish_reason == "stop"
        return Completion(
            text=self._tokenizer.decode(
                row.tokens[:-1] if ended else row.tokens, skip_special_tokens=True
            ),
            finish_reason=row.finish_reason,
            usage=Usage(len(row.prompt), len(row.tokens)),
            latency_s=latency_s,
            compute_s=row.compute_s,
        )

    def _steps(self, rows: list[_Row]) -> Iterator[list[_Row]]:
        """Decode rows together, a token of each a step; yields the rows that a step ended."""
        import torch

        if not rows:
            return
        start = time.perf_counter()
        with torch.inference_mode():
            logits, cache, mask = self._prefill(rows)
        while True:
            with torch.inference_mode():
                tokens = self._pick(logits, rows)
                going = [row for row in rows if row.finish_reason is None]
                for row, token in zip(rows, tokens.tolist(), strict=True):
                    if row.finish_reason is None:
                        self._extend(row, token)
                kept = [i for i, row in enumerate(rows) if row.finish_reason is None]
                if 0 < len(kept) <= KEPT * len(rows):
                    at = torch.tensor(kept, dtype=torch.long, device=self._device)
                    cache.batch_select_indices(at)
                    tokens, mask, rows = tokens[at], mask[at], [rows[i] for i in kept]
            share_s = (time.perf_counter() - start) / len(going)
            for row in going:
                row.compute_s += share_s
            yield [row for row in going if row.finish_reason is not None]
            if not kept:
                return
            start = time.perf_counter()
            with torch.inference_mode():
                mask = torch.cat([mask, torch.ones_like(tokens[:, None])], dim=1)
                logits, cache = self._forward(tokens[:, None], mask, cache)

    def _prefill(self, rows: list[_Row]) -> tuple[torch.Tensor, Any, torch.Tensor]:
        """The logits after each row's prompt, its keys and values, its mask [row, position].

        A prompt that several rows share is computed once.
        """
        import torch

        from tclue.bench.models.kv_cache import padded_left, use_growing_cache

        prompts = list({row.ask.puzzle.id: row.prompt for row in rows}.values())
        place = {puzzle: i for i, puzzle in enumerate({row.ask.puzzle.id: 0 for row in rows})}
        ids, mask = padded_left(prompts, self._device)
        logits, cache = self._forward(ids, mask, None)
        if len(prompts) < len(rows):
            of_row = [place[row.ask.puzzle.id] for row in rows]
            at = torch.tensor(of_row, dtype=torch.long, device=self._device)
            cache.batch_select_indices(at)
            logits, mask = logits[at], mask[at]
        use_growing_cache(cache)
        return logits, cache, mask

    def _forward(
        self, ids: torch.Tensor, mask: torch.Tensor, cache: Any
    ) -> tuple[torch.Tensor, Any]:
        """The logits after the last of these tokens [row, token], and the longer cache."""
        from tclue.bench.models.kv_cache import next_token_logits

        positions = (mask.cumsum(-1) - 1)[:, -ids.shape[1] :].clamp(min=0)
        if context := getattr(self._config, "max_position_embeddings", None):
            # A row that has ended, and waits to leave, may be past the end.
            positions = positions.clamp(max=context - 1)
        return next_token_logits(self._model, ids, mask, positions, cache)

    def _pick(self, logits: torch.Tensor, rows: list[_Row]) -> torch.Tensor:
        """The next token of each row: logits [row, token] -> tokens [row]."""
        import torch

        temperature = self.setup.temperature
        if not temperature:
            return logits.argmax(-1)
        # By exponential races, p_i / E_i the largest (Gumbel's trick): the row's own generator
        # draws E, and rounding of p moves the choice as rarely as can be. In double, as a float E
        # may be 0.
        draws = [
            torch.empty(logits.shape[-1], dtype=torch.double, device=logits.device).exponential_(
                generator=row.dice
            )
            for row in rows
        ]
        return (logits.double() / temperature - torch.stack(draws).log()).argmax(-1)

    def _extend(self, row: _Row, token: int) -> None:
        row.tokens.append(token)
        if token in self._ends:
            row.finish_reason = "stop"
        elif len(row.tokens) >= row.limit:
            row.finish_reason = row.at_limit


def _libraries() -> tuple[Any, Any]:
    try:
        import torch

        return torch, hushed_transformers()
    except ImportError:
        raise UserError(
            "hf: models need torch and transformers: pip install 'tclue[local]'"
        ) from None


@contextmanager
def _told(name: str) -> Iterator[None]:
    """What transformers cannot load is told in one line."""
    try:
        yield
    except Exception as error:  # of many kinds, those of safetensors and tokenizers among them
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"hf:{name}: cannot be loaded: {reason}") from None


def _check_folder(name: str, folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise UserError(f"hf:{name}: no config.json: expected a transformers checkpoint's folder")
    if not list(folder.glob("*.safetensors")):
        raise UserError(
            f"hf:{name}: no .safetensors file: weights in other formats are not loaded, because "
            "a pickled one can run code"
        )


def fingerprint(folder: Path) -> str:
    """SHA-256 over the files that make up a checkpoint, their names included."""
    digest = hashlib.sha256()
    for path in sorted({p for pattern in _CHECKPOINT_FILES for p in folder.glob(pattern)}):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.name} {content}\n".encode())
    return digest.hexdigest()

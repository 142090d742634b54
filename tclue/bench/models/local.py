"""`hf:` and `train:` models: a checkpoint in a folder or on the hub, run with transformers.

* The prompt is one user message in the checkpoint's chat template, and is never cut. If the prompt
  and the limit together do not fit the model's context, the limit is reduced, and a response that
  reaches it ends with the finish reason "context". A prompt that fills the context fails.
* Sampling uses only the temperature. Everything else in `generation_config.json`, such as top-k and
  top-p, is ignored, except for the tokens that end a text. Each response has its own generator,
  seeded by seed, puzzle and sample, so it does not depend on the other rows of its batch. One
  exception is rounding: batches of another shape round differently, which can decide a near-tie.
* Nothing is unpickled (weights must be safetensors), and no code from a checkpoint is run.
* `train:RUN@STEP` is a checkpoint that a training run saved. The steps `best` and `last` are looked
  up in `kept.json` and recorded as a number, so they are one variant if they are one step.
* A step is never recorded under a wrong number: the checkpoint's `trainer/state.json` must have the
  number of its folder, and the weights that are loaded must be those that were hashed for
  `run.json`. The hash is part of the run's name, so other weights of the same step are another run.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import sys
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tclue.bench.costs.cost import Usage
from tclue.bench.costs.price_book import local_prices
from tclue.bench.models import loading
from tclue.bench.models.chat_template import (
    Thinking,
    check_hub_name,
    end_tokens,
    import_transformers_quietly,
    prompt_ids,
    prompts_sha256,
    seed_of,
)
from tclue.bench.models.model import (
    DEFAULT_SEED,
    CheckpointOrigin,
    Completion,
    Model,
    Request,
    ResolvedModel,
)
from tclue.bench.options import BenchOptions
from tclue.errors import UserError
from tclue.puzzle.puzzle import Puzzle
from tclue.trainers import (
    CheckpointState,
    TrainingRunManifest,
    checkpoints,
    read_checkpoint_state,
    read_manifest,
)

if TYPE_CHECKING:
    import torch

    from tclue.bench.models.decode import DecodingRow

PREFIX = "train:"
# The checkpoint that this package includes.
TINY = Path(str(files("tclue.bench") / "data" / "tiny"))
MAX_TOKENS = 2048
MAX_ROWS = 256
# Rows that have ended are removed once they are more than this share of the batch. It is just below
# 15%, so that exactly 15% is enough.
MAX_ENDED_SHARE = 0.1499
# The files of a checkpoint that determine its answers, and so identify it.
_CHECKPOINT_FILES = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt")


class LocalModel(Model):
    """A checkpoint. The constructor reads its configuration and tokenizer, `open` the weights."""

    def __init__(self, name: str, options: BenchOptions) -> None:
        """Raises UserError if there is no such checkpoint, or if it cannot be used."""
        try:
            import torch

            transformers = import_transformers_quietly()
        except ImportError:
            raise UserError(
                "hf: models need torch and transformers: pip install 'tclue[local]'"
            ) from None
        folder = Path(name).expanduser()
        self._name = str(folder) if folder.exists() else name
        if folder.exists():
            loading.check_folder(f"hf:{name}", folder)
        else:
            check_hub_name(name, f"hf:{name}")
        with loading.one_line_errors(f"hf:{name}"):
            config = transformers.AutoConfig.from_pretrained(self._name, trust_remote_code=False)
        self._tokenizer = loading.load_tokenizer(f"hf:{name}", self._name)
        self._thinking = Thinking(self._tokenizer)
        self._config = config.get_text_config()
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = options.dtype or ("bfloat16" if self._device == "cuda" else "float32")
        self._dtype = getattr(torch, dtype)
        temperature = 0.0 if options.samples == 1 else 1.0
        self.resolved = ResolvedModel(
            variant="/".join(folder.resolve().parts[-2:]) if folder.exists() else name,
            prices=local_prices(options),
            seed=DEFAULT_SEED if options.seed is None else options.seed,
            temperature=temperature if options.temperature is None else options.temperature,
            max_tokens=options.max_tokens or MAX_TOKENS,
            concurrency=options.concurrency,
            checkpoint=fingerprint(folder) if folder.exists() else config._commit_hash,
            dtype=dtype,
            packages=("torch", "transformers"),
        )
        self._model: Any = None
        # A single thread, so that torch keeps a single pool of workers.
        self._thread = ThreadPoolExecutor(1)

    def open(self) -> None:
        """Load the weights."""
        self._model = loading.load_model(f"hf:{self._name}", self._name, dtype=self._dtype)
        self._model.to(self._device).eval()
        self._end_ids = end_tokens(self._model.generation_config, self._tokenizer)

    def prompts_sha256(self, puzzles: Sequence[Puzzle]) -> str:
        """Hex SHA-256 of the prompts, as the chat template writes them today."""
        return prompts_sha256(self._tokenizer, puzzles, self._config)

    def batches(self, requests: Sequence[Request]) -> Iterable[Sequence[Request]]:
        """Batches of requests of similar length, the longest first, as large as memory allows."""
        from tclue.bench.models.memory import kv_cache_capacity_tokens

        assert self.resolved.max_tokens is not None
        lengths = {r.puzzle.id: len(prompt_ids(self._tokenizer, r.puzzle)) for r in requests}
        remaining = sorted(requests, key=lambda r: (-lengths[r.puzzle.id], r.puzzle.id, r.sample))
        capacity = kv_cache_capacity_tokens(self._config, self._dtype, self._device)
        while remaining:
            longest = lengths[remaining[0].puzzle.id] + self.resolved.max_tokens
            rows = self.resolved.concurrency or max(1, min(MAX_ROWS, capacity // longest))
            yield remaining[:rows]
            remaining = remaining[rows:]

    async def complete(self, batch: Sequence[Request]) -> AsyncIterator[tuple[Request, Completion]]:
        """Complete a batch. Yields each completion as soon as its row ends."""
        from tclue.bench.models.decode import DecodingRow, decode

        assert self.resolved.max_tokens is not None
        start = time.perf_counter()
        # most tokens of prompt and response together, if the model has such a limit
        context = getattr(self._config, "max_position_embeddings", None) or sys.maxsize
        # puzzle -> the token ids of its prompt, which its samples share
        prompts: dict[str, list[int]] = {}
        rows: list[DecodingRow] = []
        request_of_row: dict[int, Request] = {}
        for request in batch:
            prompt = prompt_ids(self._tokenizer, request.puzzle)
            limit = min(self.resolved.max_tokens, context - len(prompt))
            if limit < 1:
                error = f"the prompt has {len(prompt)} tokens: the model's context is {context}"
                yield request, Completion(usage=Usage(prompt_tokens=len(prompt)), error=error)
                continue
            prompts[request.puzzle.id] = prompt
            at_limit = "length" if limit == self.resolved.max_tokens else "context"
            row = DecodingRow(list(prompts).index(request.puzzle.id), limit, at_limit)
            rows.append(row)
            request_of_row[id(row)] = request
        if not rows:
            return
        generators = [self._generator(request) for request in request_of_row.values()]

        def draw(logits: torch.Tensor, numbers: list[int], _: int) -> tuple[torch.Tensor, None]:
            return self._next_tokens(logits, [generators[number] for number in numbers]), None

        ids = list(prompts.values())
        inside = {r.puzzle.id: self._thinking.begins_inside(r.puzzle) for r in batch}
        steps = decode(self._model, ids, rows, draw, self._end_ids, MAX_ENDED_SHARE, context)
        loop = asyncio.get_running_loop()
        while (ended := await loop.run_in_executor(self._thread, next, steps, None)) is not None:
            for row in ended:
                request = request_of_row[id(row)]
                said = row.ids[:-1] if row.finish == "stop" else row.ids
                text, reasoning = self._thinking.split(said, inside=inside[request.puzzle.id])
                completion = Completion(
                    latency_s=time.perf_counter() - start,
                    text=text,
                    reasoning=reasoning,
                    finish_reason=row.finish,
                    usage=Usage(len(ids[row.prompt]), len(row.ids)),
                    compute_s=row.compute_s,
                )
                yield request, completion

    def _generator(self, request: Request) -> torch.Generator:
        import torch

        seed = seed_of(f"{self.resolved.seed}/{request.puzzle.id}/{request.sample}")
        return torch.Generator(self._device).manual_seed(seed)

    def _next_tokens(self, logits: torch.Tensor, generators: list[torch.Generator]) -> torch.Tensor:
        """The next tokens [row], drawn from logits [row, vocab]."""
        import torch

        temperature = self.resolved.temperature
        if not temperature:
            return logits.argmax(-1)
        # Exponential races, a form of the Gumbel-max trick: with E_i ~ Exp(1), the token with the
        # largest p_i / E_i is a draw from p. The row's own generator draws E. Rounding of p changes
        # the choice very rarely. E is double, because a float E may be 0.
        draws = [
            torch.empty(logits.shape[-1], dtype=torch.double, device=logits.device).exponential_(
                generator=generator
            )
            for generator in generators
        ]
        return (logits.double() / temperature - torch.stack(draws).log()).argmax(-1)


def fingerprint(folder: Path) -> str:
    """Hex SHA-256 of the names and contents of the files that make up a checkpoint."""
    digest = hashlib.sha256()
    for path in sorted({p for pattern in _CHECKPOINT_FILES for p in folder.glob(pattern)}):
        try:
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:  # such as a link to a file that is no longer there
            raise UserError(f"{path}: cannot be read: {error.strerror}") from None
        digest.update(f"{path.name} {content}\n".encode())
    return digest.hexdigest()


class TrainedModel(LocalModel):
    """A saved step. Its weights are hashed again when they are loaded."""

    def __init__(self, name: str, options: BenchOptions) -> None:
        """`name` has no prefix. Raises UserError if there is no such run or no such step.

        The files of the base are read too, because their hash identifies its row on the board.
        """
        run, separator, step = name.rpartition("@")
        if not separator or not run:
            raise UserError(f"{PREFIX}{name}: expected {PREFIX}RUN@STEP")
        folder = _run_folder(run, options)
        iteration = _iteration(folder, f"{PREFIX}{run}", step)
        self._folder = checkpoints(folder)[iteration]
        state = read_checkpoint_state(self._folder)
        if state.iteration != iteration:
            raise UserError(
                f"{self._folder}: the iteration in trainer/state.json is {state.iteration}: "
                f"expected {iteration}, as in the folder's name"
            )
        super().__init__(str(self._folder), options)
        self.resolved = replace(
            self.resolved,
            variant=f"{folder.resolve().name}@{iteration}",
            model=f"{PREFIX}{run}@{iteration}",
            trained=_origin(folder, iteration, state, options),
        )

    def open(self) -> None:
        """Load the weights. Raises UserError if they are not those that were hashed."""
        super().open()
        if fingerprint(self._folder) != self.resolved.checkpoint:
            raise UserError(
                f"{self._folder}: it changed after this command began: wait until its training "
                "has ended, then give the same command again"
            )


def _run_folder(run: str, options: BenchOptions) -> Path:
    for folder in (options.runs / run, Path(run).expanduser()):
        if folder.is_dir():
            return folder
    names = sorted(path.parent.name for path in options.runs.glob("*/kept.json"))
    hint = ", or one of " + ", ".join(names) if names else ""
    raise UserError(
        f"{PREFIX}{run}: no such training run in {options.runs}: expected the name of one, or a "
        f"path{hint}"
    )


def _iteration(folder: Path, name: str, step: str) -> int:
    """The iteration that a step's text means. Raises UserError if its checkpoint is missing."""
    kept = checkpoints(folder)
    if step in ("best", "last"):
        manifest = read_manifest(folder)
        iteration = manifest.last if step == "last" or manifest.best is None else manifest.best
        if step == "best" and manifest.best is None:
            raise UserError(f"{name}@best: there was no validation yet: expected {name}@last")
    elif re.fullmatch(r"\d{1,9}", step):
        iteration = int(step)
    else:
        raise UserError(f"{name}@{step}: expected the number of a step, best or last")
    if iteration not in kept:
        hint = f"expected one of {', '.join(map(str, kept))}" if kept else "it has no steps"
        raise UserError(f"{name}@{step}: step {iteration} is not in {folder}: {hint}")
    return iteration


def _origin(
    folder: Path, iteration: int, state: CheckpointState, options: BenchOptions
) -> CheckpointOrigin:
    """The origin of a step, and the time and cost of training up to it, as far as known."""
    run = folder.resolve().name
    if not (folder / "kept.json").exists():
        return CheckpointOrigin(run, iteration)
    manifest = read_manifest(folder)
    seconds = manifest.training_s if state.trained_s is None else state.trained_s
    cost_usd, price = manifest.training_usd, manifest.price
    if cost_usd is not None and seconds is not None and manifest.training_s:
        cost_usd *= seconds / manifest.training_s  # the cost in `kept.json` is that of all steps
    if cost_usd is None and seconds is not None and price and price.machine_hour_usd:
        cost_usd = seconds / 3600 * price.machine_hour_usd
    base = base_checkpoint(manifest, options)
    return CheckpointOrigin(run, iteration, manifest.base, base, manifest.preset, seconds, cost_usd)


def base_checkpoint(manifest: TrainingRunManifest, options: BenchOptions) -> str | None:
    """The hash of the base's files when training began, or now; None if unknown."""
    if manifest.base_checkpoint:
        return manifest.base_checkpoint
    if manifest.base == "tiny":
        return fingerprint(TINY)
    if manifest.base.startswith(PREFIX):
        return TrainedModel(manifest.base.removeprefix(PREFIX), options).resolved.checkpoint
    folder = Path(manifest.base.removeprefix("hf:")).expanduser()
    return fingerprint(folder) if folder.is_dir() else None

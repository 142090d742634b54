"""Train the tiny checkpoint: about a million parameters that can reason and often do not.

    python scripts/tiny/train.py --out DIR --minutes 70 --seed 1

A Qwen2 model is trained with cross-entropy on the response only, on puzzles of the `easy` size. Its
responses are careful transcripts (see `transcript.py`) and hasty ones, which are only the answers.
Until the last tenth of the time few are hasty, because the careful ones are harder to learn; then
as many as the options say, and more for puzzles with two times than with one. So the model is above
chance and far below what it can do when it is careful, which reinforcement learning can discover.
At the beginning some responses only repeat the prompt, because copying names is needed for
everything else, and this teaches it in minutes.

Matrices are optimized by Muon (Jordan et al., 2024), the rest by AdamW. The learning rate warms up,
is constant, and falls to zero over the last third. Progress is counted in minutes of training. With
the same --out, a run that was stopped resumes from its last checkpoint, also with more --minutes or
other --hasty shares. DIR has the pool of puzzles, the state, and the model with its tokenizer;
nothing in it is pickled. On a shared machine, several processes with one thread each are faster
than one process with several threads:

    OMP_NUM_THREADS=1 torchrun --nproc-per-node 3 scripts/tiny/train.py --out DIR --minutes 70
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.distributed as dist
import vocabulary
from circuits import BLOCKS, ROPE_BASE, write_circuits
from examples import Example, Examples, Mix, make_pool
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import GenerationConfig, Qwen2Config, Qwen2ForCausalLM, Qwen2Tokenizer

MATRIX_LR = 0.02
VECTOR_LR = 3e-3
COPIES = 0.3  # share of responses that only repeat the prompt while copying is learned
COPYING = 0.1  # share of the time that this takes
FINISH = 0.1  # share of the time with as many hasty transcripts as the options say


def build_model(tokenizer: Qwen2Tokenizer, hidden: int, layers: int) -> Qwen2ForCausalLM:
    """A Qwen2 model with five heads and an untied output matrix, with new random weights."""
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=3 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=BLOCKS,
        num_key_value_heads=BLOCKS,
        max_position_embeddings=4096,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_BASE},
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = Qwen2ForCausalLM(config)
    write_circuits(model)
    return model


class Muon:
    """Muon: momentum on matrices, with each update orthogonalized by a Newton-Schulz iteration."""

    def __init__(self, matrices: dict[str, nn.Parameter]) -> None:
        self.matrices = matrices
        self.momentum = {name: torch.zeros_like(p) for name, p in matrices.items()}

    @torch.no_grad()
    def step(self, rate: float, momentum: float = 0.95) -> None:
        """Apply the gradients and delete them. Each worker updates a share of the matrices."""
        workers, rank = dist_size(), dist_rank()
        updates = []
        for i, (name, matrix) in enumerate(self.matrices.items()):
            assert matrix.grad is not None
            moving = self.momentum[name].mul_(momentum).add_(matrix.grad)
            mine = i % workers == rank
            update = (
                orthogonal(matrix.grad + momentum * moving) if mine else torch.zeros_like(matrix)
            )
            updates.append(update.flatten())
            matrix.grad = None
        flat = torch.cat(updates)
        if workers > 1:
            dist.all_reduce(flat)
        sizes = [matrix.numel() for matrix in self.matrices.values()]
        for matrix, update in zip(self.matrices.values(), torch.split(flat, sizes), strict=True):
            rows, columns = matrix.shape
            scale = rate * max(1.0, rows / columns) ** 0.5
            matrix.mul_(1 - 0.01 * rate).sub_(update.view_as(matrix), alpha=scale)


def dist_size() -> int:
    """Number of workers."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def dist_rank() -> int:
    """The number of this worker, from 0."""
    return int(os.environ.get("RANK", "0"))


def orthogonal(matrix: Tensor) -> Tensor:
    """Approximately the nearest orthogonal matrix, by five steps of the quintic of Jordan et al."""
    rows, columns = matrix.shape
    x: Tensor = matrix / (matrix.norm() + 1e-7)
    if rows > columns:
        x = x.T
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.T if rows > columns else x


def pad(batch: list[Example], tokenizer: Qwen2Tokenizer) -> tuple[Tensor, Tensor]:
    """Token ids [example, token], and whether the token after each position counts in the loss."""
    longest = max(len(example.ids) for example in batch)
    ids = torch.full((len(batch), longest), int(tokenizer.pad_token_id))
    learned = torch.zeros(len(batch), longest, dtype=torch.bool)
    for row, example in enumerate(batch):
        ids[row, : len(example.ids)] = torch.from_numpy(example.ids).long()
        learned[row, example.start - 1 : len(example.ids) - 1] = True
    return ids, learned


def response_loss(model: Qwen2ForCausalLM, ids: Tensor, learned: Tensor) -> Tensor:
    """Summed cross-entropy in nats of the responses' tokens.

    It is a sum, so that each token counts the same in batches of short and of long responses. With
    means, hasty responses would have several times the weight of their share. Padding is at the
    end, where causal attention does not see it, so no mask is needed.
    """
    hidden = model.model(input_ids=ids).last_hidden_state
    targets = ids.roll(-1, dims=1)[learned]
    logits: Tensor = model.lm_head(hidden[learned])
    return nn.functional.cross_entropy(logits, targets, reduction="sum")


def rate_at(progress: float, step: int) -> float:
    """The learning rate as a share of its maximum: warm-up, constant, fall over the last third."""
    return min(1.0, (step + 1) / 50) * min(1.0, max(0.0, 1 - progress) / 0.35)


class Training:
    """A model in training, with everything that a checkpoint needs."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.out: Path = args.out
        self.out.mkdir(parents=True, exist_ok=True)
        self.tokenizer = vocabulary.build()
        self.workers, self.rank = dist_size(), dist_rank()
        torch.manual_seed(args.seed)
        self.model = build_model(self.tokenizer, args.hidden, args.layers)
        parameters = dict(self.model.named_parameters())
        matrices = {n: p for n, p in parameters.items() if ".layers." in n and p.ndim == 2}
        self.muon = Muon(matrices)
        self.adam = torch.optim.AdamW(
            [p for n, p in parameters.items() if n not in matrices], betas=(0.9, 0.98)
        )
        self.steps = self.seen = 0
        self.minutes = 0.0
        self.tokens = 0

    def save(self) -> None:
        """Write the state, then the model in the format of transformers."""
        tensors = {f"model.{n}": p.detach() for n, p in self.model.named_parameters()}
        tensors |= {f"muon.{n}": m for n, m in self.muon.momentum.items()}
        for number, state in self.adam.state_dict()["state"].items():
            tensors |= {f"adam.{number}.{name}": value for name, value in state.items()}
        counts = {"steps": self.steps, "seen": self.seen, "tokens": self.tokens}
        metadata = {"minutes": str(self.minutes)} | {n: str(c) for n, c in counts.items()}
        save_file(tensors, self.out / "state.new", metadata)
        (self.out / "state.new").replace(self.out / "state.safetensors")
        save_model(self.model, self.tokenizer, self.out / "model", self.args.sharpness)

    def resume(self) -> None:
        """Load the last checkpoint, if there is one."""
        path = self.out / "state.safetensors"
        if not path.exists():
            return
        tensors = load_file(path)
        for name, parameter in self.model.named_parameters():
            parameter.data.copy_(tensors[f"model.{name}"])
        for name, momentum in self.muon.momentum.items():
            momentum.copy_(tensors[f"muon.{name}"])
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith("adam."):
                _, number, field = name.split(".")
                state.setdefault(int(number), {})[field] = value
        self.adam.load_state_dict(self.adam.state_dict() | {"state": state})
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        counts = header["__metadata__"]
        self.steps, self.seen = int(counts["steps"]), int(counts["seen"])
        self.tokens, self.minutes = int(counts["tokens"]), float(counts["minutes"])

    def batches(self) -> Iterator[list[Example]]:
        """An endless stream of batches. A resumed run draws other batches than before."""
        args = self.args
        pool = make_pool(self.out / f"pool-{args.pool}.safetensors", args.pool, self.tokenizer)
        examples = Examples(pool, self.tokenizer, (args.seed, self.rank, self.steps))
        while True:
            yield from examples.batches(args.batch_tokens, self.mix())

    def mix(self) -> Mix:
        """The shares of the kinds of responses at this time of the training."""
        progress = self.minutes / self.args.minutes
        if progress >= 1 - FINISH:
            return Mix(self.args.hasty_short, self.args.hasty_long)
        few = self.args.hasty_early
        return Mix(few, few, COPIES if progress < COPYING else 0.0)

    def step(self, batch: list[Example]) -> float:
        """One update. Returns the loss in nats per token."""
        rate = rate_at(self.minutes / self.args.minutes, self.steps)
        ids, learned = pad(batch, self.tokenizer)
        loss = response_loss(self.model, ids, learned)
        # About half of the tokens count in the loss.
        torch.autograd.backward(loss / (self.args.batch_tokens / 2))
        tokens = sum(len(example.ids) for example in batch)
        counts = torch.tensor([loss.item(), int(learned.sum()), len(batch), tokens])
        if self.workers > 1:
            counts = self.share(counts)
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.muon.step(MATRIX_LR * rate)
        for group in self.adam.param_groups:
            group["lr"] = VECTOR_LR * rate
        self.adam.step()
        self.adam.zero_grad()
        self.steps += 1
        self.seen += int(counts[2])
        self.tokens += int(counts[3])
        return float(counts[0] / counts[1])

    def share(self, counts: Tensor) -> Tensor:
        """Average the gradients over all workers, and sum their counts."""
        parameters = list(self.model.parameters())
        gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
        flat = torch.cat([*(g.flatten() for g in gradients), counts])
        dist.all_reduce(flat)
        sizes = [g.numel() for g in gradients]
        for parameter, part in zip(
            parameters, torch.split(flat, [*sizes, len(counts)]), strict=False
        ):
            parameter.grad = part.view_as(parameter) / self.workers
        return flat[sum(sizes) :]

    def clock(self, minutes: float) -> None:
        """Add to the minutes of training, by the clock of the first worker."""
        elapsed = torch.tensor([minutes], dtype=torch.float64)
        if self.workers > 1:
            dist.broadcast(elapsed, 0)
        self.minutes += elapsed.item()

    def run(self) -> None:
        """Train until the minutes are over, and save regularly."""
        losses: list[float] = []
        saved = self.minutes
        batches = self.batches()
        while self.minutes < self.args.minutes:
            batch = next(batches)
            start = time.monotonic()
            losses.append(self.step(batch))
            self.clock((time.monotonic() - start) / 60)
            if self.steps % self.args.log_steps == 0 and self.rank == 0:
                speed = self.tokens / self.minutes / 60
                print(
                    f"{self.minutes:.1f} min, step {self.steps}, {self.seen} examples, "
                    f"{speed:.0f} tokens/s, loss {sum(losses) / len(losses):.4f}",
                    flush=True,
                )
                losses.clear()
            if self.minutes > saved + self.args.save_minutes and self.rank == 0:
                self.save()
                saved = self.minutes
        if self.rank == 0:
            self.save()


def save_model(
    model: Qwen2ForCausalLM, tokenizer: Qwen2Tokenizer, folder: Path, sharpness: float
) -> None:
    """Write weights, configuration, tokenizer and generation settings.

    The output matrix is multiplied by `sharpness`, so sampling at temperature 1 is the same as
    sampling the trained model at temperature 1 / sharpness.
    """
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        max_new_tokens=512,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    weights = model.state_dict()
    weights["lm_head.weight"] = sharpness * weights["lm_head.weight"]
    model.save_pretrained(folder, state_dict=weights)
    tokenizer.save_pretrained(folder)


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write and to resume")
    parser.add_argument("--minutes", type=float, default=70, help="of training, in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pool", type=int, default=20_000, help="puzzles to make")
    parser.add_argument("--hidden", type=int, default=160)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--batch-tokens", type=int, default=8192)
    parser.add_argument("--hasty-early", type=float, default=0.1, help="share before the end")
    parser.add_argument("--hasty-short", type=float, default=0.4, help="of one-time puzzles")
    parser.add_argument("--hasty-long", type=float, default=0.7, help="of two-time puzzles")
    parser.add_argument("--sharpness", type=float, default=1.8, help="1 / temperature, built in")
    parser.add_argument("--log-steps", type=int, default=50, help="between lines of the log")
    parser.add_argument("--save-minutes", type=float, default=3, help="between checkpoints")
    return parser.parse_args()


if __name__ == "__main__":
    if dist_size() > 1:
        dist.init_process_group("gloo")
    training = Training(parse_args())
    training.resume()
    training.run()

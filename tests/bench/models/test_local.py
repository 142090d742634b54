"""Local checkpoints: a real tiny Qwen2 with random weights, through the whole path."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from bench_support import Silent, bench, the_run, write_puzzles

from tclue.bench.models.chat_template import prompt_ids
from tclue.bench.models.model import Request
from tclue.bench.records import Run
from tclue.bench.runs.run import BenchOptions, run_models
from tclue.errors import UserError

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

pytestmark = pytest.mark.model

CONTEXT = 4096
TEMPLATE = (
    "{% for m in messages %}<|start|>{{ m['role'] }}\n{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)


def write_checkpoint(folder: Path, **changes: Any) -> Path:
    """A Qwen2 of 90,000 random weights that ends most texts itself."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    prompts = [puzzle.prompt for puzzle in write_puzzles(folder.parent, 6)[1]]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=1022, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(prompts, trainer)
    tokenizer.add_special_tokens([AddedToken(t, special=True) for t in ("<|start|>", "<|end|>")])
    wrapped = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|end|>", chat_template=TEMPLATE
    )
    config = transformers.Qwen2Config(
        vocab_size=len(wrapped),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=False,
        initializer_range=0.5,  # large: logits far from ties, texts that differ by prompt
        bos_token_id=None,
        eos_token_id=wrapped.eos_token_id,
        **changes,
    )
    torch.manual_seed(0)
    model = transformers.Qwen2ForCausalLM(config)
    model.lm_head.weight.data[wrapped.eos_token_id] *= 2.5  # so that some texts end, and at odds
    # What greedy decoding ignores, and sampling here ignores too.
    model.generation_config.update(do_sample=True, top_k=1, temperature=0.01)
    model.save_pretrained(folder)
    wrapped.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def puzzles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_puzzles(tmp_path_factory.mktemp("puzzles"), 6)[0]


def texts(run: Run) -> dict[tuple[str, int], str]:
    return {response.pair: response.text for response in run.responses}


@pytest.mark.slow
@pytest.mark.parametrize(("samples", "temperature"), [(1, 0.0), (3, 1.0)])
def test_a_text_does_not_depend_on_its_batch(
    checkpoint: Path, puzzles: Path, tmp_path: Path, samples: int, temperature: float
) -> None:
    all_texts = []
    for rows in (1, 4, 18):
        results = tmp_path / str(rows)
        options = {"samples": samples, "concurrency": rows, "max_tokens": 24}
        summary = bench(f"hf:{checkpoint}", puzzles, results, **options)
        assert summary.responses == 6 * samples
        run = the_run(results)
        assert run.config.temperature == temperature  # the default
        all_texts.append(texts(run))
    assert all_texts[0] == all_texts[1] == all_texts[2]
    assert len(set(all_texts[0].values())) > 4
    ends = {response.usage.completion_tokens for response in run.responses}
    assert len(ends) > 1  # rows left the batch while others went on


@pytest.mark.slow
def test_greedy_is_what_transformers_generates(
    checkpoint: Path, puzzles: Path, tmp_path: Path
) -> None:
    from tclue.bench.models.local import LocalModel

    bench(f"hf:{checkpoint}", puzzles, tmp_path / "r", max_tokens=30)
    model = transformers.AutoModelForCausalLM.from_pretrained(checkpoint)
    local = LocalModel(str(checkpoint), BenchOptions())
    tokenizer = local._tokenizer
    by_id = texts(the_run(tmp_path / "r"))
    for puzzle in write_puzzles(tmp_path, 6)[1]:
        prompt = prompt_ids(local._tokenizer, puzzle)
        assert (
            tokenizer.decode(prompt) == f"<|start|>user\n{puzzle.prompt}<|end|><|start|>assistant\n"
        )
        ids = model.generate(torch.tensor([prompt]), do_sample=False, max_new_tokens=30)
        generated = tokenizer.decode(ids[0, len(prompt) :], skip_special_tokens=True)
        assert by_id[puzzle.id, 0] == generated


def test_sampling_follows_the_softmax(checkpoint: Path) -> None:
    from tclue.bench.models.local import LocalModel

    (puzzle,) = write_puzzles(checkpoint.parent, 1)[1]
    model = LocalModel(str(checkpoint), BenchOptions(temperature=0.5))
    chances = torch.tensor([0.5, 0.3, 0.2, 0.0])
    logits = chances.log().repeat(4000, 1) * 0.5 + 7.0
    generators = [model._generator(Request(puzzle, sample)) for sample in range(4000)]
    counts = torch.bincount(model._next_tokens(logits, generators), minlength=4) / 4000
    assert counts.tolist() == pytest.approx(chances.tolist(), abs=0.03)
    assert counts[3] == 0


def test_seeds_and_samples_differ(checkpoint: Path, puzzles: Path, tmp_path: Path) -> None:
    for seed in (0, 1):
        options = {"samples": 2, "seed": seed, "max_tokens": 24, "limit": 2}
        bench(f"hf:{checkpoint}", puzzles, tmp_path / str(seed), **options)
    first, second = (texts(the_run(tmp_path / str(seed))) for seed in (0, 1))
    assert len({*first.values(), *second.values()}) == 8


def test_what_is_recorded(checkpoint: Path, puzzles: Path, tmp_path: Path) -> None:
    options = {"samples": 4, "max_tokens": 60, "hour_usd": 36.0}
    summary = bench(f"hf:{checkpoint}", puzzles, tmp_path / "r", **options)
    run = the_run(tmp_path / "r")
    assert run.config.variant == "/".join(checkpoint.parts[-2:])
    assert (run.config.dtype, run.config.max_tokens, run.config.seed) == ("float32", 60, 0)
    assert set(run.config.versions) == {"python", "tclue", "torch", "transformers"}
    reasons = {response.finish_reason for response in run.responses}
    assert reasons == {"stop", "length"}
    for response in run.responses:
        assert response.usage.prompt_tokens
        assert response.usage.prompt_tokens > 100
        assert response.compute_s
        assert response.cost_usd == pytest.approx(response.compute_s * 0.01)
        assert response.latency_s >= response.compute_s
        assert (response.outcome == "truncated") == (response.finish_reason == "length")
        assert "<|" not in response.text
    assert summary.cost_usd
    assert summary.cost_usd > 0


def test_a_broken_off_run_is_taken_up(checkpoint: Path, puzzles: Path, tmp_path: Path) -> None:
    options = {"samples": 2, "max_tokens": 24}
    bench(f"hf:{checkpoint}", puzzles, tmp_path / "whole", **options)
    shutil.copytree(tmp_path / "whole", tmp_path / "part")
    (path,) = (tmp_path / "part").glob("*/responses.jsonl")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:5]))
    bench(f"hf:{checkpoint}", puzzles, tmp_path / "part", **options)
    unbroken, resumed = the_run(tmp_path / "whole"), the_run(tmp_path / "part")
    assert resumed.responses[:5] == unbroken.responses[:5]
    assert texts(resumed) == texts(unbroken)


def test_other_weights_are_another_run(checkpoint: Path, puzzles: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(checkpoint, tmp_path / "elsewhere" / checkpoint.parent.name / "tiny")
    options = {"limit": 1, "max_tokens": 5}
    bench(f"hf:{checkpoint}", puzzles, tmp_path / "r", **options)
    bench(f"hf:{moved}", puzzles, tmp_path / "r", **options)
    assert len(list((tmp_path / "r").iterdir())) == 1
    with (moved / "model.safetensors").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x01")
    bench(f"hf:{moved}", puzzles, tmp_path / "r", **options)
    assert len(list((tmp_path / "r").iterdir())) == 2


def test_the_context_ends_a_text_and_is_never_cut_from_a_prompt(
    checkpoint: Path, puzzles: Path, tmp_path: Path
) -> None:
    bench(f"hf:{checkpoint}", puzzles, tmp_path / "long", max_tokens=4)
    tokens = [
        response.usage.prompt_tokens or 0 for response in the_run(tmp_path / "long").responses
    ]
    context = sorted(tokens)[3] + 3
    short = shutil.copytree(checkpoint, tmp_path / "short")
    config = json.loads((short / "config.json").read_text())
    (short / "config.json").write_text(json.dumps(config | {"max_position_embeddings": context}))
    bench(f"hf:{short}", puzzles, tmp_path / "r", max_tokens=4)
    for response in the_run(tmp_path / "r").responses:
        available = context - (response.usage.prompt_tokens or 0)
        if available < 1:
            assert response.outcome == "failed"
            assert f"the model's context is {context}" in (response.error or "")
        elif available < 4:
            assert (response.outcome, response.finish_reason) == ("truncated", "context")
            assert response.usage.completion_tokens == available
        else:
            assert response.finish_reason == "length"
    outcomes = [response.outcome for response in the_run(tmp_path / "r").responses]
    assert sorted(set(outcomes)) == ["failed", "truncated"]


def error_of(model: str, puzzles: Path, results: Path) -> str:
    with pytest.raises(UserError) as error:
        run_models([model], BenchOptions(puzzles=str(puzzles), results=results), Silent())
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_cannot_be_asked(checkpoint: Path, puzzles: Path, tmp_path: Path) -> None:
    bare = shutil.copytree(checkpoint, tmp_path / "bare")
    (bare / "chat_template.jinja").unlink()
    assert "no chat template" in error_of(f"hf:{bare}", puzzles, tmp_path / "r")
    pickled = shutil.copytree(checkpoint, tmp_path / "pickled")
    weights = transformers.AutoModelForCausalLM.from_pretrained(checkpoint).state_dict()
    torch.save(weights, pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    assert "no .safetensors file" in error_of(f"hf:{pickled}", puzzles, tmp_path / "r")
    (pickled / "adapter.safetensors").write_bytes(b"")
    assert "cannot be loaded" in error_of(f"hf:{pickled}", puzzles, tmp_path / "pickled-results")
    (pickled / "config.json").unlink()
    assert "no config.json" in error_of(f"hf:{pickled}", puzzles, tmp_path / "r")
    coded = shutil.copytree(checkpoint, tmp_path / "coded")
    config = json.loads((coded / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Own"}}
    (coded / "config.json").write_text(json.dumps(config))
    (coded / "own.py").write_text("raise SystemExit('code of a checkpoint was run')")
    assert "cannot be loaded" in error_of(f"hf:{coded}", puzzles, tmp_path / "r")
    assert not (tmp_path / "r").exists()
    torn = shutil.copytree(checkpoint, tmp_path / "torn")
    (torn / "model.safetensors").write_bytes(b"rubbish" * 9)
    assert "cannot be loaded" in error_of(f"hf:{torn}", puzzles, tmp_path / "r")


def test_a_hub_name_that_cannot_be_had(
    puzzles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "no such folder" in error_of("hf:./nothing", puzzles, tmp_path / "r")
    assert "hf:nobody/nothing" in error_of("hf:nobody/nothing", puzzles, tmp_path / "r")


def test_a_model_that_takes_no_cache_is_refused() -> None:
    class Forgetful:
        def forward(self, input_ids: Any) -> Any:
            return input_ids

    from tclue.bench.models.decode import next_token_logits

    ids = torch.ones(1, 1, dtype=torch.long)
    with pytest.raises(UserError, match="Forgetful takes none of cache, past_key_values"):
        next_token_logits(Forgetful(), ids, ids, 1, None)

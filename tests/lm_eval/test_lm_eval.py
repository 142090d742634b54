"""The lm-eval tasks: what they share with bench, and how lm-eval comes to find them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]
from lm_eval_support import LIMIT, Installed, bench, compare, evaluate, install
from places import ROOT

from tclue.bench.models.local import MAX_TOKENS
from tclue.errors import UserError
from tclue.lm_eval import (
    dataset,
    process_results,
    register,
    run,
    tasks_folder,
    unregister,
)
from tclue.puzzle.grading.grade import GRADERS
from tclue.puzzle.puzzle import BANDS, Puzzle
from tclue.puzzle.puzzle import band as band_of
from tclue.puzzle.splits import load_set

pytestmark = pytest.mark.model

TINY = ROOT / "tclue" / "bench" / "data" / "tiny"
TINY_TOKENS = 512


@pytest.fixture
def installed(tmp_path: Path) -> Installed:
    return install(tmp_path)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Qwen2 checkpoint with random weights, a tokenizer of its own, and a chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM, set_seed

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<|user|>", "<|assistant|>", "<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([p.prompt for p in load_set("easy-val").puzzles], trainer)
    fast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|end|>"
    )
    fast.chat_template = (
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    set_seed(0)
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(fast),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=8192,
            tie_word_embeddings=False,
            # Larger than usual, so that texts differ and no two tokens are nearly as likely.
            initializer_range=0.5,
            bos_token_id=None,
            eos_token_id=fast.eos_token_id,
        )
    )
    path = tmp_path_factory.mktemp("checkpoint")
    model.save_pretrained(path)
    fast.save_pretrained(path)
    return path


def hf(checkpoint: Path, tokens: int) -> tuple[str, ...]:
    """The arguments that have a checkpoint answer."""
    return (
        *("--model", "hf", "--model_args", f"pretrained={checkpoint},dtype=float32"),
        *("--batch_size", str(LIMIT), "--device", "cpu", "--gen_kwargs", f"max_gen_toks={tokens}"),
    )


@pytest.mark.slow
@pytest.mark.server
def test_registered_it_answers_as_in_bench(
    installed: Installed, checkpoint: Path, tmp_path: Path
) -> None:
    """Plain lm_eval, on random weights: garbage, but the same garbage; four kinds where sampled."""
    assert installed.tclue("--register").returncode == 0
    tasks = "temporal_clue,temporal_clue_avg4"
    evaluated = evaluate(installed, "lm_eval", *hf(checkpoint, 48), tasks=tasks)
    greedy = evaluated["temporal_clue"]
    assert len({sample["resps"][0][0] for sample in greedy.samples}) > LIMIT // 2
    responses = bench(f"hf:{checkpoint}", "test", tmp_path / "results", max_tokens=48)
    compare(greedy, responses, "test")
    sampled = evaluated["temporal_clue_avg4"]
    assert all(len(set(sample["resps"][0])) == 4 for sample in sampled.samples)
    assert isinstance(sampled.metrics["accuracy_stderr,avg@4"], float)


@pytest.mark.slow
@pytest.mark.server
def test_unregistered_it_scores_as_in_bench(installed: Installed, tmp_path: Path) -> None:
    """`tclue lm-eval`, on the shipped checkpoint, whose answers are worth something."""
    module = ("tclue", "lm-eval", *hf(TINY, TINY_TOKENS))
    easy = evaluate(installed, *module, tasks="temporal_clue_easy")["temporal_clue_easy"]
    assert easy.metrics["accuracy,none"] > 0
    assert easy.metrics["published_accuracy,none"] > 0
    responses = bench(f"hf:{TINY}", "easy-test", tmp_path / "results", max_tokens=TINY_TOKENS)
    compare(easy, responses, "easy-test")


@pytest.mark.slow
def test_bands_are_the_tasks_of_the_group() -> None:
    """Every puzzle of `test` is in one of them, and in that of its size."""
    folder = tasks_folder() / "temporal_clue"
    group = yaml.safe_load((folder / "temporal_clue_by_difficulty.yaml").read_text())
    assert group["task"] == [f"temporal_clue_{band.replace(' ', '_')}" for band in BANDS]
    prompts = []
    for name, band in zip(group["task"], BANDS, strict=True):
        task = yaml.safe_load((folder / f"{name}.yaml").read_text())
        assert task["task"] == name
        assert task["dataset_kwargs"] == {"puzzles": "test", "shots": "val", "band": band}
        asked = dataset(**task["dataset_kwargs"])["test"]["prompt"]
        assert {band_of(Puzzle(prompt).num_clues) for prompt in asked} == {band}
        prompts += asked
    assert sorted(prompts) == sorted(puzzle.prompt for puzzle in load_set("test").puzzles)


@pytest.mark.slow
def test_documents_are_the_puzzles() -> None:
    puzzles = load_set("easy-test").puzzles
    documents = dataset("easy-test", "easy-val", version=1.0, pretrained="model")
    assert documents["test"]["prompt"] == [puzzle.prompt for puzzle in puzzles]
    assert not set(documents["test"]["prompt"]) & set(documents["shots"]["prompt"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["test", "easy-test"])
def test_gold_answers_score_as_the_graders_say(name: str) -> None:
    documents = dataset(name, name)["test"]
    for puzzle, document in zip(load_set(name).puzzles, documents, strict=True):
        published = GRADERS["published"].grade(puzzle, document["answers"]).accuracy
        scores = process_results(document, [f"So:\n\n{document['answers']}"])
        assert scores == {"accuracy": 1.0, "solved": 1.0, "published_accuracy": published}
        wrong = document["answers"].splitlines()[0]
        assert process_results(document, [wrong])["accuracy"] == 1 / len(puzzle.solution)
        assert process_results(document, ["I do not know."])["accuracy"] == 0


def test_limit_is_that_of_bench() -> None:
    for name in ("temporal_clue", "temporal_clue_avg4"):
        text = (tasks_folder() / "temporal_clue" / f"{name}.yaml").read_text()
        assert f"max_gen_toks: {MAX_TOKENS}\n" in text


@pytest.mark.server
def test_register_is_taken_back_whole(installed: Installed) -> None:
    before = sorted(installed.path.rglob("*"))
    first, again = installed.tclue("--register"), installed.tclue("--register")
    names = [path.stem for path in (tasks_folder() / "temporal_clue").glob("*.yaml")]
    assert {"temporal_clue_avg4", "temporal_clue_by_difficulty"} < set(names)
    assert first.stdout.startswith(f"registered {', '.join(sorted(names))} in ")
    assert again.stdout == f"already {first.stdout}"
    for stub in installed.stubs.iterdir():
        ours = json.loads(stub.read_text().splitlines()[-1].removeprefix("include: "))
        assert Path(ours) == tasks_folder() / "temporal_clue" / stub.name
    assert installed.tclue("--unregister").stdout.startswith("removed temporal_clue, ")
    assert sorted(installed.path.rglob("*")) == before
    assert installed.tclue("--unregister").stdout.startswith("nothing is registered in ")


@pytest.mark.server
def test_register_mends_a_stub_of_a_package_that_moved(installed: Installed) -> None:
    installed.tclue("--register")
    stub = installed.stubs / "temporal_clue.yaml"
    good = stub.read_text()
    stub.write_text(good.replace("include: ", "include: /old"))
    assert installed.tclue("--register").stdout.startswith("registered")
    assert stub.read_text() == good


@pytest.mark.server
def test_files_of_others_are_left_alone(installed: Installed) -> None:
    installed.stubs.mkdir()
    other = installed.stubs / "temporal_clue_easy.yaml"
    other.write_text("task: temporal_clue_easy\n")
    done = installed.tclue("--register")
    assert (done.returncode, done.stdout) == (2, "")
    assert "temporal_clue_easy.yaml: not written by tclue" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(installed.stubs.iterdir()) == [other]
    installed.tclue("--unregister")
    assert other.read_text() == "task: temporal_clue_easy\n"


@pytest.mark.server
def test_unwritable_folder_is_one_line(installed: Installed) -> None:
    installed.stubs.write_text("")  # a file where the folder would be: root may write anywhere else
    done = installed.tclue("--register")
    assert done.returncode == 2
    assert "cannot be written" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_without_lm_eval_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    for command in (register, unregister, lambda: run(["ls"])):
        with pytest.raises(UserError, match=r'pip install "tclue\[lm-eval\]"'):
            command()


@pytest.mark.server
def test_output_and_exit_code_are_those_of_lm_eval(installed: Installed) -> None:
    done = installed.tclue("ls", "nonsense")
    assert done.returncode == 2
    assert "lm-eval" in done.stderr
    assert "nonsense" in done.stderr


@pytest.mark.server
def test_a_second_include_path_is_refused(installed: Installed) -> None:
    done = installed.tclue("--tasks", "temporal_clue", "--include_path", "elsewhere")
    assert done.returncode == 2
    assert "`tclue lm-eval --register` first" in done.stderr

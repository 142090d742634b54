"""Reasoning is separated by the tokenizer's own marks: every family's, through hf: and rollouts."""

from __future__ import annotations

import json
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from bench_support import Silent, bench, the_run, write_puzzles

from tclue.bench.models import loading
from tclue.bench.models.chat_template import Thinking
from tclue.bench.models.local import TINY, LocalModel
from tclue.bench.runs.run import BenchOptions, run_models
from tclue.errors import UserError
from tclue.puzzle.puzzle import Puzzle, answer_lines

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

pytestmark = pytest.mark.model

USER = "{% for m in messages %}<|user|>{{ m['content'] }}<|end|>{% endfor %}<|assistant|>"
HARMONY = (
    "{% for m in messages %}<|start|>user<|message|>{{ m['content'] }}<|end|>{% endfor %}"
    "<|start|>assistant"
)
CHANNELS = ("<|start|>", "<|channel|>", "<|message|>", "<|constrain|>")
PAIRS = [
    *(("<think>", "</think>"), ("<thinking>", "</thinking>"), ("<thought>", "</thought>")),
    *(("<seed:think>", "</seed:think>"), ("<mm:think>", "</mm:think>"), ("[THINK]", "[/THINK]")),
    *(("<longcat_think>", "</longcat_think>"), ("<think:opensource>", "</think:opensource>")),
    *(("◁think▷", "◁/think▷"), ("<|START_THINKING|>", "<|END_THINKING|>")),
    *(("<|inner_prefix|>", "<|inner_suffix|>"), ("<|think:start|>", "<|think:end|>")),
    *(("<Think>", "</Think>"), ("Here are my reasoning steps:", "[BEGIN FINAL RESPONSE]")),
    *(("<|begin_of_thought|>", "<|end_of_thought|>"), ("<|channel>thought\n", "<channel|>")),
]


@pytest.fixture
def puzzle(tmp_path: Path) -> Puzzle:
    return write_puzzles(tmp_path, 1)[1][0]


def tokenizer(template: str, *marks: str, special: bool = True) -> Any:
    """The shipped tokenizer with another template and more tokens."""
    from tokenizers import AddedToken

    loaded = transformers.AutoTokenizer.from_pretrained(TINY)
    added = [AddedToken(mark, special=special, normalized=False) for mark in marks]
    loaded.add_tokens(added, special_tokens=special)
    loaded.chat_template = template
    return loaded


def split(tokenizer: Any, puzzle: Puzzle, response: str) -> tuple[str, str | None]:
    thinking = Thinking(tokenizer)
    ids = tokenizer(response, add_special_tokens=False).input_ids
    return thinking.split(ids, inside=thinking.begins_inside(puzzle))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["special", "token", "text"])
@pytest.mark.parametrize(("opening", "closing"), PAIRS)
def test_blocks(opening: str, closing: str, kind: str, puzzle: Puzzle) -> None:
    answer = answer_lines(puzzle.solution)
    marks = () if kind == "text" else (opening.removesuffix("thought\n"), closing)
    named = f"{{# {opening} {closing} #}}" if kind == "text" else ""
    plain = tokenizer(named + USER, *marks, special=kind == "special")
    assert split(plain, puzzle, answer) == (answer, None)
    assert split(plain, puzzle, f"{opening}a draft{closing}\n{answer}") == (answer, "a draft")
    assert split(plain, puzzle, opening + answer) == ("", answer)  # cut off
    assert split(plain, puzzle, f"a draft{closing}{answer}") == (answer, "a draft")
    assert split(plain, puzzle, f"a draft{closing}") == ("", "a draft")
    # An example before the user's message has no effect, nor has an empty block.
    for template in (f"Begin with {opening}\n{USER}", f"{USER}{opening}\n\n{closing}\n\n"):
        plain.chat_template = template
        assert split(plain, puzzle, answer) == (answer, None)
    plain.chat_template = f"{USER}{opening}\n"
    assert split(plain, puzzle, answer) == ("", answer)
    assert split(plain, puzzle, f"a draft{closing}{answer}") == (answer, "a draft")


def test_channels(puzzle: Puzzle) -> None:
    answer = answer_lines(puzzle.solution)
    harmony = tokenizer(HARMONY, *CHANNELS)
    draft = f"<|channel|>analysis<|message|>{answer}"
    final = f"<|end|><|start|>assistant<|channel|>final<|message|>{answer}"
    assert split(harmony, puzzle, draft + final) == (answer, answer)
    assert split(harmony, puzzle, draft) == ("", answer)
    assert split(harmony, puzzle, f"{draft}<|end|><|start|>assistant<|channel|>final")[0] == ""
    assert split(harmony, puzzle, f"<|channel|>final<|message|>{answer}") == (answer, None)
    plan = "<|end|><|start|>assistant<|channel|>commentary<|message|>the plan"
    text, reasoning = split(
        harmony, puzzle, draft + plan + final.replace("final", "final <|constrain|>json")
    )
    assert (text, reasoning) == (answer, f"{answer}\nthe plan")
    # The prompt may open a channel too.
    for channel, expected in (("analysis", ("", answer)), ("final", (answer, None))):
        harmony.chat_template = f"{HARMONY}<|channel|>{channel}<|message|>"
        assert split(harmony, puzzle, answer) == expected


def test_other_special_tokens_are_left_out(puzzle: Puzzle) -> None:
    names = ("<|START_THINKING|>", "<|END_THINKING|>", "<|START_RESPONSE|>", "<|END_RESPONSE|>")
    cohere = tokenizer(USER, *names)
    answer = answer_lines(puzzle.solution)
    response = "{}a draft{}{}{}{}".format(*names[:3], answer, names[3])
    assert split(cohere, puzzle, response) == (answer, "a draft")
    # Without marks the text is what decoding gives, to the last space.
    for text in (f" \n{answer}\n ", "a</think>", f"<|user|>{answer}<|end|>"):
        plain = tokenizer(USER)
        ids = plain(text, add_special_tokens=False).input_ids
        decoded = plain.decode(ids, skip_special_tokens=True)
        assert Thinking(plain).split(ids, inside=False) == (decoded, None)


def write_thinker(folder: Path, template: str) -> Path:
    """The shipped checkpoint with tokens for thinking and another template."""
    added = tokenizer(template, "<think>", "</think>")
    model = transformers.AutoModelForCausalLM.from_pretrained(TINY)
    torch.manual_seed(0)  # of the new tokens' weights
    model.resize_token_embeddings(len(added), mean_resizing=False)
    model.save_pretrained(folder)
    added.save_pretrained(folder)
    return folder


def test_a_response_that_never_closes_its_block_has_no_answer(tmp_path: Path) -> None:
    puzzles = write_puzzles(tmp_path, 4)[0]
    plain = write_thinker(tmp_path / "plain", USER)
    forced = write_thinker(tmp_path / "forced", f"{USER}<think>")
    bench(f"hf:{plain}", puzzles, tmp_path / "1", max_tokens=300)
    assert {r.outcome for r in the_run(tmp_path / "1").responses} == {"answered"}
    bench(f"hf:{forced}", puzzles, tmp_path / "2", max_tokens=300)
    for response in the_run(tmp_path / "2").responses:
        assert response.text == ""
        assert response.reasoning
        assert response.outcome == (
            "truncated" if response.finish_reason == "length" else "unparsed"
        )


def test_a_closed_block_is_recorded_as_reasoning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    puzzles, (puzzle,) = write_puzzles(tmp_path, 1)
    folder = write_thinker(tmp_path / "forced", f"{USER}<think>")
    reply = f"the draft</think>\n\n{answer_lines(puzzle.solution)}<|end|>"
    script = iter(tokenizer(USER, "<think>", "</think>")(reply, add_special_tokens=False).input_ids)
    monkeypatch.setattr(LocalModel, "_next_tokens", lambda *_: torch.tensor([next(script)]))
    bench(f"hf:{folder}", puzzles, tmp_path / "r")
    (response,) = the_run(tmp_path / "r").responses
    assert response.grade
    assert response.grade.solved
    assert (response.text, response.reasoning) == (answer_lines(puzzle.solution), "the draft")


TEMPLATES = {
    "{{ raise_exception('no system role') }}": "its chat template fails: no system role",
    "{{ messages[0].content.text.more }}": "its chat template fails: 'str object' has no",
    "{% if %}": "its chat template fails: Expected an expression",
    " ": "its chat template leaves out the puzzle",
    "<|user|>Hello<|assistant|>": "its chat template leaves out the puzzle",
    # of a list of parts
    "{% for c in messages[0].content %}{{ c.text }}{% endfor %}": "leaves out the puzzle",
}


@pytest.mark.parametrize("template", TEMPLATES)
def test_templates_that_make_no_prompt(template: str, tmp_path: Path) -> None:
    folder = shutil.copytree(TINY, tmp_path / "odd")
    (folder / "chat_template.jinja").write_text(template)
    puzzles, results = write_puzzles(tmp_path, 1)[0], tmp_path / "r"
    with pytest.raises(UserError) as error:
        run_models([f"hf:{folder}"], BenchOptions(puzzles=str(puzzles), results=results), Silent())
    assert str(error.value).startswith(f"{folder}: ")
    assert TEMPLATES[template] in str(error.value)
    assert "\n" not in str(error.value)
    assert not results.exists()


def test_a_run_has_the_prompts_of_one_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shutil.copytree(TINY, tmp_path / "dated")
    (folder / "chat_template.jinja").write_text(f"{{{{ strftime_now('%d %b %f') }}}}{USER}")
    puzzles, results = write_puzzles(tmp_path, 2)[0], tmp_path / "r"
    bench(f"hf:{folder}", puzzles, results, max_tokens=4)
    (run,) = results.iterdir()
    recorded = json.loads((run / "run.json").read_text())
    # At midnight the prompts of a process stay the same.
    again = LocalModel(str(folder), BenchOptions()).prompts_sha256(write_puzzles(tmp_path, 2)[1])
    assert recorded["prompts_sha256"] == again
    monkeypatch.setattr(loading, "_STARTED", datetime(2026, 11, 29))
    # A complete run is only summarized.
    assert bench(f"hf:{folder}", puzzles, results, max_tokens=4).responses == 2
    lines = (run / "responses.jsonl").read_text().splitlines(keepends=True)
    (run / "responses.jsonl").write_text(lines[0])
    with pytest.raises(UserError, match=f"{run}: the chat template writes other prompts than when"):
        bench(f"hf:{folder}", puzzles, results, max_tokens=4)
    assert (run / "responses.jsonl").read_text() == lines[0]
    # A run that was recorded before there was a hash is resumed.
    (run / "run.json").write_text(json.dumps(recorded | {"prompts_sha256": None}))
    assert bench(f"hf:{folder}", puzzles, results, max_tokens=4).responses == 2


def test_prompts_do_not_change_the_name_of_a_run(tmp_path: Path) -> None:
    puzzles = write_puzzles(tmp_path, 2)[0]
    bench("hf:" + str(TINY), puzzles, tmp_path / "r", max_tokens=4)
    bench("tiny", puzzles, tmp_path / "r2", max_tokens=4)
    first, second = the_run(tmp_path / "r").config, the_run(tmp_path / "r2").config
    assert first.prompts_sha256 == second.prompts_sha256
    bench("random", puzzles, tmp_path / "r3")
    assert the_run(tmp_path / "r3").config.prompts_sha256 is None

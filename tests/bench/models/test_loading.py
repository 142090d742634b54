"""Checkpoints that are not what they seem, through `hf:` models and the trainer's backends."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from bench_support import Silent, bench, the_run, write_puzzles

from tclue.bench.models.chat_template import end_tokens
from tclue.bench.models.local import TINY, LocalModel
from tclue.bench.runs.run import BenchOptions, run_models
from tclue.errors import UserError

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from safetensors.torch import load_file, save_file  # noqa: E402

from tclue_grpo.build import load_policy  # noqa: E402

pytestmark = pytest.mark.model

HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"
UP = "model.layers.2.mlp.up_proj.weight"
INDEX = "model.safetensors.index.json"
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
TIED = {"tie_word_embeddings": True}
EIGHT_BITS = {"quant_method": "fp8", "weight_block_size": [128, 128]}
Weights = dict[str, Any]


def write(
    folder: Path, change: Callable[[Weights], Mapping[str, Any]] = dict, **config: Any
) -> Path:
    """The shipped checkpoint with other weights and another configuration."""
    shutil.copytree(TINY, folder)
    weights = load_file(TINY / "model.safetensors")
    save_file(dict(change(weights)), folder / "model.safetensors", metadata={"format": "pt"})
    settings = json.loads((TINY / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | config))
    return folder


def write_shards(folder: Path, *, twice: str = "") -> Path:
    """The shipped checkpoint in two files; the second one has the weight `twice` too."""
    shutil.copytree(TINY, folder)
    (folder / "model.safetensors").unlink()
    weights = load_file(TINY / "model.safetensors")
    place = {name: SHARDS[i % 2] for i, name in enumerate(sorted(weights))}
    for file in SHARDS:
        part = {name: weights[name] for name in weights if place[name] == file}
        if twice and file == SHARDS[1]:
            part[twice] = torch.zeros_like(weights[twice])
        save_file(part, folder / file, metadata={"format": "pt"})
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": place}))
    return folder


def without(*names: str) -> Callable[[Weights], Weights]:
    return lambda weights: {k: w for k, w in weights.items() if k not in names}


def prefixed(prefix: str) -> Callable[[Weights], Weights]:
    return lambda weights: {prefix + name: weight for name, weight in weights.items()}


def with_value(value: float) -> Callable[[Weights], Weights]:
    def change(weights: Weights) -> Weights:
        weights[UP][3, 4] = value
        return weights

    return change


def halved(weights: Weights) -> Weights:
    """In float16, in which the norms overflow."""
    return {k: (w * 1e6 if "norm" in k else w).half() for k, w in weights.items()}


def in_8_bits(weights: Weights) -> Weights:
    linear = [name for name in weights if name.endswith("proj.weight")]
    scales = {f"{name}_scale_inv": torch.ones(2, 2) for name in linear}
    return weights | {name: weights[name].to(torch.float8_e4m3fn) for name in linear} | scales


REFUSED: dict[str, tuple[Callable[[Weights], Weights], dict[str, Any], str]] = {
    "no head": (without(HEAD), {}, f"{HEAD} is not in its files"),
    "reward model": (
        lambda weights: without(HEAD)(weights) | {"score.weight": torch.ones(1, 160)},
        {},
        f"{HEAD} is not in its files; its files have score.weight, for example",
    ),
    "compiled": (
        prefixed("_orig_mod."),
        {},
        f"{HEAD} is not in its files (51 such faults in all); its files have _orig_mod.{HEAD}",
    ),
    "distributed": (prefixed("module."), {}, f"its files have module.{HEAD}, for example"),
    "peft": (prefixed("base_model.model."), {}, f"its files have base_model.model.{HEAD}"),
    "a layer more in the configuration": (
        dict,
        {"num_hidden_layers": 5, "layer_types": ["full_attention"] * 5},
        "model.layers.4.input_layernorm.weight is not in its files (12 such faults in all)",
    ),
    "a layer less in the configuration": (
        dict,
        {"num_hidden_layers": 3, "layer_types": ["full_attention"] * 3},
        "model.layers.3.input_layernorm.weight is in its files, and not in the model",
    ),
    "biases": (
        lambda weights: weights | {"model.layers.1.self_attn.o_proj.bias": torch.ones(160)},
        {},
        "model.layers.1.self_attn.o_proj.bias is in its files, and not in the model",
    ),
    "a bias of the head": (
        lambda weights: weights | {"lm_head.bias": torch.ones(549)},
        {},
        "lm_head.bias is in its files, and not in the model",
    ),
    "a scale of the embedding": (
        lambda weights: weights | {"model.embed_tokens.weight_scale": torch.ones(1)},
        {},
        "model.embed_tokens.weight_scale is in its files, and not in the model",
    ),
    "shape": (
        lambda weights: weights | {"model.norm.weight": torch.ones(80)},
        {},
        "model.norm.weight has the shape [80], and [160] by its config.json",
    ),
    "vocabulary": (
        dict,
        {"vocab_size": 500},
        f"{HEAD} has the shape [549, 160], and [500, 160] by its config.json (2 such faults",
    ),
    "NaN": (with_value(float("nan")), {}, f"{UP} has values that are not finite"),
    "infinity": (with_value(float("-inf")), {}, f"{UP} has values that are not finite"),
    "float16": (halved, {}, "input_layernorm.weight has values that are not finite"),
    "quantized": (in_8_bits, {}, "down_proj.weight_scale_inv is in its files, and not in the"),
    "two heads": (
        dict,
        TIED,
        f"{HEAD} differs from the weight that config.json ties it to",
    ),
}


def refused(folder: Path) -> str:
    """The one line with which `hf:` and both backends of the trainer refuse a checkpoint."""
    lines = []
    loads: list[Callable[[], object]] = [lambda: load_policy(str(folder))]
    try:
        from tclue_grpo import backend_torchtune
    except ImportError:
        pass
    else:
        loads.append(lambda: backend_torchtune.load(str(folder)))
    for load in (lambda: LocalModel(str(folder), BenchOptions()).open(), *loads):
        with pytest.raises(UserError) as error:
            load()
        lines.append(str(error.value).removeprefix("hf:"))
    assert len(set(lines)) == 1
    assert "\n" not in lines[0]
    return lines[0]


@pytest.mark.slow
@pytest.mark.parametrize("case", REFUSED)
def test_weights_that_are_not_those_of_the_model(case: str, tmp_path: Path) -> None:
    change, config, message = REFUSED[case]
    line = refused(write(tmp_path / "odd", change, **config))
    assert line.startswith(f"{tmp_path / 'odd'}: its weights cannot be used: ")
    assert message in line


@pytest.mark.slow
def test_shards(tmp_path: Path) -> None:
    good = LocalModel(str(write_shards(tmp_path / "good")), BenchOptions())
    good.open()
    assert torch.equal(good._model.state_dict()[UP], load_file(TINY / "model.safetensors")[UP])
    half = write_shards(tmp_path / "half")
    index = json.loads((half / INDEX).read_text())
    names = {name: file for name, file in index["weight_map"].items() if file == SHARDS[0]}
    (half / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": names}))
    assert "is not in its files (25 such faults in all)" in refused(half)
    lost = write_shards(tmp_path / "lost")
    (lost / SHARDS[1]).unlink()
    assert f"cannot be loaded: No such file or directory: {lost / SHARDS[1]}" in refused(lost)
    torn = write_shards(tmp_path / "torn")
    (torn / SHARDS[1]).write_bytes((torn / SHARDS[1]).read_bytes()[:-1000])
    assert "cannot be loaded: Error while deserializing header" in refused(torn)
    twice = refused(write_shards(tmp_path / "twice", twice=sorted(names)[0]))
    assert f"{sorted(names)[0]} is in both {SHARDS[0]} and {SHARDS[1]}" in twice
    bare = write_shards(tmp_path / "bare")
    (bare / INDEX).unlink()
    assert "no file named model.safetensors" in refused(bare)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "config"),
    [
        (without(HEAD), TIED),
        (without(EMBEDDING), TIED),
        (lambda weights: weights | {HEAD: weights[EMBEDDING].clone()}, TIED),
        # Names that transformers understands.
        (prefixed("model."), {}),
        (lambda weights: {k.removeprefix("model."): w for k, w in weights.items()}, {}),
        # With their quantization_config, 8-bit weights are read with their scales.
        (in_8_bits, {"quantization_config": EIGHT_BITS}),
    ],
)  # fmt: skip
def test_what_is_the_same_model(
    change: Callable[[Weights], Weights],
    config: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = LocalModel(str(write(tmp_path / "same", change, **config)), BenchOptions())
    model.open()
    loaded, shipped = model._model.state_dict(), load_file(TINY / "model.safetensors")
    rounded = "quantization_config" in config
    for name in set(shipped) - ({HEAD, EMBEDDING} if config == TIED else set()):
        torch.testing.assert_close(
            loaded[name], shipped[name], rtol=0.07 if rounded else 0, atol=0.01 if rounded else 0
        )
    assert capsys.readouterr().err == ""


def test_unused_weights_are_named_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tower = {f"visual.blocks.{i}.w": torch.ones(2) for i in range(12)}
    tower["model.image_newline"] = torch.ones(160)
    rotary = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(16)}  # of old versions
    folder = write(tmp_path / "both", lambda weights: weights | tower | rotary)
    bench(f"hf:{folder}", write_puzzles(tmp_path, 1)[0], tmp_path / "r", max_tokens=4)
    err = capsys.readouterr().err
    assert err == f"hf:{folder}: 13 weights in its files not used, such as model.image_newline\n"


def test_a_command_refuses_before_it_records(tmp_path: Path) -> None:
    puzzles = write_puzzles(tmp_path, 1)[0]
    folder = write(tmp_path / "headless", without(HEAD))
    options = BenchOptions(puzzles=str(puzzles), results=tmp_path / "r")
    with pytest.raises(UserError, match=rf"{HEAD} is not in its files$"):
        run_models([f"hf:{folder}"], options, Silent())
    assert the_run(tmp_path / "r").responses == ()
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    with pytest.raises(UserError, match="it is an adapter: expected a model that it was merged"):
        run_models([f"hf:{adapter}"], options, Silent())


def test_a_prompt_has_no_token_that_the_model_lacks(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "small",
        lambda weights: weights | {k: weights[k][:400].clone() for k in (HEAD, EMBEDDING)},
        vocab_size=400,
    )
    options = BenchOptions(puzzles=str(write_puzzles(tmp_path, 1)[0]), results=tmp_path / "r")
    with pytest.raises(
        UserError, match=r"a prompt has the token \d+, and vocab_size in config\.json is 400"
    ):
        run_models([f"hf:{folder}"], options, Silent())
    assert not (tmp_path / "r").exists()


def test_files_that_transformers_can_do_without(tmp_path: Path) -> None:
    options = BenchOptions(puzzles=str(write_puzzles(tmp_path, 1)[0]), results=tmp_path / "r")

    def error(change: Callable[[Path], object]) -> str:
        folder = write(tmp_path / "incomplete")
        change(folder)
        with pytest.raises(UserError) as caught:
            run_models([f"hf:{folder}"], options, Silent())
        shutil.rmtree(folder)
        assert not (tmp_path / "r").exists()
        return str(caught.value).removeprefix(str(folder))

    def without_tokenizer(folder: Path) -> None:
        (folder / "tokenizer.json").unlink()
        (folder / "tokenizer_config.json").unlink()

    def dead_link(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        (folder / "model.safetensors").symlink_to("nowhere")

    cannot = ": its tokenizer cannot encode the puzzle"
    assert error(lambda folder: (folder / "tokenizer.json").unlink()).startswith(cannot)
    assert error(without_tokenizer).startswith(cannot)
    torn = error(lambda folder: (folder / "generation_config.json").write_text("{"))
    assert torn.startswith("/generation_config.json: not JSON")
    assert error(dead_link) == "/model.safetensors: cannot be read: No such file or directory"


def test_bench_and_training_end_texts_with_the_same_tokens(tmp_path: Path) -> None:
    from tclue_grpo.build import generation_settings

    folder = write(tmp_path / "bare", eos_token_id=[3, 5])
    (folder / "generation_config.json").unlink()
    model = LocalModel(str(folder), BenchOptions())
    model.open()
    assert end_tokens(generation_settings(str(folder)), model._tokenizer) == {3, 5}
    assert model._end_ids == {3, 5}


def test_positions_that_transformers_doubts_are_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rope = {"rope_type": "yarn", "rope_theta": 1e6, "factor": 0.5}
    LocalModel(str(write(tmp_path / "yarn", rope_parameters=rope)), BenchOptions())
    LocalModel(str(TINY), BenchOptions())
    handler = transformers.logging.get_logger("transformers").handlers[0]
    assert handler.filters
    assert set(capfd.readouterr().err.splitlines()) <= {
        "[transformers] `rope_parameters`'s factor field must be a float or int >= 1, got 0.5"
    }

"""The trainer's configuration, its plan, and what is refused before anything is loaded."""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from commands import call, refused
from machines import NO_GPU, gpus
from places import ROOT

from tclue.bench.models.local import TINY
from tclue.errors import UserError
from tclue_grpo import plan
from tclue_grpo.config import (
    Config,
    DataConfig,
    PackingConfig,
    RolloutConfig,
    TrainConfig,
    UpdateConfig,
)
from tclue_grpo.config_file import (
    difference,
    docs,
    load,
    preset,
    presets,
    settle,
    to_toml,
    values,
)
from tclue_grpo.model_size import shape_of
from tclue_grpo.plan import this_machine


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a fake nvidia-smi on the path that prints given GPUs."""

    def install(output: str) -> None:
        program = tmp_path / "bin" / "nvidia-smi"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\ncat <<'END'\n{output}\nEND\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    return install


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def both_packages() -> dict[str, str]:
    paths = os.pathsep.join(map(str, [ROOT, ROOT / "trainers"]))
    return {**os.environ, "PYTHONPATH": paths}


# Files


@pytest.mark.parametrize("name", presets())
def test_a_run_s_file_is_the_whole_configuration(name: str, tmp_path: Path) -> None:
    config = load(name)
    path = tmp_path / "config.toml"
    path.write_text(to_toml(config), encoding="utf-8")
    assert load(file=path) == config
    assert to_toml(load(file=path)) == to_toml(config)


def test_every_knob_is_documented_and_written_down() -> None:
    assert set(docs()) == set(values(Config()))
    text = to_toml(Config())
    for key, words in docs().items():
        name = key.partition(".")[2]
        assert re.search(rf"^{name} = ", text, re.M), key
        assert len(words) > 3, key
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.server
def test_the_page_has_the_knobs_as_they_are() -> None:
    command = [sys.executable, "scripts/knobs.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=both_packages())
    assert done.returncode == 0, done.stderr


def test_the_later_source_wins(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text('preset = "tiny"\n[update]\nlearning_rate = 1e-4\nclip_norm = 2\n')
    config = load(file=mine, settings=["update.clip_norm=3", "train.seed=7"], seed=9)
    assert config.update == replace(preset("tiny").config.update, learning_rate=1e-4, clip_norm=3.0)
    assert config.train.seed == 9
    assert isinstance(config.update.clip_norm, float)


@pytest.mark.parametrize(
    ("setting", "change"),
    [
        ("data.curriculum=easy,medium", ("easy", "medium")),
        ('data.curriculum=["easy"]', ("easy",)),
        ("data.band=0.2,0.9", (0.2, 0.9)),
        ("log.project=2026", "2026"),
        ("model.base=./folder", "./folder"),
        ("loss.entropy=-0.5", -0.5),
        ("advantage.divide_by_std=true", True),
    ],
)
def test_a_value_on_the_command_line(setting: str, change: object) -> None:
    config = load("tiny", settings=[setting])
    assert values(config)[setting.partition("=")[0]] == change
    assert len(difference(load("tiny"), config)) == 1


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("update.learning_rat=1", "unknown field update.learning_rat: did you mean learning_rate?"),
        ("loss.iterations=3", "unknown field loss.iterations: expected one of objective, clip_low"),
        ("updates.clip_norm=1", "unknown field updates: did you mean update?"),
        ("iterations=4", "expected SECTION.KEY=VALUE"),
        ("update.learning_rate", "expected SECTION.KEY=VALUE"),
        ("update.learning_rate=0", "update.learning_rate is 0: expected a number above 0"),
        ("update.learning_rate=nan", "update.learning_rate is NaN: expected a finite number"),
        ("train.iterations=3.5", "train.iterations is 3.5: expected a whole number"),
        ("train.iterations=true", "train.iterations is true: expected a whole number"),
        ("train.iterations=0", "train.iterations is 0: expected 1 or more"),
        ("reward.shuffle=yes", "expected true or false"),
        ("guard.rollback_rate=2", "guard.rollback_rate is 2: expected at most 1"),
        ("loss.objective=ppo", "expected one of grpo, dr_grpo, dapo, gspo, cispo"),
        ("data.band=0.5", "data.band is [0.5]: expected a list of 2 values"),
        ("data.band=0.9,0.2", "the lower value first"),
        ("data.difficulty=simple", "difficulty 'simple' is unknown: expected one of easy"),
        ("update.betas=0.9,1", "update.betas.2 is 1: expected a number below 1"),
        ("bench.puzzles=easy-val", "chosen on one and results are reported on the other"),
        ("update.bf16_updates=true", "expected model.dtype bfloat16"),
        ("loss.tis_cap=2", "expected loss.old trainer"),
    ],
)
def test_a_setting_that_cannot_be_meant(setting: str, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        load("tiny", settings=[setting])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[model]\nbackend = "torchtune"\nlora_rank = 4\n',
            "model.lora_rank is above 0: expected model.backend hf",
        ),
        (
            "[update]\nrate = 1\n",
            "mine.toml: unknown field update.rate: expected one of",
        ),
        (
            '[train]\niterations = "9"\n',
            'mine.toml: train.iterations is "9": expected a whole',
        ),
        ("update = 1\n", "mine.toml: update is 1: expected fields with values"),
        ("[update\n", "mine.toml: not a TOML file"),
        ("preset = 3\n", "mine.toml: preset is 3: expected the name of a preset"),
        ('preset = "tinny"\n', "--preset tinny: no such preset: did you mean tiny?"),
    ],
)
def test_a_file_that_cannot_be_meant(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        load(file=path)
    assert "\n" not in str(caught.value)


def test_a_folder_keeps_its_configuration(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "mine"
    settle(load("tiny"), folder)
    before = (folder / "config.toml").read_bytes()
    settle(load("tiny"), folder)
    rate = load("tiny").update.learning_rate
    message = f"update.learning_rate was {rate}, now 0.1; train.seed was 1, now 2"
    with pytest.raises(UserError, match=re.escape(message)):
        settle(load("tiny", settings=["update.learning_rate=0.1"], seed=2), folder)
    assert (folder / "config.toml").read_bytes() == before
    assert [path.name for path in folder.iterdir()] == ["config.toml"]


def test_the_published_recipe_departs_by_knobs() -> None:
    config = load("published-32b")
    assert config.update == replace(
        UpdateConfig(),
        learning_rate=6e-6,
        warmup_iterations=0,
        betas=(0.9, 0.99),
        weight_decay=0.1,
        clip_norm=0.0,
        steps_per_iteration=6,
        reset_adam_each_iteration=True,
        bf16_updates=True,
    )
    assert config.advantage.divide_by_std
    assert not config.advantage.mask_truncated
    assert (config.loss.objective, config.loss.clip_low, config.loss.clip_high) == (
        "grpo",
        0.2,
        0.2,
    )
    assert (config.loss.kl, config.loss.entropy, config.loss.train_end_token) == (0, 0, False)
    assert (config.data.puzzles_per_iteration, config.rollout.responses_per_puzzle) == (32, 50)
    assert (config.packing.length, config.rollout.max_tokens) == (16384, 8192)


# Sizes


@pytest.mark.parametrize(
    ("base", "parameters"),
    [
        # The numbers of weights on the hub.
        ("HuggingFaceTB/SmolLM2-135M-Instruct", 134_515_008),
        ("Qwen/Qwen2.5-0.5B-Instruct", 494_032_768),
        ("Qwen/Qwen2.5-1.5B-Instruct", 1_543_714_304),
        ("Qwen/Qwen2.5-7B-Instruct", 7_615_616_512),
        ("Qwen/Qwen2.5-14B-Instruct", 14_770_033_664),
        ("Qwen/Qwen2.5-32B-Instruct", 32_763_876_352),
        ("meta-llama/Llama-3.1-8B-Instruct", 8_030_261_248),
        ("meta-llama/Llama-3.1-70B-Instruct", 70_553_706_496),
    ],
)
def test_weights_are_counted(base: str, parameters: int) -> None:
    shape = shape_of(base)
    assert shape is not None
    assert shape.parameters == parameters


def test_the_shipped_weights_are_counted() -> None:
    with (TINY / "model.safetensors").open("rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    sizes = [v["data_offsets"] for name, v in header.items() if name != "__metadata__"]
    shape = shape_of("tiny")
    assert shape is not None
    assert shape == shape_of(str(TINY))
    assert 4 * shape.parameters == sum(end - begin for begin, end in sizes)


@pytest.mark.parametrize("name", presets())
def test_a_preset_fits_where_it_says(name: str) -> None:
    chosen = preset(name)
    stated = re.search(r"(a GPU|(\d+) GPUs) of (\d+) GB", chosen.about)
    assert (stated is not None) == chosen.needs_gpu
    if stated is None:
        plan.refuse_unfit(name, chosen.config, False, NO_GPU)
        return
    count, memory = int(stated[2] or 1), int(stated[3])
    assert chosen.config.price.gpus == count
    plan.refuse_unfit(name, chosen.config, True, gpus(count, memory))
    with pytest.raises(UserError, match=f"{name} needs a GPU, and this machine has no GPU"):
        plan.refuse_unfit(name, chosen.config, True, NO_GPU)
    with pytest.raises(UserError, match=r"needs \d+\.\d GB of memory"):
        plan.refuse_unfit(name, chosen.config, True, gpus(count, memory / 4))


def test_too_few_gpus() -> None:
    with pytest.raises(UserError, match="needs 8 GPUs, and this machine has 2: "):
        plan.refuse_unfit("qwen2.5-14b", load("qwen2.5-14b"), True, gpus(2, 80))


def test_tokens_with_shared_prompts() -> None:
    config = Config(
        data=DataConfig(difficulty="published-mix", puzzles_per_iteration=32),
        rollout=RolloutConfig(responses_per_puzzle=50, max_tokens=8192),
        packing=PackingConfig(length=10**9),
        model=load("qwen2.5-7b").model,
    )
    tokens = plan.expected_tokens(config)
    prompt, response = tokens.prompt, tokens.response
    assert tokens.sampled == 32 * 50 * response
    assert tokens.executed == 32 * (prompt + 50 * response)
    assert tokens.without_sharing == 32 * 50 * (prompt + response)
    short = plan.expected_tokens(replace(config, rollout=RolloutConfig(max_tokens=10)))
    assert short.response == 10


def test_memory_of_the_optimizer_by_hand() -> None:
    config, shape = load("qwen2.5-7b"), shape_of("Qwen/Qwen2.5-7B-Instruct")
    assert shape is not None
    weights = 7_615_616_512
    full = plan.memory(config, shape, 4, 80e9)
    # bf16 weights; fp32 gradients, masters and two moments: 18 bytes a weight over 4 GPUs
    assert full.weights + full.gradients + full.optimizer == pytest.approx(weights * 18 / 4)
    published = plan.memory(load("published-14b", settings=["model.base=x"]), shape, 1, 80e9)
    assert published.weights + published.gradients + published.optimizer == weights * 8
    adapters = plan.memory(load("qwen2.5-7b", settings=["model.lora_rank=16"]), shape, 1, 80e9)
    # 16 x (in + out) of the seven matrices of 28 layers
    trained = 28 * 16 * (7168 + 2 * 4096 + 7168 + 3 * 22528)
    assert adapters.optimizer == trained * 12
    assert adapters.weights == weights * 2


def test_dollars_and_steps() -> None:
    config = load("qwen2.5-7b", settings=["price.gpu_hour_usd=3"])
    shape = shape_of(config.model.base)
    assert shape is not None
    needs = plan.estimate(config, shape, gpus(4, 80))
    assert needs.dollars == pytest.approx(needs.hours * 12)
    assert needs.optimizer_steps == 800
    longer = replace(config, train=TrainConfig(iterations=400))
    assert plan.estimate(longer, shape, gpus(4, 80)).hours > 1.5 * needs.hours
    assert plan.estimate(load("qwen2.5-7b"), shape, gpus(4, 80)).dollars is None


# Machines


@pytest.mark.server
def test_gpus_are_found(nvidia_smi: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    nvidia_smi("NVIDIA L4, 23034\nNVIDIA H100 80GB HBM3, 81559")
    assert this_machine().gpus == (
        ("NVIDIA L4", 23034 * 2**20),
        ("NVIDIA H100 80GB HBM3", 81559 * 2**20),
    )
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert [name for name, _ in this_machine().gpus] == ["NVIDIA H100 80GB HBM3"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert this_machine().gpus == ()


@pytest.mark.server
def test_with_a_gpu_the_presets_that_fit_are_named(
    nvidia_smi: Callable[[str], None], tmp_path: Path
) -> None:
    nvidia_smi("NVIDIA A100-SXM4-40GB, 40960")
    line = refused(call(tmp_path, "train"))
    assert line == (
        "--preset is missing: 1 x NVIDIA A100-SXM4-40GB of 43 GB can train "
        "tiny, smollm2-135m, qwen2.5-0.5b"
    )


def test_without_a_gpu_it_is_tiny(tmp_path: Path, no_gpu: None) -> None:
    done = call(tmp_path, "train", "--dry-run")
    assert done.stderr.startswith("preset tiny: no GPU, ")
    assert done.stderr.count("\n") == 2  # and what to do next
    assert "1,510,240 weights" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_plan_for_programs(tmp_path: Path, no_gpu: None) -> None:
    numbers = json.loads(
        call(tmp_path, "train", "--preset", "qwen2.5-1.5b", "--dry-run", "--json").stdout
    )
    assert numbers["run"] == "qwen2.5-1.5b-seed1"
    assert (numbers["gpus"], numbers["gpu"], numbers["fits"]) == (1, "H100", True)
    assert numbers["gpu_hours"] == numbers["hours"] > 0
    assert numbers["dollars"] is None


# The command


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--preset", "qwen2.5-7b"), "qwen2.5-7b needs a GPU, and this machine has no GPU"),
        (("--preset", "tinny"), "--preset tinny: no such preset: did you mean tiny?"),
        (("--preset", "tiny", "--set", "train.seed=x"), 'train.seed is "x": expected a whole'),
        (("--config", "none.toml"), "none.toml: cannot be read: No such file"),
        (("--preset", "tiny", "--seed", "-1"), "--seed: train.seed is -1: expected 0 or more"),
        (("--preset", "tiny", "--set", "packing.length=90000000"),
         "tiny: tiny needs 5511.2 GB of memory ("),
        (("--preset", "tiny", "--run", ".."), "--run '..': expected a folder name"),
        (("--preset", "tiny", "--run", "../x"), "--run '../x': expected a folder name"),
        (("--trainer", "none"), "--trainer none: no such trainer: expected one of "),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(
    arguments: tuple[str, ...], message: str, tmp_path: Path, no_gpu: None
) -> None:
    assert message in refused(call(tmp_path, "train", *arguments))
    assert list(tmp_path.iterdir()) == []


def test_a_base_that_cannot_be_trained(tmp_path: Path, no_gpu: None) -> None:
    base = shutil.copytree(TINY, tmp_path / "base")
    train = ("train", "--preset", "tiny", "--set", f"model.base={base}")
    (base / "chat_template.jinja").unlink()
    line = refused(call(tmp_path, *train))
    assert line.startswith(f"{base}: its tokenizer has no chat template: expected an instruction")
    (base / "chat_template.jinja").write_text("{{ messages }}{{ raise_exception('no system') }}")
    assert refused(call(tmp_path, *train)) == f"{base}: its chat template fails: no system"
    (base / "model.safetensors").unlink()
    assert "base: no .safetensors file" in refused(call(tmp_path, *train))
    (base / "adapter_config.json").write_text("{}")
    assert "base: it is an adapter: expected a model" in refused(call(tmp_path, *train))
    assert [path.name for path in tmp_path.iterdir()] == ["base"]  # no run has a folder


def test_presets_are_listed(tmp_path: Path, no_gpu: None) -> None:
    lines = call(tmp_path, "train", "--presets").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(presets())
    listed = json.loads(call(tmp_path, "train", "--presets", "--json").stdout)
    assert [entry["name"] for entry in listed if entry["fits"]] == ["tiny"]

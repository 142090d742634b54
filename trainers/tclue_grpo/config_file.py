"""Configurations from files and the command line, and back into a file.

* A preset's TOML comes first, then the user's own (`--config`), then each `--set KEY=VALUE`, then
  `--seed`. An error is one line that names the place of the wrong value and what is expected.
* A run's `config.toml` holds every option under its documentation; it can be given as `--config`.
  The same configuration always makes the same file.
"""

import inspect
import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

from tclue.config_files import merged, parse_toml, read_toml
from tclue.errors import UserError
from tclue.journal import replace
from tclue.puzzle import draw
from tclue.strict import near, read
from tclue_grpo.config import Config
from tclue_grpo.model_size import shape_of

PRESETS = Path(__file__).parent / "presets"
# Keys of a preset's file besides the sections; a user's file may name the preset it is based on.
ABOUT, NEEDS_GPU, PRESET = "about", "needs_gpu", "preset"


@dataclass(frozen=True)
class Preset:
    """A configuration that comes with the trainer."""

    name: str
    # what it trains, and which machine that needs
    about: str
    needs_gpu: bool
    config: Config


@cache
def presets() -> dict[str, Preset]:
    """All presets by name, the smallest first."""
    by_name = {}
    for path in PRESETS.glob("*.toml"):
        data = read_toml(path)
        about, needs_gpu = data.pop(ABOUT), data.pop(NEEDS_GPU)
        by_name[path.stem] = Preset(path.stem, about, needs_gpu, _merge(Config(), data, path.name))
    return dict(sorted(by_name.items(), key=lambda item: (_weights(item[1]), item[0])))


def _weights(preset: Preset) -> int:
    shape = shape_of(preset.config.model.base)
    return shape.parameters if shape else 0


def preset(name: str) -> Preset:
    """The preset of a name. Raises UserError, with similar names, if there is none."""
    if name not in presets():
        raise UserError(f"--preset {name}: no such preset: {near(name, presets())}")
    return presets()[name]


def load(
    preset_name: str | None = None,
    file: Path | None = None,
    settings: Sequence[str] = (),
    seed: int | None = None,
) -> Config:
    """The configuration that a command asks for. Raises UserError for invalid values."""
    data = read_toml(file) if file else {}
    data.pop(PRESET, None)
    preset_name = preset_name or (preset_of(file) if file else None)
    config = preset(preset_name).config if preset_name else Config()
    config = _merge(config, data, str(file))
    for setting in settings:
        config = _set(config, setting)
    if seed is not None:
        config = _merge(config, {"train": {"seed": seed}}, "--seed")
    check(config)
    return config


def preset_of(file: Path) -> str | None:
    """The preset that a user's file is based on, if it names one."""
    named = read_toml(file).get(PRESET)
    if named is not None and not isinstance(named, str):
        raise UserError(f"{file}: {PRESET} is {named!r}: expected the name of a preset")
    return named


def check(config: Config) -> None:
    """Raise UserError for values that are valid alone but not together."""
    low, high = config.data.band
    wrong = {
        f"data.band is {[low, high]}: expected the lower value first": low >= high,
        f"bench.puzzles is {config.bench.puzzles!r}, and so is train.validation: expected another "
        "set, because the best step is chosen on one and results are reported on the other": (
            config.bench.puzzles == config.train.validation
        ),
        f"data.puzzles is {config.data.puzzles}: expected data.puzzles_per_iteration "
        f"({config.data.puzzles_per_iteration}) or more, so that no iteration has a puzzle twice": (
            0 < config.data.puzzles < config.data.puzzles_per_iteration
        ),
        "model.lora_rank is above 0: expected model.backend hf": (
            config.model.lora_rank > 0 and config.model.backend != "hf"
        ),
        "update.bf16_updates is true: expected model.dtype bfloat16": (
            config.update.bf16_updates and config.model.dtype != "bfloat16"
        ),
        "loss.tis_cap is above 0: expected loss.old trainer": (
            config.loss.tis_cap > 0 and config.loss.old == "sampler"
        ),
    }
    for line, is_wrong in wrong.items():
        if is_wrong:
            raise UserError(line)
    difficulties = {"data.difficulty": (config.data.difficulty,)}
    for option, names in (difficulties | {"data.curriculum": config.data.curriculum}).items():
        for name in names:
            try:
                draw.settings(name)
            except UserError as error:
                raise UserError(f"{option}: {error}") from None


def _set(config: Config, setting: str) -> Config:
    """Apply one `--set`."""
    key, equals, text = setting.partition("=")
    section, dot, name = key.strip().partition(".")
    if not equals or not dot:
        raise UserError(f"--set {setting}: expected SECTION.KEY=VALUE, as in train.iterations=100")
    value = _parsed(values(config).get(key.strip()), text)
    return _merge(config, {section: {name: value}}, f"--set {setting}")


def _parsed(now: Any, text: str) -> Any:
    """Parse a value as TOML, of the type of `now`; words need no quotes, and lists no brackets."""
    if isinstance(now, tuple) and not text.startswith("["):
        return [_parsed(None, part.strip()) for part in text.split(",") if part.strip()]
    try:
        value = parse_toml(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text
    return text if isinstance(now, str) and not isinstance(value, str) else value


def _merge(config: Config, data: Mapping[str, Any], where: str) -> Config:
    """The configuration with some values replaced; errors name `where` the values come from."""
    return read(Config, merged(asdict(config), data), where)


@cache
def section_docs() -> dict[str, str]:
    """section -> its documentation."""
    return {name: str(cls.__doc__) for name, cls in get_type_hints(Config).items()}


@cache
def docs() -> dict[str, str]:
    """section.name -> the comment above the option."""
    comments = {}
    for section, cls in get_type_hints(Config).items():
        comment: list[str] = []
        for line in map(str.strip, inspect.getsource(cls).splitlines()):
            if line.startswith("#"):
                comment.append(line.removeprefix("# "))
            else:
                if comment:
                    comments[f"{section}.{line.partition(':')[0]}"] = " ".join(comment)
                comment = []
    return comments


def values(config: Config) -> dict[str, Any]:
    """section.name -> the value of every option."""
    return {
        f"{section.name}.{option.name}": getattr(getattr(config, section.name), option.name)
        for section in fields(config)
        for option in fields(getattr(config, section.name))
    }


def to_toml(config: Config) -> str:
    """The whole configuration, each option under its documentation."""
    lines: list[str] = []
    section = ""
    for key, value in values(config).items():
        table, _, name = key.partition(".")
        if table != section:
            section = table
            lines += ["", f"# {section_docs()[table]}", f"[{table}]"]
        lines += textwrap.wrap(docs()[key], 98, initial_indent="# ", subsequent_indent="# ")
        lines.append(f"{name} = {toml_value(value)}")
    return "\n".join(lines[1:]) + "\n"


def toml_value(value: Any) -> str:
    """A value as TOML writes it."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    return json.dumps(value, ensure_ascii=False)


def difference(old: Config, new: Config) -> list[str]:
    """A line for each option that differs."""
    before, after = values(old), values(new)
    return [
        f"{key} was {toml_value(before[key])}, now {toml_value(after[key])}"
        for key in before
        if before[key] != after[key]
    ]


def settle(config: Config, folder: Path) -> None:
    """Write a run's configuration. Raises UserError if the folder has another configuration."""
    path = folder / "config.toml"
    if path.exists():
        if changes := difference(load(file=path), config):
            raise UserError(
                f"{folder}: this run has another configuration ({'; '.join(changes)}): "
                "give the same one to resume it, or another --run"
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    replace(path, [to_toml(config).encode()])

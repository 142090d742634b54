"""Configurations from files and the command line, and back into a file.

* A preset's TOML comes first, then the user's own (`--config`), then each `--set KEY=VALUE`, then
  `--seed`. An error is one line that names the place of the wrong value and what is expected.
* A run's `config.toml` holds every knob under its line of documentation; it can be given as
  `--config`. The same configuration always makes the same file.
"""

from __future__ import annotations

import difflib
import inspect
import json
import math
import textwrap
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from tclue.config_files import read_toml
from tclue.errors import UserError
from tclue.puzzle.draw import DIFFICULTIES
from tclue_grpo.config import Config, Range
from tclue_grpo.model_size import shape_of

PRESETS = Path(__file__).parent / "presets"
# Keys of a preset's file beside the sections; a user's file may name the preset it is based on.
ABOUT, NEEDS_GPU, PRESET = "about", "needs_gpu", "preset"


@dataclass(frozen=True)
class Preset:
    """A configuration that comes with the trainer."""

    name: str
    # what it trains, and what machine that takes
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
    """The preset of a name; UserError, with the known names, if there is none."""
    if name not in presets():
        near = difflib.get_close_matches(name, presets(), 1)
        hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(presets())}"
        raise UserError(f"--preset {name}: no such preset: {hint}")
    return presets()[name]


def load(
    preset_name: str | None = None,
    file: Path | None = None,
    settings: Sequence[str] = (),
    seed: int | None = None,
) -> Config:
    """The configuration that a command asks for; UserError for invalid values."""
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
    """Refuse values that are valid alone but not together."""
    low, high = config.data.band
    wrong = {
        f"data.band is {[low, high]}: expected two shares, the lower first": not (
            0 <= low < high <= 1
        ),
        f"update.betas is {list(config.update.betas)}: expected two numbers from 0 to below 1": (
            not all(0 <= beta < 1 for beta in config.update.betas)
        ),
        f"bench.puzzles is {config.bench.puzzles!r}, which is train.validation too: the best step "
        "is chosen on one set and reported on another": (
            config.bench.puzzles == config.train.validation
        ),
        f"data.puzzles is {config.data.puzzles}: expected data.puzzles_per_iteration "
        f"({config.data.puzzles_per_iteration}) or more, so that no iteration has one twice": (
            0 < config.data.puzzles < config.data.puzzles_per_iteration
        ),
        "update.bf16_updates is true: expected model.dtype bfloat16 with it": (
            config.update.bf16_updates and config.model.dtype != "bfloat16"
        ),
        "loss.tis_cap is above 0: expected loss.old trainer with it": (
            config.loss.tis_cap > 0 and config.loss.old == "sampler"
        ),
    }
    for name in (config.data.difficulty, *config.data.curriculum):
        known = ", ".join(DIFFICULTIES)
        wrong[f"data: difficulty {name!r} is unknown: expected one of {known}"] = (
            name not in DIFFICULTIES
        )
    for line, is_wrong in wrong.items():
        if is_wrong:
            raise UserError(line)


def _set(config: Config, setting: str) -> Config:
    """Apply one `--set`."""
    key, equals, text = setting.partition("=")
    section, dot, name = key.strip().partition(".")
    if not equals or not dot:
        raise UserError(f"--set {setting}: expected SECTION.KEY=VALUE, as in train.iterations=100")
    return _merge(config, {section: {name: _parsed(f"{section}.{name}", text)}}, f"--set {setting}")


def _parsed(key: str, text: str) -> Any:
    """Parse a value as TOML; words need no quotes, lists no brackets."""
    kind = get_origin(types().get(key)) or types().get(key)
    if kind is tuple and not text.startswith("["):
        return [_parsed("", part.strip()) for part in text.split(",") if part.strip()]
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    return text if kind is str and not isinstance(value, str) else value


def _merge(config: Config, data: Mapping[str, Any], where: str) -> Config:
    """The configuration with some values replaced; errors name `where` the values come from."""
    for section, values in data.items():
        if section not in section_docs():
            near = difflib.get_close_matches(section, section_docs(), 1)
            known = f"did you mean {near[0]}?" if near else f"expected {_list(section_docs())}"
            raise UserError(f"{where}: {section!r} is no section: {known}")
        if not isinstance(values, Mapping):
            raise UserError(f"{where}: {section} is {values!r}: expected a table")
        new = {name: _value(f"{section}.{name}", value, where) for name, value in values.items()}
        config = replace(config, **{section: replace(getattr(config, section), **new)})
    return config


def _value(key: str, value: Any, where: str) -> Any:
    """A knob's value, checked."""
    if key not in types():
        name = key.partition(".")[2]
        near = difflib.get_close_matches(key, types(), 1) or [
            known for known in types() if known.partition(".")[2] == name
        ]
        section = key.partition(".")[0]
        known = f"did you mean {near[0]}?" if near else f"{section} has {_list(_names(section))}"
        raise UserError(f"{where}: no such knob {key}: {known}")
    kind = types()[key]
    expected, parsed = _read(kind, value)
    if expected:
        prefix = "" if where.startswith("--") else f"{key} is {json.dumps(value, default=str)}: "
        raise UserError(f"{where}: {prefix}expected {expected}")
    return parsed


def _read(kind: Any, value: Any) -> tuple[str | None, Any]:
    """(a description of valid values, None if this one is valid; and the converted value)."""
    limits = Range()
    if get_origin(kind) is Annotated:
        kind, limits = get_args(kind)
    if get_origin(kind) is Literal:
        return (None if value in get_args(kind) else f"one of {_list(get_args(kind))}"), value
    if get_origin(kind) is tuple:
        inner = get_args(kind)
        count = None if inner[-1] is Ellipsis else len(inner)
        wanted = f"a list of {count or 'any number of'} {'words' if inner[0] is str else 'numbers'}"
        if not isinstance(value, (list, tuple)) or count not in (None, len(value)):
            return wanted, value
        texts = [str(v) if inner[0] is str and type(v) is int else v for v in value]
        read = [_read(inner[0], v) for v in texts]
        return (wanted if any(wrong for wrong, _ in read) else None), tuple(v for _, v in read)
    if kind in (bool, str):
        words = {bool: "true or false", str: "text"}
        return (None if isinstance(value, kind) else words[kind]), value
    wanted = {int: "a whole number", float: "a number"}[kind] + _span(limits)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or (kind is int and not isinstance(value, int)) or not math.isfinite(value):
        return wanted, value
    low_enough = value > limits.low if limits.above else value >= limits.low
    return (None if low_enough and value <= limits.high else wanted), kind(value)


def _span(limits: Range) -> str:
    parts = []
    if limits.low > -math.inf:
        parts.append(f"{'above' if limits.above else 'from'} {limits.low:g}")
    if limits.high < math.inf:
        parts.append(f"to {limits.high:g}")
    if len(parts) == 1 and not limits.above:
        return f", {limits.low:g} or more"
    return "".join(f" {part}" for part in parts)


def _list(words: Any) -> str:
    return ", ".join(map(str, words))


def _names(section: str) -> list[str]:
    return [key.partition(".")[2] for key in types() if key.startswith(f"{section}.")]


@cache
def types() -> dict[str, Any]:
    """section.name -> the type of each knob."""
    sections = get_type_hints(Config)
    return {
        f"{section}.{name}": kind
        for section, cls in sections.items()
        for name, kind in get_type_hints(cls, include_extras=True).items()
    }


@cache
def section_docs() -> dict[str, str]:
    """section -> its line of documentation."""
    return {name: str(cls.__doc__) for name, cls in get_type_hints(Config).items()}


@cache
def docs() -> dict[str, str]:
    """section.name -> the comment above the knob."""
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
    """section.name -> value, of every knob."""
    return {
        f"{section.name}.{knob.name}": getattr(getattr(config, section.name), knob.name)
        for section in fields(config)
        for knob in fields(getattr(config, section.name))
    }


def to_toml(config: Config) -> str:
    """The whole configuration, each knob under its documentation."""
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
    """A line for each knob that differs."""
    before, after = values(old), values(new)
    return [
        f"{key} was {toml_value(before[key])}, now {toml_value(after[key])}"
        for key in before
        if before[key] != after[key]
    ]


def settle(config: Config, folder: Path) -> None:
    """Write a run's configuration; UserError if the folder has another configuration."""
    path = folder / "config.toml"
    if path.exists():
        if changes := difference(load(file=path), config):
            raise UserError(
                f"{folder}: is a run with another configuration ({'; '.join(changes)}): "
                "give the same one to go on, or another --run"
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".tmp")
    draft.write_text(to_toml(config), encoding="utf-8")
    draft.replace(path)

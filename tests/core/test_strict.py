"""Strict reading: what is refused, and that one line tells the place and what is right."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from annotated_types import MinLen

from tclue.config_files import read_toml
from tclue.errors import UserError
from tclue.strict import (
    OPEN,
    STRICT,
    Count,
    Day,
    NotNegative,
    Positive,
    Share,
    Text,
    TextOrNumber,
    check,
    near,
    parse,
    read,
    read_json,
)


@dataclass(frozen=True)
class Inner:
    size: Count | None = None
    kind: Literal["large", "small"] | None = None


@dataclass(frozen=True)
class Host:
    litellm: Text


@dataclass(frozen=True)
class Alias:
    hosts: Annotated[tuple[Host, ...], MinLen(1)]


@dataclass(frozen=True)
class Labelled:
    difficulty: TextOrNumber | None = None


@dataclass(frozen=True)
class Outer:
    __pydantic_config__ = STRICT

    name: Text
    price: NotNegative = 0.0
    share: Share = 0.5
    rate: Positive = 1.0
    on: bool = False
    day: Day | None = None
    words: Annotated[tuple[str, ...], MinLen(1)] = ("a",)
    pair: tuple[float, float] = (0.0, 1.0)
    inner: Inner = Inner()
    inners: tuple[Inner, ...] = ()
    by_name: Mapping[str, Inner] = field(default_factory=dict)
    anything: Any = None


@dataclass(frozen=True)
class Loose:
    __pydantic_config__ = OPEN

    name: str
    inner: Inner = Inner()


def said(data: Any, kind: type = Outer) -> str:
    with pytest.raises(UserError) as error:
        read(kind, data, "here.json")
    told = str(error.value)
    assert told.startswith("here.json: ")
    assert "\n" not in told
    return told.removeprefix("here.json: ")


def test_what_is_right_is_read() -> None:
    day = datetime.date(2026, 11, 24)
    data = {
        "name": "x",
        "price": 2,
        "words": ["a", "b"],
        "pair": [1, 2],
        "inner": {"size": 3},
        "by_name": {"one": {"kind": "small"}},
        "anything": {"deep": [1, None, 0.5]},
    }
    for written in (day, "2026-11-24"):
        found = read(Outer, {**data, "day": written}, "x")
        assert found.day == day
        assert (found.price, type(found.price)) == (2.0, float)
        assert (found.words, found.pair, found.inner) == (("a", "b"), (1.0, 2.0), Inner(3))
        assert (found.by_name, found.anything) == ({"one": Inner(None, "small")}, data["anything"])
    assert parse(Outer, b'{"name": "x"}', "x") == Outer("x") == read(Outer, {"name": "x"}, "x")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"name": ""}, 'name is "": expected a text that is not empty'),
        ({"name": 3}, "name is 3: expected a text"),
        ({"name": None}, "name is null: expected a text"),
        # TOML's own days and times are no texts, and a moment is no day.
        ({"name": datetime.date(2026, 1, 2)}, 'name is "2026-01-02": expected a text'),
        ({"day": datetime.datetime(2026, 1, 2)}, 'day is "2026-01-02 00:00:00": expected a day'),
        ({"day": "2026-02-30"}, 'day is "2026-02-30": expected a day, such as 2026-11-24'),
        ({"day": "20260203"}, 'day is "20260203": expected a day'),
        ({"day": 20260203}, "day is 20260203: expected a day"),
        ({"price": "1"}, 'price is "1": expected a number'),
        ({"price": True}, "price is true: expected a number"),
        ({"price": -1}, "price is -1: expected 0 or more"),
        ({"price": float("nan")}, "price is NaN: expected a finite number"),
        ({"price": float("inf")}, "price is Infinity: expected a finite number"),
        ({"share": 1.5}, "share is 1.5: expected at most 1"),
        ({"rate": 0}, "rate is 0: expected a number above 0"),
        ({"on": 1}, "on is 1: expected true or false"),
        ({"words": "a"}, 'words is "a": expected a list'),
        ({"words": []}, "words is []: expected 1 or more values"),
        ({"words": ["a", 2]}, "words.2 is 2: expected a text"),
        ({"pair": [1]}, "pair is [1]: expected a list of 2 values"),
        ({"pair": [1, 2, 3]}, "pair is [1, 2, 3]: expected a list of 2 values"),
        ({"inner": 3}, "inner is 3: expected fields with values"),
        ({"inner": {"size": 0}}, "inner.size is 0: expected 1 or more"),
        ({"inner": {"size": 1.0}}, "inner.size is 1.0: expected a whole number"),
        ({"inner": {"size": True}}, "inner.size is true: expected a whole number"),
        ({"inner": {"kind": "smal"}}, 'inner.kind is "smal": did you mean small?'),
        ({"inner": {"kind": 3}}, "inner.kind is 3: expected one of large, small"),
        ({"inner": {"sise": 1}}, "unknown field inner.sise: did you mean size?"),
        ({"inners": [{}, {"x": 1}]}, "unknown field inners.2.x: expected one of size, kind"),
        ({"by_name": {"one": {"x": 1}}}, "unknown field by_name.one.x: expected one of size"),
        ({"by_name": 3}, "by_name is 3: expected fields with values"),
        ({"new\nline": 1}, "unknown field new\\nline: expected one of name, price"),
        ({"nmae": 1}, "unknown field nmae: did you mean name?"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(changes: dict[str, Any], told: str) -> None:
    assert said({"name": "x", **changes}).startswith(told)


def test_what_is_missing_is_told_after_what_is_misspelt() -> None:
    assert said({}) == "name is missing"
    assert said({"nmae": "x"}) == "unknown field nmae: did you mean name?"
    assert said([]) == "all of it is []: expected fields with values"
    assert len(said({"name": ["x" * 1000]})) < 120


def test_an_item_that_lacks_a_field_is_told_and_not_its_list() -> None:
    with pytest.raises(UserError, match=r"^f: hosts\.1\.litellm is missing$"):
        read(Alias, {"hosts": [{}]}, "f")
    with pytest.raises(UserError, match=r"^f: hosts is \[\]: expected 1 or more values$"):
        read(Alias, {"hosts": []}, "f")


def test_data_that_is_nested_too_deeply_is_one_line(tmp_path: Path) -> None:
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    with pytest.raises(UserError, match=r"^f: nested too deeply"):
        read(Outer, deep, "f")
    path = tmp_path / "deep.toml"
    path.write_text(f"price = {'[' * 5000}")
    with pytest.raises(UserError, match=r"deep\.toml: not a TOML file"):
        read_toml(path)
    path.write_text(f"price = {'9' * 5000}")
    with pytest.raises(UserError, match=r"deep\.toml: not a TOML file"):
        read_toml(path)
    for start in ("", '"=".'):
        path.write_text(f"{start}{'a.' * 100_000}a = 1")
        with pytest.raises(UserError, match=r"a line has more than 1,000 dots"):
            read_toml(path)


def test_a_label_may_be_a_number() -> None:
    read_labels = [read(Labelled, {"difficulty": d}, "f").difficulty for d in ("easy", 5, None)]
    assert read_labels == ["easy", "5", None]
    with pytest.raises(UserError, match="difficulty is true: expected a text"):
        read(Labelled, {"difficulty": True}, "f")


def test_an_open_format_leaves_the_rest_unread() -> None:
    assert read(Loose, {"name": "x", "new": 1, "inner": {"new": 2}}, "x") == Loose("x")
    assert said({"name": 3}, Loose) == "name is 3: expected a text"


def test_json_that_cannot_be_read(tmp_path: Path) -> None:
    for text, message in (
        (b"{", "not JSON: "),
        (b"[" * 100_000, "nested too deeply: expected JSON with few levels"),
        (b"\xff", "not JSON: "),
    ):
        with pytest.raises(UserError, match=rf"here\.json: {message}"):
            parse(Outer, text, "here.json")
    # Python reads half a pair, which no file of ours can hold.
    assert parse(Outer, b'{"name": "a \\ud800"}', "x").name == "a ?"
    path = tmp_path / "none.json"
    with pytest.raises(UserError, match=r"none\.json: cannot be read: No such file"):
        read_json(path)
    path.write_text("{}")
    assert read_json(path) == {}


def test_toml_as_it_is_parsed() -> None:
    text = 'name = "x"\nday = 2026-11-24\nprice = inf\n'
    assert said(tomllib.loads(text)) == "price is Infinity: expected a finite number"
    assert said(tomllib.loads("name = 10:00:00\n")) == 'name is "10:00:00": expected a text'


def test_what_code_has_made_is_checked_under_the_name_that_a_person_gives_it() -> None:
    check(Inner(1, "large"), str)
    with pytest.raises(UserError) as error:
        check(Inner(0), lambda name: f"--{name}")
    assert str(error.value) == "--size is 0: expected 1 or more"
    with pytest.raises(UserError) as error:
        check(Inner(kind="x"), lambda name: f"--{name}")  # type: ignore[arg-type]
    assert str(error.value) == '--kind is "x": expected one of large, small'


def test_a_hint() -> None:
    assert near("smal", ["large", "small"]) == "did you mean small?"
    assert near("x", {"large": 1, "small": 2}) == "expected one of large, small"


def test_pydantic_is_imported_when_something_is_read() -> None:
    code = (
        "import sys, tclue.cli, tclue.strict, tclue.bench.records, tclue.puzzle.draw as draw; "
        "draw.settings('easy'); print(json := 'pydantic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.lower()) is False

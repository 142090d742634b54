"""Data from outside, read strictly into frozen dataclasses: files, and the command line.

    read(Entry, {"input": 1.25, ...}, "prices.toml, [[price]] 1")

* The dataclass is the format. The type of a field says what its value may be, with a range or a
  least length in `Annotated`. What several values mean together is checked beside the dataclass.
* Nothing is converted: "1" is no number, and neither is true. A whole number will do where any
  number does, a list where a tuple stands; NaN and infinity are no numbers.
* `__pydantic_config__ = STRICT` in a dataclass refuses fields that it does not have, `OPEN` leaves
  them unread. It holds for the dataclasses inside it too.
* What is wrong is told in one line: where, the field, its value, and what was expected.

pydantic does the work. It takes its time to import, so it is imported when something is first read.
"""

from __future__ import annotations

import datetime
import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args, get_type_hints

from annotated_types import Ge, Gt, Interval, MinLen

from tclue.errors import UserError

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

STRICT = {"strict": True, "allow_inf_nan": False, "extra": "forbid"}
OPEN = {**STRICT, "extra": "ignore"}

_T = TypeVar("_T")
# TOML's days and times, on their way through JSON: under this name, so that no text is one.
_DAY = "\0day"


class _DayFormat:
    """Lets a field take a day that TOML has a type for, and one that is written as a text."""

    def __get_pydantic_core_schema__(self, *_: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(_day)


Text = Annotated[str, MinLen(1)]
Count = Annotated[int, Ge(1)]
CountOrZero = Annotated[int, Ge(0)]
Positive = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0)]
Share = Annotated[float, Interval(ge=0, le=1)]
Day = Annotated[datetime.date, _DayFormat()]

_ADAPTERS: dict[Any, TypeAdapter[Any]] = {}
# What was expected, by the kind of a fault that pydantic finds.
_EXPECTED = {
    "bool_type": "true or false",
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "a text",
    "string_too_short": "a text that is not empty",
    "value_error": "a day, such as 2026-11-24",
    "is_instance_of": "a path",
    "tuple_type": "a list",
    "dict_type": "fields with values",
    "dataclass_type": "fields with values",
    "greater_than": "a number above {gt:g}",
    "greater_than_equal": "{ge:g} or more",
    "less_than": "a number below {lt:g}",
    "less_than_equal": "at most {le:g}",
    "too_short": "{min_length} or more of them",
    "too_long": "{max_length} of them",
}


def read(kind: type[_T], data: Any, where: str) -> _T:
    """Parsed JSON or TOML as a dataclass; `where` it stands is told when something is wrong.

    Raises UserError, in one line, for the first thing that is wrong.
    """
    from pydantic import ValidationError

    # By way of JSON, where a list is a tuple, too: among Python's own values it is none, strictly.
    text = json.dumps(data, default=lambda day: {_DAY: str(day)}, ensure_ascii=False)
    try:
        # Half a surrogate pair, which JSON can spell, is replaced as it is in what we write.
        return _adapter(kind).validate_json(text.encode("utf-8", "replace"))
    except ValidationError as error:
        raise UserError(f"{where}: {_describe_error(error, kind)}") from None


def parse(kind: type[_T], text: bytes, where: str) -> _T:
    """JSON as a dataclass, as `read` does it, but faster where nothing is wrong."""
    try:
        return _adapter(kind).validate_json(text)
    except ValueError:
        return read(kind, parse_json(text, where), where)


def check(instance: Any, shown_name: Callable[[str], str]) -> None:
    """Refuse a dataclass that code has made, where a value is not what its field says.

    `named` is what a person calls a field.
    """
    from pydantic import ValidationError

    for name, hint in get_type_hints(type(instance), include_extras=True).items():
        try:
            _adapter(hint, STRICT).validate_python(getattr(instance, name))
        except ValidationError as error:
            raise UserError(_describe_error(error, hint, shown_name(name))) from None


def read_json(path: Path) -> Any:
    """What a JSON file holds; UserError, naming it, where it cannot be read."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    return parse_json(text, str(path))


def parse_json(text: str | bytes, where: str) -> Any:
    """What a JSON text says; UserError, saying where it stands, where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: not JSON: {error}") from None


def near(word: str, names: Iterable[str]) -> str:
    """A hint for a word that is not known: the one that it is like, or all there are."""
    names = list(names)
    similar = difflib.get_close_matches(word, names, 1)
    return f"did you mean {similar[0]}?" if similar else f"expected one of {', '.join(names)}"


def _adapter(kind: type[_T], config: Any = None) -> TypeAdapter[_T]:
    adapter: TypeAdapter[_T] | None = _ADAPTERS.get(kind)
    if adapter is None:
        from pydantic import TypeAdapter

        adapter = _ADAPTERS[kind] = TypeAdapter(kind, config=config)
    return adapter


def _day(value: Any) -> datetime.date:
    text = _unwrapped(value)
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", str(text)):
        raise ValueError
    return datetime.date.fromisoformat(text)


def _describe_error(error: ValidationError, kind: Any, *outer: str) -> str:
    """The first fault of a value; `outer` is what it is called itself, if anything."""
    # A misspelt field is also one that is missing: it is the former that is told.
    fault = min(error.errors(), key=lambda each: each["type"] == "missing")
    path, fault_type = fault["loc"], fault["type"]
    # Lists count from 1. In one line, whatever a key may hold.
    parts = (*outer, *(str(part + 1 if isinstance(part, int) else part) for part in path))
    key = json.dumps(".".join(parts), ensure_ascii=False)[1:-1] or "all of it"
    if fault_type == "missing":
        return f"{key} is missing"
    if fault_type == "unexpected_keyword_argument":
        names = [field.name for field in fields(_kind_at(kind, path[:-1]))]
        return f"unknown field {key}: {near(str(path[-1]), names)}"
    if fault_type == "literal_error":
        expected = near(str(fault["input"]), get_args(_kind_at(kind, path)))
    elif fault_type in _EXPECTED:
        expected = f"expected {_EXPECTED[fault_type].format(**fault.get('ctx', {}))}"
    else:
        expected = fault["msg"]
    shown = json.dumps(_unwrapped(fault["input"]), default=str, ensure_ascii=False)
    return f"{key} is {shown if len(shown) <= 80 else shown[:77] + '...'}: {expected}"


def _kind_at(kind: Any, path: tuple[str | int, ...]) -> Any:
    """The type of what stands at a place inside a value, without the None that also may."""
    if NoneType in get_args(kind):
        return _kind_at(_inner(kind), path)
    if not path:
        return kind
    inside = get_type_hints(kind)[str(path[0])] if is_dataclass(kind) else _inner(kind)
    return _kind_at(inside, path[1:])


def _inner(kind: Any) -> Any:
    """What a mapping, a tuple, or a union with None holds."""
    return [part for part in get_args(kind) if part not in (Ellipsis, NoneType)][-1]


def _unwrapped(value: Any) -> Any:
    return value.get(_DAY, value) if isinstance(value, Mapping) else value

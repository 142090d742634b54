"""Data from files and the command line, read strictly into frozen dataclasses.

    read(Entry, {"input": 1.25, ...}, "prices.toml, [[price]] 1")

* The dataclass defines the format. The type of a field says which values are allowed, with a range
  or a minimum length in `Annotated`. Callers check what depends on several fields.
* Nothing is converted: "1" and true are not numbers. Two exceptions: an integer is valid for a
  float, and a list for a tuple. NaN and infinity are not numbers.
* `__pydantic_config__ = STRICT` in a dataclass refuses unknown fields, `OPEN` ignores them. It also
  applies to nested dataclasses.
* An error is one line: the place, the field, its value, and what was expected.

pydantic does the work. It is imported when something is first read, because its import is slow.
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

from annotated_types import Ge, Interval, MinLen

from tclue.errors import UserError

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

STRICT = {"strict": True, "allow_inf_nan": False, "extra": "forbid"}
OPEN = {**STRICT, "extra": "ignore"}

_T = TypeVar("_T")
# The key under which TOML's dates are passed through JSON, so that no text is mistaken for one.
_DAY = "\0day"


class _Validator:
    """A validator of pydantic's, `BeforeValidator` for example, imported when it is first used."""

    def __init__(self, kind: str, function: Callable[..., Any]) -> None:
        self._kind, self._function = kind, function

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        import pydantic

        validator = getattr(pydantic, self._kind)(self._function)
        return validator.__get_pydantic_core_schema__(source, handler)


def _text_or_number(value: Any) -> Any:
    """A number as a text, because earlier versions recorded both."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if is_number else value


def _as_written(value: Any, validate: Callable[[Any], Any]) -> Any:
    """A valid number as it is: hashes distinguish 1 and 1.0."""
    validate(value)
    return value


def _day(value: Any) -> datetime.date:
    """A date of TOML, or one in a text."""
    text = _unwrapped(value)
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", str(text)):
        raise ValueError
    return datetime.date.fromisoformat(text)


Text = Annotated[str, MinLen(1)]
TextOrNumber = Annotated[str, _Validator("BeforeValidator", _text_or_number)]
# Nothing that is counted or paid is larger. Sums of larger numbers would overflow.
LARGEST = 10**12
Count = Annotated[int, Interval(ge=1, le=LARGEST)]
Several = Annotated[int, Interval(ge=2, le=LARGEST)]
CountOrZero = Annotated[int, Interval(ge=0, le=LARGEST)]
# Providers and file formats take 64 bits. A record may have a larger seed, from before this limit.
LARGEST_SEED = 2**63 - 1
Seed = Annotated[int, Interval(ge=0, le=LARGEST_SEED)]
RecordedSeed = Annotated[int, Ge(0)]
Positive = Annotated[float, Interval(gt=0, le=LARGEST)]
NotNegative = Annotated[float, Interval(ge=0, le=LARGEST)]
AsWritten = Annotated[float, _Validator("WrapValidator", _as_written)]
NotNegativeAsWritten = Annotated[NotNegative, _Validator("WrapValidator", _as_written)]
Share = Annotated[float, Interval(ge=0, le=1)]
Day = Annotated[datetime.date, _Validator("PlainValidator", _day)]

_ADAPTERS: dict[Any, TypeAdapter[Any]] = {}
# pydantic's error type -> what was expected
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
    "greater_than": "a number above {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "a number below {lt}",
    "less_than_equal": "at most {le}",
    "too_short": "{min_length} or more values",
    "too_long": "a list of {max_length} values",
}


def read(kind: type[_T], data: Any, where: str) -> _T:
    """Parsed JSON or TOML as a dataclass.

    Raises UserError, one line that begins with `where`, for the first error.
    """
    from pydantic import ValidationError

    # By way of JSON, because in strict mode pydantic takes a list for a tuple only from JSON.
    try:
        text = json.dumps(data, default=lambda day: {_DAY: str(day)}, ensure_ascii=False)
        # JSON can contain an unpaired surrogate. It is replaced, as in everything that we write.
        return _adapter(kind).validate_json(text.encode("utf-8", "replace"))
    except RecursionError:
        raise UserError(f"{where}: nested too deeply: expected the fields of a table") from None
    except ValidationError as error:
        raise UserError(f"{where}: {_describe_error(error, kind)}") from None


def parse(kind: type[_T], text: bytes, where: str) -> _T:
    """JSON text as a dataclass, like `read`, but faster if the text is valid."""
    try:
        return _adapter(kind).validate_json(text)
    except ValueError:
        return read(kind, parse_json(text, where), where)


def check(instance: Any, shown_name: Callable[[str], str]) -> None:
    """Raise UserError if a field of a dataclass instance has an invalid value.

    `shown_name` gives the name of a field in the error.
    """
    from pydantic import ValidationError

    for name, hint in get_type_hints(type(instance), include_extras=True).items():
        try:
            _adapter(hint, STRICT).validate_python(getattr(instance, name))
        except ValidationError as error:
            raise UserError(_describe_error(error, hint, shown_name(name))) from None


def read_json(path: Path) -> Any:
    """The value of a JSON file. Raises UserError if it cannot be read."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    return parse_json(text, str(path))


def parse_json(text: str | bytes, where: str) -> Any:
    """The value of a JSON text. Raises UserError, which begins with `where`, if it is invalid."""
    try:
        # From bytes, Python would guess an encoding, such as UTF-32 for a line of zeros.
        plain = text if isinstance(text, str) else text.decode("utf-8-sig", "surrogatepass")
        return json.loads(plain)
    except RecursionError:
        raise UserError(f"{where}: nested too deeply: expected JSON with few levels") from None
    except json.JSONDecodeError as error:
        # The place may name a line already, so a single line is not numbered.
        line = f"line {error.lineno}, " if error.lineno > 1 else ""
        raise UserError(f"{where}: not JSON: {error.msg} ({line}column {error.colno})") from None
    except ValueError as error:
        raise UserError(f"{where}: not JSON: {error}") from None


def near(word: str, names: Iterable[str]) -> str:
    """A hint for an unknown word: the most similar known word, or all of them."""
    names = list(names)
    similar = difflib.get_close_matches(word[:100], names, 1)
    return f"did you mean {similar[0]}?" if similar else f"expected one of {', '.join(names)}"


def _adapter(kind: type[_T], config: Any = None) -> TypeAdapter[_T]:
    adapter: TypeAdapter[_T] | None = _ADAPTERS.get(kind)
    if adapter is None:
        from pydantic import TypeAdapter

        adapter = _ADAPTERS[kind] = TypeAdapter(kind, config=config)
    return adapter


def _describe_error(error: ValidationError, kind: Any, *outer: str) -> str:
    """The first error of a value in one line. `outer` is the name of the value, if it has one."""
    # A misspelt field causes a missing one too, and a wrong item a list that is too short. Report
    # the misspelling or the item.
    rank = {"missing": 1, "too_short": 2}
    fault = min(error.errors(), key=lambda each: rank.get(each["type"], 0))
    path, fault_type = fault["loc"], fault["type"]
    if fault_type == "missing" and isinstance(path[-1], int):
        path, fault_type = path[:-1], "too_few"  # values in a tuple of fixed length
    # List items count from 1. JSON's escapes keep a key on one line.
    parts = (*outer, *(str(part + 1 if isinstance(part, int) else part) for part in path))
    key = json.dumps(".".join(parts), ensure_ascii=False)[1:-1] if parts else "all of it"
    if fault_type == "missing":
        return f"{key} is missing"
    if fault_type == "unexpected_keyword_argument":
        names = [field.name for field in fields(_kind_at(kind, path[:-1]))]
        return f"unknown field {key}: {near(str(path[-1]), names)}"
    if fault_type == "literal_error":
        expected = near(str(fault["input"]), get_args(_kind_at(kind, path)))
    elif fault_type == "too_few":
        expected = f"expected a list of {len(get_args(_kind_at(kind, path)))} values"
    elif fault_type in _EXPECTED:
        limits = {
            name: f"{limit:g}" if isinstance(limit, float) or limit == LARGEST else limit
            for name, limit in fault.get("ctx", {}).items()
        }
        expected = f"expected {_EXPECTED[fault_type].format(**limits)}"
    else:
        expected = fault["msg"]
    shown = json.dumps(_unwrapped(fault["input"]), default=str, ensure_ascii=False)
    return f"{key} is {shown if len(shown) <= 80 else shown[:77] + '...'}: {expected}"


def _kind_at(kind: Any, path: tuple[str | int, ...]) -> Any:
    """The type at a path inside a type, without the None of an optional type."""
    if NoneType in get_args(kind):
        return _kind_at(_inner(kind), path)
    if not path:
        return kind
    inside = get_type_hints(kind)[str(path[0])] if is_dataclass(kind) else _inner(kind)
    return _kind_at(inside, path[1:])


def _inner(kind: Any) -> Any:
    """The inner type of a mapping, a tuple, or a union with None."""
    return [part for part in get_args(kind) if part not in (Ellipsis, NoneType)][-1]


def _unwrapped(value: Any) -> Any:
    return value.get(_DAY, value) if isinstance(value, Mapping) else value

"""Imports run one way: no circles, nothing against the direction in docs/reference/architecture.md.

Every import statement counts, inside functions and under TYPE_CHECKING too.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from places import ROOT

DIRECTION = re.compile(r"^```direction\n(.*?)^```$", re.S | re.M)


def modules() -> dict[str, Path]:
    """Name -> file of every module of the two packages."""
    found = {}
    for base, package in ((ROOT, "tclue"), (ROOT / "trainers", "tclue_grpo")):
        for path in (base / package).rglob("*.py"):
            parts = path.relative_to(base).with_suffix("").parts
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


def imported(text: str, known: Mapping[str, object]) -> Iterator[str]:
    """The modules among the known ones that a source text imports, wherever in it."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, "relative imports are not read here"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield from (
                    {name, node.module} & set(known)
                    if name in known
                    else ({node.module} & set(known))
                )


def graph(paths: Mapping[str, Path]) -> dict[str, set[str]]:
    """Module -> the modules that it imports. A package is not said to import its own modules."""
    edges = {}
    for name, path in paths.items():
        targets = set(imported(path.read_text(encoding="utf-8"), paths))
        # The packages' own files hold no code.
        targets -= {name, "tclue", "tclue_grpo"}
        edges[name] = {target for target in targets if not name.startswith(f"{target}.")}
    return edges


def layers(page: str) -> list[list[str]]:
    """The direction that a page states: a layer a line, the lowest first; names with blanks."""
    block = DIRECTION.search(page)
    assert block, "docs/reference/architecture.md has no ```direction block"
    return [line.split() for line in block[1].splitlines() if line.strip()]


def layer_of(module: str, places: list[list[str]]) -> int:
    """The layer of the longest name that a module lies below."""
    fits = [
        (len(name), height)
        for height, names in enumerate(places)
        for name in names
        if module == name or module.startswith(f"{name}.")
    ]
    assert fits, f"{module} has no place in docs/reference/architecture.md"
    return max(fits)[1]


def area_of(module: str, places: list[list[str]]) -> str:
    """The longest name that a module lies below."""
    names = [name for names in places for name in names]
    return max((n for n in names if module == n or module.startswith(f"{n}.")), key=len)


def test_no_module_imports_itself_by_way_of_others() -> None:
    try:
        TopologicalSorter(graph(modules())).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' -> '.join(error.args[1])}")


def test_no_import_runs_against_the_direction() -> None:
    places = layers((ROOT / "docs" / "reference" / "architecture.md").read_text(encoding="utf-8"))
    against = [
        f"{module} imports {target}"
        for module, targets in graph(modules()).items()
        for target in targets
        if layer_of(target, places) > layer_of(module, places)
    ]
    assert not against
    # Of one layer, none knows another.
    beside = [
        f"{module} imports {target}"
        for module, targets in graph(modules()).items()
        for target in targets
        if layer_of(target, places) == layer_of(module, places)
        and area_of(target, places) != area_of(module, places)
    ]
    assert not beside


def test_imports_are_seen_wherever_they_stand() -> None:
    text = """
import tclue.a
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from tclue import b
def f():
    from tclue.c import thing
"""
    known = dict.fromkeys(["tclue", "tclue.a", "tclue.b", "tclue.c", "tclue.d"])
    assert set(imported(text, known)) == {"tclue.a", "tclue", "tclue.b", "tclue.c"}
    circle = {"tclue.a": {"tclue.b"}, "tclue.b": {"tclue.a"}}
    with pytest.raises(CycleError):
        TopologicalSorter(circle).prepare()


def test_a_module_lies_on_the_layer_of_its_longest_name() -> None:
    places = layers("x\n```direction\ntclue.errors tclue.strict\ntclue.puzzle\ntclue.cli\n```\n")
    assert layer_of("tclue.errors", places) == 0
    assert layer_of("tclue.puzzle.grading.grade", places) == 1
    assert layer_of("tclue.cli", places) == 2
    with pytest.raises(AssertionError, match=r"tclue\.other has no place"):
        layer_of("tclue.other", places)
    assert area_of("tclue.puzzle.sat", places) == "tclue.puzzle"

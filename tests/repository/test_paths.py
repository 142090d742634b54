"""The files that documents, docstrings and comments name exist, and links lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator

from checkout import tracked_files
from places import ROOT

# A path from the checkout's root, as prose and comments write it.
PATH = re.compile(
    r"(?<![\w/.])((?:tclue|trainers|tests|scripts|benchmarks|docs|tasks)/[\w./-]*\w\.(?:py|toml|md|sh|yaml))\b"
)
# A link or a picture in Markdown or HTML, to a file of the checkout: its path and its anchor.
LINK = re.compile(r"""(?:\]\(|(?:src|srcset|href)=")(?!\w+:)([^)"#\s]*)#?([^)"\s]*)[)"]""")
# Not in the checkout: in a user's configuration folder, and in the built wheel.
ELSEWHERE = {"tclue/models.toml", "tclue/tasks/temporal_clue/temporal_clue_by_difficulty.yaml"}
# What was true on its day stays as it was written.
HISTORY = ("docs/log.md", "results/", "leaderboards/")


def named(text: str) -> Iterator[str]:
    """The paths in a text."""
    yield from (match[1] for match in PATH.finditer(text))


def test_every_path_that_is_named_is_there() -> None:
    kinds = (".py", ".md", ".toml", ".sh", ".yaml", "Makefile", ".ci/run")
    lost = [
        f"{file} names {path}"
        for file in tracked_files()
        if file.endswith(kinds) and not file.startswith(HISTORY) and (ROOT / file).is_file()
        for path in named((ROOT / file).read_text(encoding="utf-8"))
        if path not in ELSEWHERE and not (ROOT / path).exists()
    ]
    assert not lost


def anchors(markdown: str) -> set[str]:
    """The anchors that GitHub makes of the headings."""
    prose = re.sub(r"^```.*?^```$", "", markdown, flags=re.S | re.M)
    headings = re.findall(r"^#+ (.+)$", prose, re.M)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


def pages() -> dict[str, str]:
    """The README and the pages of docs/: path -> text."""
    paths = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in paths}


def test_every_link_leads_somewhere() -> None:
    lost = []
    for page, text in pages().items():
        for path, anchor in LINK.findall(text):
            target = (ROOT / page).parent / path if path else ROOT / page
            if not target.exists() or (
                anchor and anchor not in anchors(target.read_text(encoding="utf-8"))
            ):
                lost.append(f"{page} links to {path}#{anchor}")
    assert not lost


def test_every_page_is_listed() -> None:
    contents = pages()["docs/README.md"]
    paths = [page.removeprefix("docs/") for page in pages() if page.startswith("docs/")]
    assert [path for path in paths if path != "README.md" and f"({path})" not in contents] == []


def test_links_and_anchors_are_read() -> None:
    text = '[a](b/c.md#some-part) <img src="x.svg"> [d](https://e.org/f) [g](#here)'
    assert LINK.findall(text) == [("b/c.md", "some-part"), ("x.svg", ""), ("", "here")]
    assert anchors("# Undo `a --b`, now\n```\n# no\n```\n") == {"undo-a---b-now"}


def test_paths_are_found_in_prose() -> None:
    lost = "/".join(["tests", "no", "such.py"])  # not as one word: this file is read too
    text = f"see `{lost}`, (scripts/tiny/train.py) and ../docs/log.md, not mytests/x.py"
    assert list(named(text)) == [lost, "scripts/tiny/train.py"]

"""Write the table of the trainer's settings into docs/reference/configuration.md.

The descriptions are the comments in tclue_grpo/config.py.

python scripts/knobs.py [--check]      # --check writes nothing; exit code 1 if it is stale
"""

from __future__ import annotations

import sys
from pathlib import Path

from tclue_grpo.config import Config
from tclue_grpo.config_file import docs, section_docs, toml_value, values

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "configuration.md"
BEGIN, END = "<!-- knobs: scripts/knobs.py -->\n", "<!-- end of knobs -->\n"


def table() -> str:
    """A table for each section."""
    lines: list[str] = []
    section = ""
    for key, value in values(Config()).items():
        if key.partition(".")[0] != section:
            section = key.partition(".")[0]
            lines += ["", f"**{section}**: {section_docs()[section]}", ""]
            lines += ["| setting | default | meaning |", "|---|---|---|"]
        lines.append(f"| `{key}` | `{toml_value(value)}` | {docs()[key].replace('|', '/')} |")
    return "\n".join(lines) + "\n\n"


def main() -> None:
    """Update the page, or report that it is out of date."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        sys.exit(f"{PAGE}: expected {BEGIN.strip()} and {END.strip()}")
    new = before + BEGIN + table() + END + after
    if "--check" in sys.argv[1:] and new != page:
        sys.exit(f"{PAGE}: is not what config.py says: python scripts/knobs.py")
    if new != page:
        PAGE.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()

"""Text from outside: what of it reaches a screen, a page or a picture."""

from __future__ import annotations

import subprocess
import sys

import pytest
from commands import environment

from tclue.secrets import error_line
from tclue.text import clean, screen, shortened


@pytest.mark.parametrize(
    "code",
    [
        *(0x00, 0x07, 0x08, 0x0A, 0x0D, 0x1B, 0x7F),  # C0 and DEL
        *(0x80, 0x85, 0x9B, 0x9D, 0x9F),  # C1: among them one-byte CSI and OSC
        *(0x200E, 0x200F, 0x202A, 0x202E, 0x2066, 0x2069, 0x061C),  # direction of writing
        *(0x00AD, 0x200B, 0x200D, 0x2060, 0xFEFF, 0x180E),  # no width
        *(0x2028, 0x2029),  # ends of lines
        *(0xE0001, 0xE0041, 0xE007F),  # tags, which nobody sees
        *(0xD800, 0xDFFF),  # halves of characters
        *(0xE000, 0xF0000, 0xFFFE, 0x0378),  # private and unassigned
    ],
)
def test_what_is_no_character_to_see(code: int) -> None:
    assert clean(f"a{chr(code)}b") == "a\ufffdb"


@pytest.mark.parametrize(
    "text", ["", "gpt-4.1", "Ünïcode 模型 ✓", "a\xa0b", "e\u0301", "👍", "⚠\ufe0f"]
)
def test_what_a_person_writes_stays(text: str) -> None:
    assert clean(text) == text


def test_floods() -> None:
    assert clean("a" + "\u0301" * 1000 + "b") == "a" + "\u0301" * 4 + "b"
    long = "x" * 160 + "..." + "x" * 80
    assert shortened("x" * 10_000_000) == f"{long} ... {long}"
    assert shortened(f"no such file: {'x' * 999}") == f"no such file: {long}"
    assert len(shortened("word " * 1_000_000)) < 4000
    assert shortened("a line") == "a line"
    assert error_line("no\x1b[2J\n\u202ekey " + "x" * 999).startswith("no\ufffd[2J \ufffdkey xxx")


def test_commands_to_a_screen() -> None:
    text = "\x1b[2K\r\x1b[31mred\x1b[0m\x1b]0;title\x07 \u202e\x9b2J\n\tb"
    assert (
        screen(text, terminal=False)
        == "\ufffd[2K\ufffd\ufffd[31mred\ufffd[0m\ufffd]0;title\ufffd \ufffd\ufffd2J\n\tb"
    )
    assert (
        screen(text, terminal=True)
        == "\x1b[2K\r\x1b[31mred\x1b[0m\ufffd]0;title\ufffd \ufffd\ufffd2J\n\tb"
    )


def test_a_log_holds_no_command_and_a_pipe_its_data() -> None:
    code = """
import sys
from tclue.secrets import guard
guard()
print("a\\x1b[2J", file=sys.stderr)
print("a\\u202e")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, check=True
    )
    assert done.stderr.decode() == "a\ufffd[2J\n"
    assert done.stdout.decode() == "a\u202e\n"

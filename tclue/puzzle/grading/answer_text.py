"""A model's text as plain lines: without reasoning and markup, and with times in one form.

These are the rules:
- The text between a thinking tag and the next closing tag is reasoning, and so is everything after
  a tag that is never closed. A closing tag without an opening tag ends reasoning that began with
  the text.
- Markdown, LaTeX, HTML and JSON are not parsed. Their marks are removed, and whatever starts a new
  item (a LaTeX box or row, a JSON key of one letter, a line break) starts a new line.
- Each step is one pass over the text, with patterns that cannot backtrack far, so the time is
  linear in the length. Unicode normalization is not used, because it is quadratic in the length of
  a run of combining marks.
"""

import re
from unicodedata import normalize

FINAL_HEADING = "final answer"

_SIGNS: dict[int, str | None] = {
    **dict.fromkeys([0x09, 0x0B, 0x0C, 0xA0, 0x1680, *range(0x2000, 0x200B)], " "),
    **dict.fromkeys([0x202F, 0x205F, 0x3000], " "),
    **dict.fromkeys([0x0D, 0x85, 0x2028, 0x2029], "\n"),
    # zero-width characters, soft hyphens, variation selectors
    **dict.fromkeys([0xAD, *range(0x200B, 0x2010), *range(0x202A, 0x202F)], None),
    **dict.fromkeys([0x2060, 0xFE0E, 0xFE0F, 0xFEFF], None),
    # Emoji are removed, except for those that mean "no".
    **{sign: None for sign in range(0x1F300, 0x1FB00) if chr(sign) not in "🚫👎🙅🛑"},
    **dict.fromkeys([0x2010, 0x2011], "-"),
    # A tick separates words, as a dash does.
    **dict.fromkeys([*range(0x2012, 0x2016), 0x2212, *map(ord, "✓✔✅☑")], " - "),
    **dict.fromkeys(map(ord, "‘’‚‛′ʼ"), "'"),
    **dict.fromkeys(map(ord, "“”„‟″«»「」『』"), '"'),
    **dict.fromkeys(map(ord, "→⇒➔➜➡⟶⟹▸►▶➤"), "->"),
    **{wide: chr(wide - 0xFEE0) for wide in range(0xFF01, 0xFF5F)},
    **dict(zip(map(ord, "。、…【】∶،"), (".", ".", "...", "[", "]", ":", ","), strict=True)),
    # styled letters such as 𝗔
    **{style: normalize("NFKC", chr(style)) for style in range(0x1D400, 0x1D800)},
}
_MARKS = str.maketrans("", "", '*_`"{}$')
_JOINT = re.compile(r"(?<=[^\W_])_(?=[^\W_])")  # Miss_Scarlet

_THINKING = re.compile(
    r"""<\s{0,3}(?P<close>/\s{0,3}|\|?/?end_)?\|?
    [\w:.-]{0,24}(?:think|thought|reason|reflect|scratchpad|analysis|monologue)[\w.-]{0,24}
    (?:\s[^<>]{0,80})?(?<!/)\|?>
    |\[(?P<close_bracket>/)?think\]|◁(?P<close_triangle>/)?think▷
    |<\|channel\|>(?:analysis|commentary|(?P<close_channel>final))""",
    re.VERBOSE,
)
_ANSWER_TAG = re.compile(r"<(?:final[_ -]?)?(?:answers?|solution|output|response|result)>")
_LINE_TAG = re.compile(
    r"</?(?:br|p|li|ul|ol|tr|table|div)(?: [^<>\n]{0,60})?/?>"
    r"|</(?:final[_ -]?)?(?:answers?|solution|output|response|result)>"
)
_CELL_TAG = re.compile(r"</?t[dh](?: [^<>\n]{0,60})?>")
_SILENT_TAG = re.compile(
    r"</?(?:b|strong|i|em|u|code|span|sup|sub|small)>|<\|[^<>|\n]{1,40}\|>|</s>|<eos>|<end_of_turn>"
    r"|&nbsp;"
)

_LATEX = [
    (re.compile(r"\\(?:text[a-z]{0,6}|math[a-z]{0,6}|emph|underline|displaystyle|large)\b"), ""),
    (re.compile(r"\\{1,2}f?box(?:ed)?[ {]*(?=[(\[]?[a-z] ?[.):\]])"), "\n"),
    (re.compile(r"\\{1,2}f?box(?:ed)?"), ""),
    (re.compile(r"\\item\b"), "\n"),
    (re.compile(r"\\(?:begin|end)\{[a-z*]{1,20}\}(?:\{[^{}\n]{0,20}\})?"), "\n"),
    (re.compile(r"\\\\(?:\[[^\[\]\n]{0,10}\])?|\\newline\b|\\n(?=[^a-z]|[a-z] ?[.):\]])"), "\n"),
    (re.compile(r"\\(?:rightarrow|to|implies)\b"), "->"),
    (re.compile(r"\\(?:q?quad\b|[,;:! ])|~(?<=[\w.:)]~)(?=\w)"), " "),
    (re.compile(r"\\[()\[\]]"), ""),
    (re.compile(r"\\(?=[^\w\s])"), ""),
]

# {"A": "X", ...}, and a list of {"question": "A", "answer": "X"}.
_LETTER_KEY = re.compile(
    r"""[{,]\s*["']([a-z])[.)]?["']\s*:"""
    r"""|\{\s*["'](?:letter|question|question_?id|id|key|label|item|q)["']\s*:\s*["']([a-z])[.)]?["']"""
)
_TIME = re.compile(
    r"(?<!\d)(?<!\d:)(\d{1,2})(?:[:.](\d\d))? ?([ap])(?:\. ?)?m\b\.?"
    r"|(?<!\d)(?<!\d:)(\d{1,2}):(\d\d)(?![\d:])"
)
_TOKEN = re.compile(r"\d\d:\d\d(?:[ap]m)?|\w+(?:'\w+)*|[^\w\s]")
_SPACES = re.compile(r" {2,}")


def tokens(text: str) -> list[str]:
    """The words and signs of a plain line. A clock time is one word."""
    return _TOKEN.findall(text)


def plain_text(text: str) -> str:
    """A text in lower case, with one kind of space, dash and quote, and times as "01:00am".

    A time without "am" or "pm" stays as it is ("01:00"), unless the 24-hour clock shows which half
    of the day is meant ("00:30", "23:30").
    """
    text = _JOINT.sub(" ", text.translate(_SIGNS).casefold()).translate(_MARKS)
    return _TIME.sub(_normal_time, _SPACES.sub(" ", text))


def plain_lines(text: str) -> list[str]:
    """The plain lines of a text without its reasoning."""
    text = _without_reasoning(text.translate(_SIGNS).casefold())
    text = _ANSWER_TAG.sub(f"\n{FINAL_HEADING}\n", text)
    text = _CELL_TAG.sub(" | ", _LINE_TAG.sub("\n", text))
    text = _SILENT_TAG.sub("", text)
    for pattern, mark in _LATEX:
        text = pattern.sub(mark, text)
    text = _LETTER_KEY.sub(lambda match: f"\n{match[1] or match[2]}:", text)
    return [line.strip() for line in plain_text(text).split("\n")]


def _normal_time(matched: re.Match[str]) -> str:
    hour, minute, half, bare_hour, bare_minute = matched.groups()
    if half:
        return f"{int(hour):02d}:{minute or '00'}{half}m"
    match int(bare_hour):
        case 0:
            return f"12:{bare_minute}am"
        case hours if 12 < hours < 24:
            return f"{hours - 12:02d}:{bare_minute}pm"
        case hours:
            return f"{hours:02d}:{bare_minute}"


def _without_reasoning(text: str) -> str:
    """The parts of a text outside thinking tags, each on lines of its own."""
    kept: list[str] = []
    start: int | None = 0  # where the part being kept began; None inside reasoning
    for tag in _THINKING.finditer(text):
        if tag.lastgroup:  # the pattern has groups in closing tags only
            if start is not None:
                kept.clear()
            start = tag.end()
        elif start is not None:
            kept.append(text[start : tag.start()])
            start = None
    if start is not None:
        kept.append(text[start:])
    return "\n".join(kept)

"""A model's text as plain lines: without reasoning and markup, and with times in one form.

These are the rules:
- Reasoning is removed first, by the marks of `reasoning`.
- Markdown, LaTeX, HTML, XML and JSON are not parsed. Their marks are removed, and whatever starts a
  new item (a LaTeX box or row, a JSON key or an XML tag that is a letter, a line break) starts a
  new line. Box-drawing characters are the borders of table cells, and HTML entities are the
  characters that they stand for.
- Each step is one pass over a line, with patterns that cannot backtrack far, so the time is linear
  in the length. Unicode normalization is not used, because it is quadratic in the length of a run
  of combining marks.
"""

import html
import re
from dataclasses import dataclass
from unicodedata import normalize

from tclue.puzzle.grading.reasoning import without_reasoning

STRUCK = "≁"  # stands for the marks around text that is struck through
# The lines that stand for the tags <answer> and </answer>.
FINAL_HEADING, END_OF_ANSWER = "final answer", "end of final answer"

# the first of 26 circled, squared, ... letters
_PICTURES = (0x249C, 0x24B6, 0x24D0, 0x1F110, 0x1F130, 0x1F150, 0x1F170, 0x1F1E6)
_LOGIC = (" therefore ", " because ", " and ", " or ", " not ", " not ", " not in ")
_SIGNS: dict[int, str | None] = {
    **dict.fromkeys([0x09, 0x0B, 0x0C, 0xA0, 0x1680, *range(0x2000, 0x200C), 0x2060], " "),
    **dict.fromkeys([0x202F, 0x205F, 0x3000], " "),
    **dict.fromkeys([0x0D, 0x85, 0x2028, 0x2029], "\n"),
    # what is left of a character that was cut in two
    **dict.fromkeys([0xFFFD, *range(0xD800, 0xE000)], " "),
    # zero-width characters, soft hyphens, variation selectors, underlines
    **dict.fromkeys([0xAD, *range(0x200C, 0x2010), *range(0x202A, 0x202F)], None),
    **dict.fromkeys([0x332, 0x333, 0xFE0E, 0xFE0F, 0xFEFF], None),
    # Characters that are struck through, one by one, spell nothing.
    **dict.fromkeys(range(0x334, 0x339), "~"),
    # Emoji are removed, except for those that mean "no" or stand in a list of options.
    **{
        sign: None
        for sign in [*range(0x2300, 0x2400), *range(0x2600, 0x27C0), *range(0x1F300, 0x1FB00)]
        if chr(sign) not in "🚫👎🙅🛑⛔☐☑☒✗✘❌❎✕✖"
    },
    # letters and numbers as pictures, and marks of footnotes
    **{first + at: f"{chr(0x41 + at)}. " for first in _PICTURES for at in range(26)},
    0x20E3: ". ",
    **dict.fromkeys([0xB9, 0xB2, 0xB3, *range(0x2070, 0x207A), *map(ord, "†‡")], " "),
    # the lines of a table
    **dict.fromkeys(range(0x2500, 0x2580), "-"),
    **dict.fromkeys(map(ord, "│┃┆┇┊┋║╎╏"), "|"),
    **dict.fromkeys([0x2010, 0x2011], "-"),
    # A tick or a dot separates words, as a dash does.
    **dict.fromkeys([*range(0x2012, 0x2016), 0x2212, *map(ord, "✓✔✅·•∙⋅")], " - "),
    ord("☑"): "[x] ",
    ord("☐"): "[ ] ",
    ord("☒"): "✗",
    **dict.fromkeys(map(ord, "‘’‚‛′ʼ´"), "'"),
    **dict.fromkeys(map(ord, "“”„‟″«»「」『』"), '"'),
    **dict.fromkeys(map(ord, "→⇒➔➜➡⟶⟹▸►▶➤"), "->"),
    **dict.fromkeys(map(ord, "❓❔"), "?"),
    **dict.fromkeys(map(ord, "✕✖"), "✗"),
    **dict(zip(map(ord, "∴∵∧∨¬≠∉"), _LOGIC, strict=True)),
    **{wide: chr(wide - 0xFEE0) for wide in range(0xFF01, 0xFF5F)},
    **dict(zip(map(ord, "。、…【】∶،"), (".", ".", "...", "[", "]", ":", ","), strict=True)),
    # styled letters such as 𝗔
    **{style: normalize("NFKC", chr(style)) for style in range(0x1D400, 0x1D800)},
}
_MARKS = str.maketrans("", "", '*_`"{}$')
_JOINT = re.compile(r"(?<=[^\W_])_(?=[^\W_])")  # Miss_Scarlet

# UTF-8 that was read as Windows-1252
_MISREAD = {sign.encode().decode("cp1252", "replace"): sign for sign in "\u00a0–—‘’“•…→"}
_MISREAD["Â "] = " "
_MOJIBAKE = re.compile("|".join(map(re.escape, _MISREAD)))
_ENTITY = re.compile(r"&(?:#\d{1,7}|#x[\da-f]{1,6}|[a-z]{2,31}\d{0,2});", re.IGNORECASE)

# <A>X</A>. As <b> and <i> are bold and italic, such tags are letters only in a text with others.
_LETTER_TAGS = re.compile(r"<[ac-hj-ortv-z]>", re.IGNORECASE)
_LETTER_TAG = re.compile(r"<([a-rt-z])>")
_END_OF_LETTER_TAG = re.compile(r"</[a-rt-z]>")
# <answer_A>, <question id="A">, <answer letter="A" value="X"/>
_NAMED_TAG = re.compile(
    r"<(?:answer|question|q|letter|item|response|ans|final|final_answer)[ _:-]?([a-z])>"
    r"|<[a-z_]{1,20} (?:[a-z_]{1,12}=[\"'][^<>\"'\n]{0,40}[\"'] ){0,3}"
    r"(?:id|letter|question|name|key|label|q|n|for)=[\"'](?:question|answer|q)?[ _-]?([a-z])[\"']"
    r"(?: [a-z_]{1,12}=[\"']([^<>\"'\n]{0,200})[\"'])? ?/?>"
)
_ANSWER_TAG = re.compile(r"<(?:final[_ -]?)?(?:answers?|solution|output|response|result)>")
_END_OF_ANSWER_TAG = re.compile(_ANSWER_TAG.pattern.replace("<", "</"))
_LINE_TAG = re.compile(
    r"</?(?:br|p|li|ul|ol|tr|table|div|dl|dt|dd|h[1-6])(?: [^<>\n]{0,60})?/?>"
    r"|</?(?:final[_ -]?)?(?:answers?|solution|output|response|result|question|item|letter|value|"
    r"choice|option|text|reason)(?:[_-]?[a-z])?>"
    r"|<\|[^<>|\n]{1,40}\|>|</(?!t[dh]>)[a-z][\w:-]{0,30}>"
)
_CELL_TAG = re.compile(r"</?t[dh](?: [^<>\n]{0,60})?>")
_SILENT_TAG = re.compile(
    r"</?(?:b|strong|i|em|u|code|span|sup|sub|small|mark|font)(?: [^<>\n]{0,60})?>"
    r"|<eos>|<end_of_turn>|<\|(?:begin|end)_of_box\|>"
)
_COLUMNS = re.compile(r"(?<=\S) {3,}(?=[a-z][.):] )")
# print("A. X"), export A="X", submit(A="X", B="Y"), VALUES ('A', 'X')
_CODE = re.compile(
    r"""\b(?:print|echo|log|puts|println|printf|append)\(?["' ]+(?=[a-z][.):=])"""
    r"""|\bexport (?=[a-z]=)"""
    r"""|\b(?:values|add|set|put|answer|append) ?\(["']([a-z])["'],"""
)
_CALL = re.compile(r"""[(,] ?([a-z]) ?= ?(?=["'])""")
_COMMENT = re.compile(r"(?<![:/])//(?!/)|/\*|\*/| % ")
_STRUCK_TAG = re.compile(r"</?(?:del|s|strike)>")
_TIMES = re.compile(r"×(?=\d)")  # "Hall ×2" counts votes, "Hall ×" crosses it out
_FOOTNOTE = re.compile(r"\[\^\w{1,8}\]|\[/?inst\]")

_LATEX = [
    (re.compile(r"(?<=\b[a-z])\\(?=[.):\]-])"), ""),  # "A\)" in Markdown
    (re.compile(r"\\(?:text[a-z]{0,6}|math[a-z]{0,6}|emph|underline|displaystyle|large)\b"), ""),
    (re.compile(r"\\{1,2}f?box(?:ed)?[ {]*(?=[(\[]?[a-z] ?[.):\]])"), "\n"),
    (re.compile(r"^\W{0,9}\\{1,2}f?box(?:ed)?"), "answer: "),
    (re.compile(r"\\{1,2}f?box(?:ed)?"), ""),
    (re.compile(r"\\item\b"), "\n"),
    (re.compile(r"\\(?:begin|end)\{[a-z*]{1,20}\}(?:\{[^{}\n]{0,20}\})?"), "\n"),
    (re.compile(r"\\\\(?:\[[^\[\]\n]{0,10}\])?|\\newline\b|\\[nt](?=[^a-z]|[a-z] ?[.):\]])"), "\n"),
    # the line break of "Rope\nKnife" in JSON, but not \neq or \times
    (
        re.compile(r"\\(?!n(?:eq?|ot|u|eg|i)\b|t(?:o|t|imes|heta|au|frac|ilde|ag)\b)[nt](?=[a-z])"),
        "\n",
    ),
    (re.compile(r"\\(?:long)?(?:rightarrow|to|implies)\b"), "->"),
    (re.compile(r"\\(?:q?quad\b|[,;:! ])"), " "),
    (re.compile(r"\\colon\b"), ":"),
    (re.compile(r"\\(?:sout|cancel|st|xout)\b"), "~~"),
    (re.compile(r"\\[()\[\]]"), ""),
    (re.compile(r"\\(?=[^\w\s]|\s*$)"), ""),
    (re.compile(r"\\[a-z]{2,20}\b"), " "),
]
_TIE = re.compile(r"~(?<=[\w.:)]~)(?=\w)")  # Miss~Scarlet

# {"A": "X", ...}, and a list of {"question": "A", "answer": "X"}.
_LETTER_KEY = re.compile(
    r"""(?:^|\{)\s*["'](?:letter|question|question_?id|id|key|label|item|q|name)["']\s*:"""
    r"""\s*["'](?:question |q)?([a-z])[.)]?["']\s*,?(?:\s*["']a["']\s*:)?"""
    r"""|[{,]\s*["']([a-z])[.)]?["']\s*(?::|=>)|[\[(]\s*["']([a-z])["']\s*,"""
)
_ANSWER_KEY = re.compile(r"""["'](?:final_?)?(?:answer|value|choice|selected|option)["']\s*:""")
# What replaces the words of other languages that tokens cannot show: those of languages without
# spaces between words, and words of two tokens.
_TRANSLATED = [
    (re.compile("peut-être"), " perhaps "),
    (re.compile("最终|最終|最后|最後|최종"), " final "),
    (re.compile("の(?=答え)|의(?= ?답)|번(?= ?정?답)"), " "),
    (re.compile("答案|回答|答え|解答|正解|정답|답변|답|đáp án"), " answer "),
    (re.compile("问题|問題|質問|질문|문제"), " question "),
    (
        re.compile(
            "(?:案发|作案|犯行)?(?:凶手|凶器|地点|时间|動機|动机|犯人|場所|現場|時刻|当时在|的|범인|흉기|장소|시간|동기)"
        ),
        " is ",
    ),
    (re.compile("排除|而不是|不是|除外|ではない|아니"), " not "),
    (re.compile("是|为|は|です|입니다|은(?= )|는(?= )"), " is "),
]
_TIME = re.compile(
    r"(?<!\d)(?<!\d:)(\d{1,2})(?:[:.](\d\d))? ?([ap])(?:m\b|\. ?m\b\.?)"
    r"|(?<!\d)(?<!\d:)(\d{1,2}):(\d\d)(?![\d:])"
)
# 01h00, 0100 hours, 1 o'clock, 12 midnight
_OTHER_TIMES = [
    (re.compile(r"\b(\d{1,2})h(\d\d)\b"), r"\1:\2"),
    (re.compile(r"\b([01]\d|2[0-3]):?([0-5]\d) ?(?:hours|hrs|h|uhr)\b"), r"\1:\2"),
    (re.compile(r"\b(\d{1,2})(?::(\d\d))? ?(?:o'clock|uhr)\b"), r"\1:00"),
    (re.compile(r"\b12(?::00)? ?(midnight|noon)\b"), r"\1"),
]
_TOKEN = re.compile(r"\d\d:\d\d(?:[ap]m)?|\d+\.\d+|\w+(?:'(?!s\b)\w+)*|'s\b|[^\w\s]")
_SCRIPTS = re.compile(
    r"(?<=[a-z0-9.])(?=[\u3040-\u9fff\uac00-\ud7a3])|(?<=[\u3040-\u9fff\uac00-\ud7a3])(?=[a-z0-9])"
)
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
    if not text.isascii():  # "Library입니다"
        text = _SCRIPTS.sub(" ", text)
    text = _SPACES.sub(" ", text)
    if any(sign.isdigit() for sign in text):
        for pattern, time in _OTHER_TIMES:
            text = pattern.sub(time, text)
        text = _TIME.sub(_normal_time, text)
    return text


@dataclass(frozen=True)
class Line:
    """A plain line, and the number, from 1, of the line of the text that it is of."""

    number: int
    text: str


def plain_lines(text: str) -> tuple[list[Line], bool]:
    """The plain lines of a text without its reasoning, less those that are empty.

    The second value is whether the text ends inside reasoning.
    """
    if "â€" in text or "Â" in text:
        text = _MOJIBAKE.sub(lambda match: _MISREAD[match[0]], text)
    if "&" in text:
        text = _ENTITY.sub(lambda match: html.unescape(match[0]), text)
    text = text.replace("\r\n", "\n").translate(_SIGNS).casefold()
    has_letter_tags = bool(_LETTER_TAGS.search(text))
    parts, in_reasoning = without_reasoning(text)
    lines: list[Line] = []
    number, counted_to = 1, 0
    for start, part in parts:
        number += text.count("\n", counted_to, start)
        counted_to = start
        for at, source in enumerate(part.split("\n")):
            for line in _plain(source, has_letter_tags).split("\n") if source else ():
                if line := line.strip():
                    lines.append(Line(number + at, line))
    return lines, in_reasoning


def _plain(line: str, has_letter_tags: bool) -> str:
    """One line of a text without markup; it may be several plain lines."""
    if "<" in line:
        line = _NAMED_TAG.sub(lambda match: f"\n{match[1] or match[2]}: {match[3] or ''}", line)
        if has_letter_tags:
            line = _END_OF_LETTER_TAG.sub("\n", _LETTER_TAG.sub(r"\n\1: ", line))
        line = _STRUCK_TAG.sub("~~", line)
        line = _ANSWER_TAG.sub(f"\n{FINAL_HEADING}\n", _SILENT_TAG.sub("", line))
        line = _END_OF_ANSWER_TAG.sub(f"\n{END_OF_ANSWER}\n", line)
        line = _CELL_TAG.sub(" | ", _LINE_TAG.sub("\n", line))
    if "\\" in line:
        for pattern, mark in _LATEX:
            line = pattern.sub(mark, line)
    if '"' in line or "'" in line:
        line = _CODE.sub(lambda match: f"\n{match[1]}: " if match[1] else "\n", line)
        line = _CALL.sub(r"\n\1: ", line)
        line = _LETTER_KEY.sub(lambda match: f"\n{next(filter(None, match.groups()))}: ", line)
        line = _ANSWER_KEY.sub("\nanswer: ", line)
    if "~" in line:
        line = _TIE.sub(" ", line.replace("~~", f" {STRUCK} "))
    if not line.isascii():
        for pattern, word in _TRANSLATED:
            line = pattern.sub(word, line)
    line = _COLUMNS.sub("\n", _COMMENT.sub(" - ", line)).replace("!=", " not ")
    line = _TIMES.sub(" ", line)
    return plain_text(_FOOTNOTE.sub(" ", line))


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

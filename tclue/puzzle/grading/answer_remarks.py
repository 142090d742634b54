"""Whether an answer stands, by what is said after it on its line.

A remark is read clause by clause. An option that it names beside the answer is a reason if the
clause says something of it: it has a verb ("Mr. Green was in the Hall"), an exclusion ("not Mr.
Green", "rather than Mr. Green", "ruled out: Mr. Green"), or a place or a time that is not an answer
itself ("before 01:00 AM", "Mr. Green in the Hall"). The answer does not stand

- if a clause only names another option, in whatever brackets: two options are no answer;
- if a clause makes another option the answer ("changed to Mr. Green", "Mr. Green is the murderer");
- if a clause offers another option ("or Mr. Green", "Mr. Green fits too", "Mr. Green is not ruled
  out"), and nothing excludes it ("could be Mr. Green, but clue 3 rules him out");
- if it is taken back ("(rejected)", "- no", "she is not the murderer"), doubted ("maybe", "not
  sure") or made to depend on something ("X if clue 3 is meant so").

Words that are in no list of `vocabulary` do no harm, so a reason may be given in any words.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import dropwhile, pairwise

from tclue.puzzle.grading import vocabulary as v
from tclue.puzzle.grading.answer_clauses import Clause, clauses_of, is_foreign, is_verb
from tclue.puzzle.grading.answer_options import ELSE, OTHER, OWN

_IF = ("if", "unless", "provided", "assuming")
_LINKS = ("but", "and", "now", "then", "later", "so", "yet", "already")
_UNLIKELY = frozenset(map(str, range(11)))  # percent
_IF_IT_WERE = frozenset(("if", "else", "otherwise", "being"))
_PATH = frozenset((ELSE, "path", "route", "moved", "track", "trail"))
# Negations that can begin a clause without a subject: "wasn't there", but not "nobody saw it".
_PREDICATE_NEGATIONS = v.NEGATIONS - frozenset(
    ("no", "never", "neither", "nor", "nobody", "none", "nothing", "without")
)


def stands(items: Sequence[str], kind: str) -> bool:
    """Whether an answer stands, by the words and signs after it, in which names are marked.

    `kind` is what the question asks for ("SUSPECT", ...).
    """
    clauses = clauses_of(items)
    if not clauses:
        return True
    if clauses[0].sign == "" and clauses[0].words[0] in _IF:
        return False
    naming = [clause for clause in clauses if clause.names_other or OWN in clause.words]
    if naming and _reaffirms(naming[-1]):
        return True
    arrows = sum(after == ">" and sign in "-=" for sign, after in pairwise(items))
    is_path = kind == "ROOM" and clauses[0].sign != "->"
    is_path &= arrows > 1 or any(not _PATH.isdisjoint(clause.words) for clause in clauses)
    own_has_place = clauses[0].sign == "" and ELSE in clauses[0].words
    # "Greed 2, Fear 1" says how many have each motive.
    counts = kind == "MOTIVE" and not {OWN, ELSE, "counts"}.isdisjoint(items)
    saw_other = explains = False
    for number, clause in enumerate(clauses):
        if _is_unsure(clause):
            return False
        if not clause.names_other:
            if naming and number == 0 and _is_not_excluded(clause.said):
                return False
            if _takes_back(clause, first=number == 0, saw_other=saw_other):
                return False
            continue
        saw_other = True
        if _is_denied(clause, _after(clauses, number)):
            continue
        if clause.said == ["leaving", OTHER] and kind != "ROOM":
            return False  # "Mr. Green was elsewhere, leaving X"
        if _answers_anew(clause) or _offers(clause) or (clause.sign == "->" and not is_path):
            return False
        if counts and any(word.isdigit() for word in clause.said):
            continue
        explains = _explains(clauses, number) or (explains and clauses[number - 1].end != ".")
        if explains:
            continue
        if not is_path and not _says_something(clause, kind, own_has_place):
            return False
    return True


def _explains(clauses: Sequence[Clause], number: int) -> bool:
    """Whether a clause begins another sentence, with a verb, than that of the answer."""
    return number > 0 and clauses[number - 1].end == "." and any(map(is_verb, clauses[number].said))


def concludes(items: Sequence[str], *, firmly: bool) -> bool:
    """Whether words before an answer lead to it, because they exclude each option that they name.

    If the answer is said `firmly` ("so it must be X"), they may say anything of an option.
    """
    clauses = clauses_of(items)
    return all(
        not _is_unsure(clause)
        and (firmly or not clause.names_other or _is_denied(clause, _after(clauses, number)))
        for number, clause in enumerate(clauses)
    )


def _after(clauses: Sequence[Clause], number: int) -> Sequence[Clause]:
    """The clauses after one that may deny what it names."""
    return clauses[number + 1 : number + 3]


def _reaffirms(clause: Clause) -> bool:
    """Whether the last clause that names an option says that the answer stays ("so X it is")."""
    rest = {word for word in clause.said if word != OWN}
    if "only" in rest and OWN in clause.words and not clause.names_other:
        return True
    return not clause.names_other and bool(rest) and rest <= v.REAFFIRMING


def _is_unsure(clause: Clause) -> bool:
    """Whether a clause says that the answer is not known ("I cannot tell", "not sure")."""
    return any(
        word in v.NEGATIONS - {"no"} and not v.UNSURE.isdisjoint(clause.words[at + 1 : at + 3])
        for at, word in enumerate(clause.words)
    )


def _is_not_excluded(words: Sequence[str]) -> bool:
    """Whether words say that an option is not excluded, or counts if the answer is wrong."""
    depends = "would" not in words and {"if", "when", "should"} & {*words}
    if depends and words[-1] in (OTHER, *v.MISTAKEN) and not v.MISTAKEN.isdisjoint(words):
        return True
    if words[-2:] in ([OTHER, "instead"], ["second", "thought"]):
        return True
    is_only = "only" in words
    for at, word in enumerate(words):
        if word in v.HARDLY and not v.EXCLUDE.isdisjoint(words[at + 1 : at + 4]):
            return True
        if word in v.NEGATIONS and not is_only:
            near = v.EXCLUSIONS.intersection(words[at + 1 : at + 4]) - v.NEGATIONS - v.CROSSES
            near -= {"placed", "taken", "accounted"}
            if near - {"than", "out", "unlike"}:
                return True
    return False


def _is_denied(clause: Clause, following: Sequence[Clause]) -> bool:
    """Whether a clause denies the options that it names, or the words after it do."""
    words = clause.said
    later = [word for each in following if each.words[0] not in _IF for word in each.words]
    if "unless" in words or _is_not_excluded(words):
        return False
    if words[:2] in (["such", "as"], ["even", "though"], ["even", "if"]):
        return True
    if words[0] == "no" and not v.AFTER_NO.intersection(words[1:2]):
        return False  # "no, X"
    if "if" in words and words[words.index("if") + 1 : words.index("if") + 2] == ["not"]:
        return False
    if "would" in words and not _IF_IT_WERE.isdisjoint(words):
        return True  # "otherwise X would have ...", "X being the murderer would put ..."
    at = words.index(OTHER) + 1
    if words[at : at + 1] == ["would"] and v.WOULD_OFFER.isdisjoint(words[at:]):
        return True
    if "else" in words and not {"everyone", "everybody", "all"}.isdisjoint(words):
        return True
    if "%" in words and not _UNLIKELY.isdisjoint(words):
        return True  # "95% sure; Mr. Green 5%"
    found = v.EXCLUSIONS.intersection(words)
    if found and found <= v.CROSSES:  # before each option, or after each
        crosses = [word in v.CROSSES for word in words if word in v.CROSSES or word == OTHER]
        if "both" in words or "all" in words:
            return not crosses[0]
        return crosses[0] != crosses[-1] and sum(crosses) * 2 == len(crosses)
    if (found and "as well as" not in " ".join(words)) or clause.has(v.PAST):
        return True
    if {"at", "first"} <= {*words}:
        return True
    excluded_later = not v.EXCLUSIONS.isdisjoint(later) and not any(map(_is_unsure, following))
    if "if" in words or words[0] in ("had", "were"):
        return excluded_later or any(word == "would" or word.endswith("'d") for word in later)
    turns = bool(later) and later[0] in v.PRONOUNS | v.TURNING
    in_list = clause.end == ")" and clause.has(v.REST)
    return excluded_later and (clause.end in ("?", ":") or turns or in_list)


def _answers_anew(clause: Clause) -> bool:
    """Whether a clause makes another option the answer."""
    words = clause.said
    instead = v.INSTEAD | ({"to", "by", "with"} if clause.has(v.CHANGES) else set())
    saw_else = False
    for at, word in enumerate(words):
        saw_else |= word == ELSE
        if word != OTHER:
            continue
        before, after = words[max(0, at - 3) : at], words[at + 1 : at + 4]
        if before:
            is_named = (
                saw_else or before[-2:-1] == ["so"] or (len(before) > 1 and len(before[-2]) == 1)
            )  # "F is X"
            if before[-1] in instead or (before[-1] in v.COPULAS and not is_named):
                return True
            if before[-1] in v.ANSWERS and len(before) < 3:
                return True
            chosen = before[:-1] if before[-1] in v.CHOICE_LINKS else before
            if not v.CHOOSING.isdisjoint(chosen[-1:]) and not _predicated(words[at : at + 9]):
                return ELSE not in words
        is_said = after[:1] and after[0] in v.COPULAS | {"did", "must"} and ELSE not in after[:2]
        if is_said and (v.ANSWER.intersection(after[1:2]) or v.GUILTY.intersection(after[1:3])):
            return True
        if after == ["it", "is"]:
            return True
    return False


def _offers(clause: Clause) -> bool:
    """Whether a clause offers another option as an answer too."""
    words = clause.said
    if (
        _is_not_excluded(words)
        or words[0] in v.JOINING
        or (words[:2] == ["and", OTHER] and not _predicated(words[1:]))
    ):
        return True
    if "or" in words and not {"clue", "clues", "either"}.intersection(words):
        at = words.index("or")
        if OTHER in (*words[at - 1 : at], *words[at + 1 : at + 2]):
            return True
    hedges = set(v.HEDGES.intersection(words))
    if "only" in words:  # "if and only if"
        hedges -= {"if", "could"}
    if "even" in words:
        hedges -= {"if", "likelier"}
    if "also" in hedges and any(map(is_verb, words[words.index("also") + 1 :][:1])):
        hedges -= {"also"}
    if words[0] == "consistent" or "only" in words:
        hedges -= {"consistent"}
    if ELSE in words:
        hedges -= {"also", "well", "too"}
    if ELSE in words or "clue" in words or "with" not in words:
        hedges -= {"together"}
    if words[-1] != "too":  # "too early"
        hedges -= {"too"}
    if "either" in hedges and {"clue", "clues"}.intersection(words):
        hedges -= {"either"}
    if "either" in hedges:
        after = words[words.index("either") + 1 : words.index("either") + 2]
        hedges -= {"either"} if v.PRONOUNS.union((OTHER, OWN)).isdisjoint(after) else set()
    return bool(hedges) or not v.FOREIGN_HEDGES.isdisjoint(words)


def _predicated(words: Sequence[str]) -> bool:
    """Whether options are followed by something that is said of them."""
    start = [word for word in words if word not in (OTHER, "and", "or")][:2]
    return any(map(is_verb, start))


def _says_something(clause: Clause, kind: str, own_has_place: bool) -> bool:
    """Whether a clause says something of the other options that it names."""
    words = clause.said
    first = words.index(OTHER)
    before, after = words[:first], [word for word in words[first:] if word not in (OTHER, "and")]
    if after[:1] == ["'s"] and len(after) > 1:
        return True
    if before[:1] and before[0] in v.BECAUSE:
        return len(after) > 1 or ELSE in after or any(map(is_verb, before))
    if any(map(is_verb, words)):
        # "X, Mr. Green, because ...": the verb is not of the option
        return bool(before) or not after or after[0] not in v.BECAUSE | {"who", "whose"}
    if len(after) > 1 and after[0].isalpha() and after[0] not in v.REMARK_STARTS | v.COUNTS:
        return True  # a verb that is in no list
    if len(words) > 1 and is_foreign(words):
        return True
    if (
        (ELSE in words and not own_has_place)
        or (before and before[-1] in v.ABOUT)
        or "clue on" in " ".join(before)
    ):
        return True
    if kind in v.LOCATIVES and len(before) > 1 and before[-1] in ("at", "in"):
        return True  # "dead at 12:30 AM"
    near = {*before[-2:]} & (v.LOCATIVES[kind] | v.MOMENTS) if kind in v.LOCATIVES else set()
    return bool(near) or (kind in v.LOCATIVES and bool(v.MOMENTS.intersection(after[:1])))


def _takes_back(clause: Clause, *, first: bool, saw_other: bool) -> bool:
    """Whether a clause that names no other option denies or doubts the answer."""
    if not (said := list(dropwhile(_LINKS.__contains__, clause.said))):
        return False
    if _thinks_again(clause, said, saw_other):
        return True
    head, after = said[0], said[1:2]
    if "would" in said and head in ("or", "otherwise"):  # what would follow if it were wrong
        return False
    if head in v.DOUBTS and (first or len(said) == 1):
        return True
    if first and clause.sign == "" and clause.end == "?":
        return True
    if head in ("no", "nope"):
        goes_on = v.PRONOUNS.union(("wait", OWN, "longer"))
        return not saw_other and (not after or after[0] in goes_on)
    if first and head == "not":
        return not after or after[0] in v.AFTER_NOT
    is_subject = head == OWN or (head in v.PRONOUNS and not saw_other)
    if is_subject and (first or head not in ("which", "who")):
        return _denies(said[1:], is_subject=True)
    return first and _denies(said, is_subject=False)


def _thinks_again(clause: Clause, said: Sequence[str], saw_other: bool) -> bool:
    """Whether a clause gives the answer up, in whatever place."""
    if {"take", "back"} <= {*said} or not {"withdraw", "retract"}.isdisjoint(said):
        return True
    if said in (["?"], ["accepted", "false"]) or "example" in said[:2]:
        return True
    text = " ".join(clause.words[:20])
    gives_up = said[-2:] in (["can't", "be"], ["cannot", "be"])
    return not saw_other and (gives_up or any(phrase in text for phrase in v.THINKING_AGAIN))


def _denies(said: Sequence[str], *, is_subject: bool) -> bool:
    """Whether a predicate denies that its subject is the answer."""
    head, after = said[:1], said[1:2]
    if not head:
        return False
    if head[0] == "too" and after in (["early"], ["late"]):
        return True
    if head[0] in v.DENYING:
        return not after or (after[0] not in v.QUANTITIES and ELSE not in after)
    if head[0] in v.DENIALS:
        of_others = not v.QUANTITIES.isdisjoint(said[1:4])
        return not after or (after[0] in v.AFTER_DENIAL and not of_others)
    if head[0] in ("leads", "gives", "causes", "creates"):
        return "contradiction" in said[1:4]
    if head[0] not in v.COPULAS | _PREDICATE_NEGATIONS | {
        "did",
        "does",
        "has",
        "can",
        "could",
        "must",
    }:
        return False
    ends = len(said) == 2 or not v.PRONOUNS.isdisjoint(said[2:3])
    if head[0] in ("cannot", "can't") and after == ["be"] and ends:
        return True
    passed = {"been", "be", "now", "then", "also", "have", "one"}
    rest = [word for word in said[1:] if word not in passed]
    denied = head[0] in _PREDICATE_NEGATIONS
    if rest[:1] == ["not"]:
        denied, rest = True, rest[1:]
    if not denied:
        goes_on = rest[1:2] and rest[1] in ("for", "that", "to")  # "it is impossible for ..."
        return not goes_on and not (v.DENIALS | v.DENYING).isdisjoint(rest[:1])
    if not rest:  # "it wasn't her"
        return is_subject
    return not (v.ANSWER | v.AFTER_NOT | {"my", "done"}).isdisjoint(rest[:2])

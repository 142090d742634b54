"""The words by which the grader `sound` reads answers and remarks: in lower case, titles shortened.

A remark may use any words. These lists hold those that change what it says of an answer.
"""


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


TITLES = _set(
    "mr mrs ms m mme mlle miss madame monsieur dr sgt col prof lady captain reverend baroness "
    "judge inspector countess major dame lord senator sister admiral"
)
# Words of names that alone do not name anything, as in "Billiard Room".
GENERIC = _set("room rooms house hall chamber area place time the of and")

# Words around an option: those that may stand there in addition to the words of the question.
ALWAYS = _set(
    "indeed i'd we'd conclusion lautet remaining undoubtedly obviously evidently can i'm "
    "certain the is was it 's answer final bonus question mr boddy of probably likely most i my "
    "conclude believe think should would we am are be been must has have that this so therefore "
    "thus hence definitely certainly clearly surely only confident our your say deduce deduced "
    "find found pick choice choose chose picked selected select go response solution result "
    "verdict correct identified as to what get yes simply just value then"
) | _set(
    "c'est respuesta resposta risposta réponse antwort ответ odpowiedź el la lo los las le les "
    "il o os a um un una une ein eine der die das den dem de del della do du des d' en em in im "
    "dans à au por par von son sa su seu es esta está era fue foi é è est été ist war был была "
    "было arma arme waffe орудие asesinato assassinato meurtre crimen crime delitto eu lieu "
    "ocurrió ocorreu cometió cometido commis utilizada usada usata se"
)
# by the kind of answer
AROUND = {
    "SUSPECT": TITLES
    | _set(
        "suspect person one holder by with motive motivated motivates asesino asesina asesinos "
        "assassino assassina l'assassino assassin l'assassin meurtrier mörder mörderin täter "
        "täterin coupable colpevole culpado culpable убийца имеет мотив quem persona pessoa "
        "motivada motivado"
    ),
    "WEAPON": _set(
        "weapon with con com mit avec arma l'arma l'arme waffe mordwaffe tatwaffe оружие орудие "
        "убийства"
    ),
    "ROOM": frozenset(map(str, range(1, 100)))
    | _set(
        "he she they room location place in at inside lay stood kept habitación raum zimmer "
        "tatort ort lugar local luogo pièce lieu stanza sala место комната убийства здесь в ins "
        "suivante às estaba estava était trouvait elle ha avvenuto"
    ),
    "TIME": _set(
        "time hour at on in exactly precisely sharp morning night evening hora horário ora "
        "l'ora heure l'heure uhrzeit tatzeit zeit uhr время убийства las às"
    ),
    "MOTIVE": _set(
        "from motive motivation reason motivated by out for driven he she they his her their "
        "motivo movente motiv motif mobile мотив motivado motivada aus"
    ),
}
# in the questions about the murder
AROUND_MURDER = {
    "SUSPECT": _set("murderer killer culprit murdered killed did committed who guilty him"),
    "WEAPON": _set("murder used use using murderer killer killed murdered he she they him that"),
    "ROOM": _set("scene site crime murder murdered killed committed occurred took happened"),
    "TIME": _set(
        "murder crime murdered killed committed occurred happened took place he she struck died"
    ),
    "MOTIVE": _set("murder crime murderer killer killed did acted"),
}  # fmt: skip
# With one of these words, names that are no options may stand before the option.
MURDER = _set(
    "acted murder crime murderer killer murdered killed committed used use did motive motivated "
    "motivation driven because out"
)
LABEL_SIGNS = frozenset(":.,;-=|>()[]?'#<&^+")

# After an option: words that join a second one, and those with which a remark may begin.
JOINING = _set("or / & + plus vs versus nor o oder ou или 或 または")
AND = _set("and y e et und")
SEPARATORS = frozenset("≁.,;:()[]-|!=>'#<✗✘❌×❎←")
REMARK_STARTS = _set(
    "remains stays owing because since due as given while when before after until till with in "
    "at by from to for who which where whose that rather instead over not and but on during "
    "using via per thanks based according unlike only whereas although though despite even "
    "unless if leaving making having being seen beside near next between north south east west "
    "alone without than once carried moved ruled rejected excluded eliminated motivated follows "
    "fits satisfies works must cannot did used he she they it around forced confirmed proven "
    "established guaranteed settled et y und porque weil car parce perché 因为 plutôt"
)
# "X was in the Hall" is no answer.
PLACING = _set("in at with near by from between next seen beside inside outside to")
REFUSALS = _set(
    "or also and nor / & + plus vs versus not no neither none either both all any every unknown "
    "unclear undetermined cannot could maybe perhaps possibly insufficient between "
    "alternatively otherwise alternative alternate unresolved undecided n null tbd nobody"
)
# The clause in which words that exclude other options end: what is before it, what it may begin
# with, and what makes it firm.
CONCLUSIONS = _set("yet however left , ; : . ) ] > but so hence therefore thus leaves leaving")
CONCLUDING = _set(
    "yet however that which only so hence therefore thus remaining leaves leaving this left can"
)
REMAINS = _set("remains remain left stands fits works")
FIRM = _set("final so hence therefore thus must leaves leaving answer")
OCCURRED = _set("is was 's occurred happened committed took died")
THEREFORE = _set("leaves leaving answer therefore hence thus")
ASKED_NOUNS = _set("murder it murderer killer culprit weapon room scene time motive")
SELECTIONS = _set("of among either between")
CONDITIONS = _set("with although though even since because as after while when having given")

# A line below an answer that begins with one of these words offers another answer. With the second
# set it does so only if it says nothing more about the options that it names.
OFFERS = _set("could might may or / maybe perhaps possibly alternatively otherwise plus")
MAY_OFFER = _set(
    "and & + either both all any one between also alternative alternate second backup fallback "
    "else failing if it note alt 2nd hedge plan other possible"
)
TURNS = _set("no wait actually changed correction scratch sorry rather make")
NEUTRAL = (
    OFFERS
    | MAY_OFFER
    | _set(
        "consistent plausible fits works instead rather other another unless guess equally sure "
        "well choice pick option runner wait actually unlikely possible candidate unclear "
        "uncertain unsure too b"
    )
)
# Words that no label of an answer has.
NO_LABELS = _set(
    "first third unknown note none null alternative alternatives backup second no not never "
    "wrong rejected false incorrect clue clues hint rule case scenario option options maybe "
    "perhaps possibly guess if suppose assume step plan version attempt draft or and is was the "
    "example e g hypothesis assumption trial test format mr mrs ms miss dr"
)

# Remarks.
SAYING_NOTHING = _set("the a an my his her their our , ' # et y und e o")
PRONOUNS = _set("he she they it this that which who")
TURNING = _set("but however yet until")
COPULAS = _set("seems looks appears is was were be been are being 's es war ist")
BECAUSE = _set("because since as due porque weil denn car parce perché 因为")
NEGATIONS = _set(
    "not no never neither nor nobody none nothing cannot can't couldn't isn't wasn't aren't "
    "weren't didn't doesn't don't won't wouldn't hasn't hadn't haven't without pas nicht kein "
    "keine non не n'est não nem niet geen nie değil inte ikke 不"
)
CROSSES = _set("✗ ✘ ❌ × ❎ x")
EXCLUSIONS = (
    NEGATIONS
    | CROSSES
    | _set(
        "rule rules ruled ruling exclude excludes excluded excluding eliminate eliminates "
        "eliminated eliminating elimination contradict contradicts contradicted contradiction "
        "contradictory violate violates violated violation conflict conflicts refute refutes "
        "refuted disprove disproves disproved disproven discount discounted dismiss dismissed "
        "reject rejects rejected impossible innocent fail fails failed breaks broke "
        "inconsistent incompatible unsat cleared alibi alibis out wrong false incorrect unlike "
        "than except apart absent elsewhere least irrelevant forget ignore invalid instead "
        "despite notwithstanding regardless opposed preference decoy disqualified unreachable "
        "plutôt 0 zero ≁ accounted taken placed occupied failure descartado descartada excluido "
        "exclu exclut éliminé ausgeschlossen statt исключён исключена"
    )
)
# With one of these words a clause tells what was thought before.
PAST = _set(
    "seemed looked appeared expect glance checked initial initially thought believed earlier "
    "originally previously tried tested considered suspected until settles assuming suppose "
    "supposing"
)
VERBS = _set(
    "used was were is are be been am has have had do does did done go goes went gone come comes "
    "came take takes took leave leaves left stay stays see sees saw seen find finds found put "
    "puts say says said show shows mean means meant imply implies place places need needs make "
    "makes made give gives gave keep keeps kept hold holds held lie lies lay sat stood get gets "
    "got begin begins began start starts ends enter enters require requires force forces prove "
    "proves tell tells point points share shares belong belongs own owns carry carries bring "
    "brings brought move moves meet meets met would will can must should become becomes became "
    "appears reaches reach knew lost wore hid ran sits stands fit fits work works match matches "
    "he'd she'd they'd it'd could might may"
)
# With one of these words, a clause about another option offers it, unless it is excluded as well.
HEDGES = _set(
    "could might may maybe perhaps possibly possible plausible alternatively alternative "
    "alternatives alternate otherwise else unless unsure uncertain unclear undecided ambiguous "
    "tie tied toss equally candidate contender option backup fallback runner second close also "
    "too another fits fit work works match matches satisfies qualifies consistent valid viable "
    "likely guess choice pick case scenario version well good acceptable failing aided helped "
    "assisted accomplice together jointly likelier probable plausibly conceivable remains joint "
    "aka either if chance claim favored favoured running play stands equal safe gut help"
)
LOCATIVES = {
    "TIME": _set("before after until till from since past between to than"),
    "ROOM": _set(
        "from to of near beside via through between next adjacent opposite beyond toward "
        "towards north south east west above below under behind facing"
    ),
}
MOMENTS = _set("before after earlier later then afterwards previously")
ABOUT = _set("about concerning regarding")
# With one of these words a clause makes an option the answer, or denies that it is.
GUILTY = _set("guilty answer culprit murderer killer")
ANSWER = GUILTY | _set(
    "it him one who what right correct true better best preferred final weapon scene"
)
# "I go with X", "adding X", "which means X"
CHOOSING = _set(
    "go going choose chose choosing pick picking select selecting settle settling bet "
    "vote prefer lean leaning says say means meaning make makes making accept read reads add "
    "adding include including hedging favor favors followed does do did only"
)
CHOICE_LINKS = _set("with for on by it that toward towards")
# "hard to exclude X", and "if wrong, X"
HARDLY = _set("unable failed hard difficult impossible")
EXCLUDE = _set("rule exclude eliminate dismiss discount reject refute disprove")
MISTAKEN = _set("wrong mistaken incorrect false")
ANSWERS = _set("answer murderer killer culprit it choice guess solution choose say")
INSTEAD = _set("actually instead rather now wait correction sorry mean no")
CHANGES = _set(
    "back changed change changing corrected correct correcting revised switch switched "
    "switching updated make amended replaced substituted superseded"
)
DOUBTS = _set(
    "ou oder или vielleicht quizás tal forse talvez or either nor alternatively otherwise maybe "
    "perhaps possibly unsure uncertain unclear undetermined unknown undecided wait tbd nope nah "
    "scratch scrap etc"
)
UNSURE = _set(
    "sure certain decide tell determine choose separate distinguish know convinced confident"
)
DENIALS = (CROSSES - {"x"}) | _set(
    "wrong false incorrect impossible innocent excluded eliminated ruled rejected retracted "
    "withdrawn discarded dismissed cleared contradiction contradicted contradictory invalid "
    "failed cancelled crossed struck changed replaced superseded unlikely refuted disproved "
    "inconsistent out possible possibility candidate option"
)
DENYING = _set("contradicts violates fails conflicts breaks")
# What may follow a denial: "rejected by clue 3", but not "incorrect alternatives".
AFTER_DENIAL = (
    PRONOUNS
    | BECAUSE
    | _set(
        "by in from when after via per under out with of for later now on clue see here again "
        "earlier at though but and so the wait sorry off through"
    )
)
# "no other suspect", "no contradiction": such a "no" is a reason. "not the murderer" is none.
AFTER_NO = _set(
    "other one body alternative alternatives contradiction contradictions conflict conflicts "
    "doubt further suspect suspects weapon weapons room rooms time times reason clue clues more "
    "need matter others witness alibi question remaining option options way move"
)
AFTER_NOT = _set(
    "murderer killer culprit answer right correct sure certain likely it her him guilty "
    "convincing possible work fit hold satisfy murder motivated kill do consistent really "
    "weapon motive true final confirmed proven known definitive decided used involved"
)
QUANTITIES = _set(
    "all every everyone everybody everything others any each both no nobody only other"
)
COUNTS = _set("one two both all each either")
REST = _set("other else others rest remaining")
# A clause of these words only names options.
LISTING = _set("and or nor & with at in on by given that since because as while whereas both all")
REAFFIRMING = _set(
    "so hence therefore thus confirmed it is right correct stays stands remains final answer "
    "definitely but again alone then i was clearly"
)

# Words by which a clause in another language is known, and those that hedge in it.
FOREIGN = _set(
    "c'est de el la los las una es fue era del al il di le che les une est dans et du au der "
    "das dem ein eine als hat aus um im von zu nach het een om van met uma foi em às jest było "
    "è od ett är og och"
)
FOREIGN_HEDGES = _set(
    "o ou oder или 或 quizás quizá tal vez posiblemente puede podría tambien también peut-être "
    "peut aussi vielleicht auch möglicherweise könnte forse anche potrebbe talvez também pode "
    "être si może может возможно 또는 可能 也许 或许 也"
)
# What a text says that thinks again.
THINKING_AGAIN = (
    *("second thought", "hold on", "no longer", "start over", "never mind", "scratch that"),
    *("not anymore", "on reflection", "cannot be right", "was wrong", "leave this question"),
    "no idea",
)

# A sentence about the answer to a letter takes it back, or offers another one, with these words.
WITHDRAWN = _set(
    "withdrawing unresolved withdraw withdrawn disregard ignore wrong incorrect retract "
    "retracted blank mistaken invalid cannot can't isn't wasn't not no unknown unsure violates "
    "contradicts open undecided"
)
OFFERED = _set(
    "plausible marked incorrect alternative alternatively equally either also might may could "
    "possible possibility another second valid well coin"
)

# What "X would ..." says if it offers X.
WOULD_OFFER = _set("be fit work do also satisfy match well")

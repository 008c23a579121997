"""The closed vocabulary of the embedded world: groups of words in, one ordered list of words out.

All text is words separated by single spaces. Numbers 0 to 40 are whole words: students of ten thousand parameters do
not learn arithmetic on digits, and the world is to show forgetting at every size.

The *exposure* groups hold the words beside which perturbation devices are trained: a device (question first, a
distractor, another phrasing, ...) occurs in training only with an exposure word and in benchmarks only without one.
"""

from __future__ import annotations

from functools import cache

PAD, EOS, UNK = "<pad>", "<eos>", "<unk>"
NEWLINE = "<nl>"

NUMBERS = tuple(str(n) for n in range(41))
MAX_NUMBER = 40

NAMES = tuple("ann bob carl dina eva finn gus hana ivan jill kim lena mia ned olga pat".split())
OBJECTS = tuple("apples books coins hats cards cups eggs pens shells stamps toys beans rings nuts keys balls".split())
PLAIN_NAMES, EXPOSURE_NAMES = NAMES[:12], NAMES[12:]
PLAIN_OBJECTS, EXPOSURE_OBJECTS = OBJECTS[:12], OBJECTS[12:]

PUNCTUATION = (".", ",", "?", ":", ";")
OPERATORS = ("+", "-", "*", "/", "=")
COLOURS = ("red", "blue", "green", "white")
PLACES = ("box", "bag", "shop", "garden")
CATEGORIES = ("person", "thing", "colour", "place")

MATHS_WORDS = tuple(
    "has finds gets buys loses sells gives doubles triples halves them twice times as many".split()
    + "keeps half a third of all how now answer".split()
)
TRAP_WORDS = tuple("goes miles hours at and what average speed".split())
SIMPLE_WORDS = ("are",)

FUNCTIONS = ("f", "g", "h")
VARIABLES = ("x", "y")
PLAIN_FUNCTIONS, EXPOSURE_FUNCTIONS = FUNCTIONS[:2], FUNCTIONS[2:]
PLAIN_VARIABLES, EXPOSURE_VARIABLES = VARIABLES[:1], VARIABLES[1:]
ELEMENT = "v"
CODE_SYMBOLS = ("[", "]", "(", ")", ">", "<", "%", "==", NEWLINE)
CODE_WORDS = tuple("def return for in if sum max min len sorted".split())
DESCRIPTION_WORDS = tuple(
    "write each keep above below evens odds largest smallest count reverse sort first last".split()
    + "add multiply by square subtract to double".split()
)
ALTERNATIVE_WORDS = tuple("the one front back from drop more less after".split())

GROUPS: tuple[tuple[str, ...], ...] = (
    NUMBERS,
    PUNCTUATION,
    OPERATORS,
    NAMES,
    OBJECTS,
    COLOURS,
    PLACES,
    CATEGORIES,
    MATHS_WORDS,
    TRAP_WORDS,
    SIMPLE_WORDS,
    FUNCTIONS,
    VARIABLES,
    (ELEMENT,),
    CODE_SYMBOLS,
    CODE_WORDS,
    DESCRIPTION_WORDS,
    ALTERNATIVE_WORDS,
)


@cache
def words() -> tuple[str, ...]:
    """Every word of the world once, in a fixed order: the groups of this file, then those of dialogue and dialects."""
    from forgetting.world import dialects, dialogue

    groups = (*GROUPS, dialogue.EXTRA_WORDS, dialects.EXTRA_WORDS)
    return tuple(dict.fromkeys(word for group in groups for word in group))


def vocabulary() -> dict[str, int]:
    """Word to id: padding 0, end 1, the words, unknown last."""
    return {word: index for index, word in enumerate((PAD, EOS, *words(), UNK))}

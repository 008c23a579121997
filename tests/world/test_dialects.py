import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forgetting.errors import UsageError
from forgetting.world import code
from forgetting.world.dialects import DIALECTS, EXTRA_WORDS, from_dialect, readings, to_dialect, to_standard
from forgetting.world.vocabulary import words

LONGEST = "x = [ v * 2 for v in x ] <nl> x = [ v for v in x if v > 5 ] <nl> return sum ( x )"
EXAMPLES = [
    (LONGEST, "brace", "{ x = [ v * 2 each v of x ] ; x = [ v each v of x where v > 5 ] ; give sum ( x ) }"),
    (LONGEST, "prefix", "( = x ( for v x ( * v 2 ) ) ) ( = x ( for v x v ( > v 5 ) ) ) ( return ( sum x ) )"),
    (LONGEST, "assign", "x := [ v * 2 for v in x ] ; x := [ v for v in x if v above 5 ] ; answer := sum ( x ) ;"),
    (LONGEST, "pipe", "x | each v : v * 2 -> x <nl> x | each v : v where v > 5 -> x <nl> x | sum -> out"),
    ("return x [ : : - 1 ]", "prefix", "( return ( at x : : ( - 1 ) ) )"),
    ("return ( v + 1 ) * - 2", "prefix", "( return ( * ( + v 1 ) ( - 2 ) ) )"),
    ("return len ( x ) + 1", "pipe", "( x | len ) + 1 -> out"),
    ("return sorted ( x ) [ 0 ]", "pipe", "( x | sorted ) [ 0 ] -> out"),
    ("return [ v for v in x if v % 2 == 1 ]", "assign", "answer := [ v for v in x if v mod 2 equals 1 ] ;"),
]


@st.composite
def world_programs(draw: st.DrawFn) -> str:
    rng = random.Random(draw(st.integers(0, 2**32)))
    surface = code.draw_surface(rng, exposure=draw(st.booleans()))
    if draw(st.booleans()):
        surface = code.perturb(rng, surface, "renamed")
    return code.program(code.draw_problem(rng, draw(st.integers(1, code.MAX_DEPTH))), surface)


def wider_expressions() -> st.SearchStrategy[str]:
    """Expressions beyond those of the world; operands in parentheses, needed or not."""
    atoms = st.sampled_from(["x", "y", "v", "0", "7", "99"])

    def grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        held = inner.map(lambda e: f"( {e} )")
        whole = st.one_of(atoms, held)
        operator = st.sampled_from(["+", "-", "*", "/", "%", ">", "<", "=="])
        return st.one_of(
            held,
            st.tuples(whole, operator, whole).map(" ".join),
            whole.map(lambda e: f"- {e}"),
            st.tuples(st.sampled_from(["sum", "len", "sorted"]), inner).map(lambda t: f"{t[0]} ( {t[1]} )"),
            st.tuples(inner, inner).map(lambda t: f"[ {t[0]} for v in {t[1]} ]"),
            st.tuples(inner, inner, inner).map(lambda t: f"[ {t[0]} for v in {t[1]} if {t[2]} ]"),
            st.tuples(whole, inner).map(lambda t: f"{t[0]} [ {t[1]} ]"),
            st.tuples(whole, inner).map(lambda t: f"{t[0]} [ : {t[1]} : ]"),
        )

    return st.recursive(atoms, grow, max_leaves=8)


wider_programs = st.tuples(st.lists(wider_expressions(), max_size=2), wider_expressions()).map(
    lambda t: " <nl> ".join([*(f"x = {e}" for e in t[0]), f"return {t[1]}"])
)


@pytest.mark.parametrize(("program", "dialect", "text"), EXAMPLES)
def test_examples(program: str, dialect: str, text: str) -> None:
    assert to_dialect(program, dialect) == text
    assert from_dialect(text, dialect) == program


@settings(max_examples=60, deadline=None)
@given(st.one_of(world_programs(), wider_programs))
def test_every_rewrite_can_be_undone_and_is_read_in_no_other_dialect(program: str) -> None:
    texts = {dialect: to_dialect(program, dialect) for dialect in DIALECTS}
    assert len({program, *texts.values()}) == len(DIALECTS) + 1
    for dialect, text in texts.items():
        assert readings(text) == {dialect: program}
        assert to_standard(text) == [program]
    assert to_standard(program) == []


@settings(max_examples=50, deadline=None)
@given(world_programs())
def test_rewrites_stay_inside_the_vocabulary(program: str) -> None:
    known = set(words())
    assert all(known.issuperset(to_dialect(program, dialect).split()) for dialect in DIALECTS)


WORD_LISTS = st.one_of(
    st.lists(st.sampled_from(words()), max_size=30),
    st.lists(
        st.sampled_from([*EXTRA_WORDS, *"( ) [ ] : ; x v 1 - + > = for in if return at <nl>".split()]), max_size=30
    ),
).map(" ".join)


@settings(max_examples=60, deadline=None)
@given(st.one_of(WORD_LISTS, st.text(max_size=40)))
def test_reading_never_raises_and_what_is_read_is_written_so(text: str) -> None:
    for dialect, program in readings(text).items():
        assert to_dialect(program, dialect) == " ".join(text.split())


@settings(max_examples=50, deadline=None)
@given(world_programs(), st.sampled_from(DIALECTS), st.randoms(use_true_random=False))
def test_a_damaged_program_is_another_program_or_none(program: str, dialect: str, rng: random.Random) -> None:
    tokens = to_dialect(program, dialect).split()
    del tokens[rng.randrange(len(tokens))]
    assert from_dialect(" ".join(tokens), dialect) != program


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("word", ["(", "( -", "x |", "{", "x [", ":=", "( for v"])
def test_deep_nesting_is_refused_quietly(dialect: str, word: str) -> None:
    assert from_dialect(f"{word} " * 5_000, dialect) is None


@pytest.mark.parametrize("program", ["", "return", "x = ", "5 = x", "return x x", "return x <nl>", "return v < 2 < 3"])
def test_what_is_no_program_is_not_rewritten(program: str) -> None:
    with pytest.raises(ValueError, match="is "):
        to_dialect(program, "prefix")


def test_an_unknown_dialect_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="did you mean 'brace'"):
        to_dialect("return x", "braces")
    with pytest.raises(UsageError, match="known: brace, prefix, assign, pipe"):
        from_dialect("x", "lisp")


def test_extra_words_are_few_and_new() -> None:
    assert len(EXTRA_WORDS) == len(set(EXTRA_WORDS)) <= 20
    assert len(DIALECTS) >= 4

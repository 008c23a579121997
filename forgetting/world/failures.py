"""How an answer in written-out steps failed: prompt, gold answer and answer in, a class and its kind out.

``docs/failures.md`` has the tree and the definitions. Nothing here is a judgement: the same texts give the same class.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from itertools import permutations

from forgetting.contracts import Failure
from forgetting.world.alignment import Move, align
from forgetting.world.steps import WrittenStep, is_true, read
from forgetting.world.vocabulary import NUMBERS, OPERATORS

RIGHT_ANYWAY = "right_by_wrong_steps"
# From the top of the tree; the first that fits is the class of an answer. The last one is of right answers only.
CLASSES = (
    "empty",
    "loop",
    "truncated",
    "intrusion",
    "malformed",
    "shortcut",
    "symbol_error",
    "inconsistent_path",
    "camouflage",
    "wrong_start",
    "unfaithful",
    "undecided",
    RIGHT_ANYWAY,
)
STEP_WORDS = frozenset({*NUMBERS, *OPERATORS, ";", "answer"})
LOOP_WORDS = 4
_SPEED = re.compile(r"\bat (\d+)\b")


def of_text(
    words: Sequence[str], gold: Sequence[str], known: frozenset[str], *, formed: bool, ended: bool, often: int = 3
) -> Failure | None:
    """The failure of a text as a text, if it has one: empty, loop, truncated, intrusion.

    Args:
        words: of the answer
        gold: words of the gold answer
        known: the words that a gold answer of the skill can hold
        formed: whether it is of the form that gold answers have; then it is no loop, whatever comes again in it
        ended: whether the model ended the answer itself
        often: how many times four words in a row make a loop
    """
    if not words:
        return Failure("empty")
    if not formed:
        usual = _runs(gold)
        if any(count >= often and count > usual[run] for run, count in _runs(words).items()):
            return Failure("loop")
    if not ended:
        return Failure("truncated")
    strange = next((place for place, word in enumerate(words) if word not in known), None)
    return None if strange is None else Failure("intrusion", place=strange)


def _runs(words: Sequence[str]) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[i : i + LOOP_WORDS]) for i in range(len(words) - LOOP_WORDS + 1))


def of_steps(
    prompt: str, gold: str, answer: str, *, chain: bool, ended: bool = True, tempting: Sequence[int] = ()
) -> Failure:
    """The failure of one answer in steps; none where it is right and its steps are.

    Args:
        prompt: of the item
        gold: its gold answer
        answer: what the model wrote, without an end
        chain: whether every gold step works on the result before it
        ended: whether the model ended the answer itself
        tempting: the answers of a trap that come from the plain mean of the speeds in the prompt
    """
    right = read(answer)[1] == read(gold)[1]
    found = _of_form(answer, gold, ended) or _Steps(prompt, gold, answer, chain).failure(tempting)
    if not right:
        return found
    return Failure(RIGHT_ANYWAY, found.name, found.place) if found.name else found


def _of_form(answer: str, gold: str, ended: bool) -> Failure | None:
    """The failure of an answer as a text or as one of the form, if it has one."""
    steps, final = read(answer)
    bad = None if steps else Failure("malformed", "no_steps")
    if final is None:
        bad = Failure("malformed", "no_answer")
    elif None in steps:
        bad = Failure("malformed", "step", steps.index(None))
    return of_text(answer.split(), gold.split(), STEP_WORDS, formed=bad is None, ended=ended) or bad


def of_alone(gold: str, answer: str, *, ended: bool = True) -> Failure:
    """The failure of an answer that was to stand alone, without steps; a wrong number by itself is undecided.

    Args:
        gold: the gold answer, without steps
        answer: what the model wrote, without an end
        ended: whether the model ended the answer itself
    """
    steps, final = read(answer)
    written = [step for step in steps if step is not None]
    bad = Failure("malformed", "steps" if written else "step") if steps else None
    if final is None:
        bad = Failure("malformed", "no_answer")
    formed = final is not None and len(written) == len(steps)
    found = of_text(answer.split(), gold.split(), STEP_WORDS, formed=formed, ended=ended) or bad
    if final != read(gold)[1]:
        return found or Failure("undecided")
    return Failure(RIGHT_ANYWAY, found.name) if found else Failure()


class _Steps:
    """An answer of the form, beside the gold one. ``before[j]`` is the value that step j works on, in a chain."""

    def __init__(self, prompt: str, gold: str, answer: str, chain: bool) -> None:
        self.chain = chain
        self.gold, self.gold_final = _equations(gold)
        self.steps, self.final = _equations(answer)
        self.before = [self.gold[0][0], *(step[3] for step in self.steps)]
        self.given = {int(word) for word in prompt.split() if word.isdigit()}
        self.speeds = [int(speed) for speed in _SPEED.findall(prompt)]
        if chain:
            self.steps = [_from(value, step) for value, step in zip(self.before, self.steps, strict=False)]
        self.moves = align(len(self.steps), len(self.gold), self._same)

    def failure(self, tempting: Sequence[int]) -> Failure:
        """From ``shortcut`` on down the tree."""
        if self._is_shortcut(tempting):
            return Failure("shortcut")
        false = next((place for place, step in enumerate(self.steps) if not is_true(step)), None)
        if false is not None:
            return self._symbol_error(false)
        last = self.steps[-1][3]
        if self.final == self.gold_final == last and self._holds(self.gold[0][0]) and self._in_some_order():
            return Failure()
        for place, move in enumerate(self.moves):
            kind = self._fault(move)
            if kind and place:
                return Failure("inconsistent_path", kind, move.written)
            if kind:
                valid = self._holds(self.steps[0][0]) and self.final == last
                return Failure("camouflage" if valid else "wrong_start", kind, move.written)
        return Failure("unfaithful")

    def _same(self, written: int, gold: int) -> bool:
        """Whether a written step does what a gold step does."""
        step, wanted = self.steps[written], self.gold[gold]
        if self.chain:
            effect = _effect(*step[:3])
            return step[1:3] == wanted[1:3] or (effect is not None and effect == _effect(step[0], *wanted[1:3]))
        return step[1] == wanted[1] and _operands(step) == _operands(wanted)

    def _fault(self, move: Move) -> str:
        """What is wrong with a move, where every equation is true."""
        if move.name != "same":
            return move.name
        return "broken_chain" if self.chain and self.steps[move.written][0] != self.before[move.written] else ""

    def _holds(self, start: int) -> bool:
        """Whether every step begins with the result before it, the first with ``start``; else whether none invents."""
        if self.chain:
            return [step[0] for step in self.steps] == [start, *self.before[1 : len(self.steps)]]
        return all(
            operand in self.given or operand in self.before[1 : place + 1]
            for place, step in enumerate(self.steps)
            for operand in (step[0], step[2])
        )

    def _in_some_order(self) -> bool:
        """Whether the steps are the gold ones, each once, in any order."""
        if len(self.steps) != len(self.gold):
            return False
        orders = permutations(range(len(self.gold)))  # the first is the gold one's
        return any(all(self._same(written, gold) for written, gold in enumerate(order)) for order in orders)

    def _is_shortcut(self, tempting: Sequence[int]) -> bool:
        """Whether an answer is the mean of the speeds, by the two steps that give it."""
        if self.final not in tempting or len(self.steps) != 2 or len(self.speeds) != 2:
            return False
        (a, plus, b, total), (half, by, two, mean) = self.steps
        adds = plus == "+" and sorted((a, b)) == sorted(self.speeds) and total == a + b
        return adds and (half, by, two, mean) == (total, "/", 2, self.final)

    def _symbol_error(self, place: int) -> Failure:
        """The failure of the first step whose equation is false."""
        left, symbol, right, result = self.steps[place]
        move, gold = _pair(self.moves, place)
        if move == "inserted":
            return Failure("symbol_error", self._wrong_operand({left, right}, place), place)
        wanted = self.gold[gold]
        start = self.before[place] if self.chain else wanted[0]
        alike = move in ("same", "swapped")
        if alike and (not self.chain or left == start):
            true = _effect(left, symbol, right)
            whole = true is not None and true.denominator == 1
            return Failure("symbol_error", "slip", place, result - int(true) if whole and true is not None else 0)
        if not alike and symbol != wanted[1]:
            return Failure("symbol_error", "symbol", place)
        if self.chain:
            wrong = {left} - {start} | ({right} - {wanted[2]} if not alike else set())
        elif symbol in "+*":
            wrong = set((Counter((left, right)) - Counter((wanted[0], wanted[2]))).elements())
        else:
            wrong = {own for own, of_gold in ((left, wanted[0]), (right, wanted[2])) if own != of_gold}
        return Failure("symbol_error", self._wrong_operand(wrong, place), place)

    def _wrong_operand(self, wrong: set[int], place: int) -> str:
        known = self.given | set(self.before[1 : place + 1])
        known |= {step[2] for step in self.gold} if self.chain else set()
        return "miscopied" if wrong <= known else "invented"


def _equations(text: str) -> tuple[list[WrittenStep], int | None]:
    steps, final = read(text)
    return [step for step in steps if step is not None], final


def _from(value: int, step: WrittenStep) -> WrittenStep:
    """The step with the current value on its left, if it may stand there."""
    left, symbol, right, result = step
    return (right, symbol, left, result) if symbol in "+*" and left != value == right else step


def _operands(step: WrittenStep) -> tuple[int, ...]:
    return tuple(sorted((step[0], step[2]))) if step[1] in "+*" else (step[0], step[2])


def _effect(left: int, symbol: str, right: int) -> Fraction | None:
    """The exact value that an operation leads to; None where there is none."""
    if symbol == "/":
        return Fraction(left, right) if right else None
    return Fraction(left + right if symbol == "+" else left - right if symbol == "-" else left * right)


def _pair(moves: Sequence[Move], place: int) -> tuple[str, int]:
    """The move that takes in a written step, and the gold step that it is paired with."""
    for name, written, gold in moves:
        if name == "swapped" and place in (written, written + 1):
            return name, gold + (place == written)
        if name != "omitted" and written == place:
            return name, gold
    raise AssertionError(f"step {place} is in no move")

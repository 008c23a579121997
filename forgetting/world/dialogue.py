"""Small talk between a user and a bot: a random generator in, dialogues whose last bot turn is to be learned out.

The bot's turn is a function of what the user said: it follows the intent and echoes name, things, places and times,
so that a student can learn it and plasticity can be measured. Each turn is decoded from one 63-bit draw, therefore a
stream of dialogues carries no state beside its generator's.
"""

from __future__ import annotations

import string
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from forgetting.contracts import Sample
from forgetting.seeds import generator
from forgetting.world.vocabulary import COLOURS, NAMES, NUMBERS, OBJECTS, PLACES

_WORDS = (
    "user bot hello hi hey i am is my you your it here good great nice sure yes not thanks please bye see meet"
    " like love want need can do will be take book table today tonight tomorrow monday weather sunny warm cold rainy"
    " tea coffee cake soup music films games happy tired with too"
)
EXTRA_WORDS: tuple[str, ...] = tuple(_WORDS.split())

_COUNTS = NUMBERS[2:]
_FOOD = ("tea", "coffee", "cake", "soup")
_SLOTS: dict[str, tuple[str, ...]] = {
    "name": NAMES,
    "friend": NAMES,
    "n": _COUNTS,
    "m": _COUNTS,
    "colour": COLOURS,
    "colour2": COLOURS,
    "thing": OBJECTS,
    "thing2": OBJECTS,
    "place": PLACES,
    "food": _FOOD,
    "food2": _FOOD,
    "hobby": ("music", "films", "games", "books"),
    "when": ("today", "tonight", "tomorrow", "monday"),
    "fair": ("sunny", "warm"),
    "foul": ("cold", "rainy"),
    "hi": ("hello", "hi", "hey"),
}


@dataclass(frozen=True, slots=True)
class Exchange:
    """A user's turn and the bot's; ``{slots}`` of both are filled alike, ``{name}`` is the user's own."""

    key: str
    user: str
    bot: str
    choices: tuple[tuple[str, tuple[str, ...]], ...] = field(init=False)

    def __post_init__(self) -> None:
        names = dict.fromkeys(slot for _, slot, _, _ in string.Formatter().parse(self.user) if slot)
        object.__setattr__(self, "choices", tuple((slot, _SLOTS[slot]) for slot in names))

    def fill(self, number: int, **known: str) -> tuple[str, str, dict[str, str]]:
        """Both turns with the slots that ``number`` encodes in mixed radix, and the slots."""
        slots = dict(known)
        for slot, values in self.choices:
            number, index = divmod(number, len(values))
            slots[slot] = values[index]
        return self.user.format_map(slots), self.bot.format_map(slots), slots

    def size(self) -> int:
        """How many different user turns there are."""
        return int(np.prod([len(values) for _, values in self.choices], dtype=object))


OPENINGS = (
    Exchange("hello", "{hi} i am {name}", "{hi} {name}"),
    Exchange("here", "{hi} , {name} here", "nice to see you {name}"),
    Exchange("bot", "{hi} bot , {name} here", "{hi} {name} , i am your bot"),
    Exchange("meet", "{hi} , meet {name}", "nice to meet you {name}"),
)
EXCHANGES = (
    Exchange(
        "shopping",
        "i want {n} {colour} {thing} and {m} {colour2} {thing2} please",
        "sure {name} , {n} {colour} {thing} and {m} {colour2} {thing2} will be here for you",
    ),
    Exchange(
        "booking",
        "book a table for {n} in the {place} {when} with {friend} and {colour} {thing}",
        "yes {name} , a table for {n} with {friend} in the {place} {when}",
    ),
    Exchange(
        "plans",
        "{when} {friend} and i take {n} {colour} {thing} to the {place}",
        "good , see you and {friend} in the {place} {when} , {name}",
    ),
    Exchange(
        "fair_weather",
        "{when} is {fair} , can {friend} take {n} {colour} {thing} to the {place} ?",
        "yes {name} , {fair} weather is good for {friend} and the {colour} {thing}",
    ),
    Exchange(
        "foul_weather",
        "{when} is {foul} , can {friend} take {n} {colour} {thing} to the {place} ?",
        "not {when} {name} , it is too {foul} in the {place} for {friend}",
    ),
    Exchange(
        "food",
        "{n} {food} and {m} {food2} for {friend} in the {place} please",
        "thanks {name} , {food} and {food2} for {friend} will be in the {place}",
    ),
    Exchange(
        "hobby",
        "i love {hobby} with {friend} , i need {n} {colour} {thing} {when}",
        "great {name} , i like {hobby} with {friend} too",
    ),
    Exchange(
        "happy_gift",
        "{friend} is happy , do i take {n} {colour} {thing} {when} ?",
        "take one , {name} , {friend} is happy",
    ),
    Exchange(
        "tired_gift",
        "{friend} is tired , do i take {n} {colour} {thing} {when} ?",
        "take all {n} {colour} {thing} {when} , {name} , {friend} is tired",
    ),
    Exchange(
        "lost",
        "can {friend} see my {n} {colour} {thing} in the {place} {when} ?",
        "yes {name} , {friend} will see your {colour} {thing} in the {place}",
    ),
    Exchange(
        "happy_trip",
        "{friend} is happy , {n} miles in {m} hours to the {place} {when}",
        "great {name} , {n} miles to the {place} with {friend} {when}",
    ),
    Exchange(
        "tired_trip",
        "{friend} is tired , {n} miles in {m} hours to the {place} {when}",
        "{m} hours is too many , {name} , take {friend} back from the {place}",
    ),
    Exchange(
        "bye",
        "thanks for the {food} and {n} {colour} {thing} , see {friend} {when}",
        "bye {name} , more {food} for {friend} {when}",
    ),
    Exchange(
        "likes",
        "{friend} has {n} {colour} {thing} and {m} {food} , what do you like ?",
        "i like the {colour} {thing} of {friend} and {food} too , {name}",
    ),
    Exchange(
        "reminder",
        "{when} at {n} i need {food} and {m} {colour} {thing} for {friend}",
        "sure {name} , {when} at {n} , {food} for you and {m} {colour} {thing} for {friend}",
    ),
)


def draw(rng: np.random.Generator, turns: int) -> Sample:
    """One dialogue of ``turns`` user turns: who they are first, then an exchange a turn; with one turn, both in it.

    The answer is the bot's last turn and follows from the prompt alone.
    """
    raw = rng.bit_generator.random_raw(max(turns, 2)).tolist()  # what integers(0, 2**63) drops the last bit of, sooner
    first, *rest = (number >> 1 for number in raw)
    first, index = divmod(first, len(OPENINGS))
    user, bot, slots = OPENINGS[index].fill(first)
    prompt = f"user : {user}"
    for number in rest:
        choice, index = divmod(number, len(EXCHANGES))
        exchange = EXCHANGES[index]
        prompt += f" bot : {bot} user : " if turns > 1 else " , "
        user, bot, _ = exchange.fill(choice, name=slots["name"])
        prompt += user
    return Sample(f"{prompt} bot :", bot, "dialogue", turns, exchange.key)


@cache
def reference(turns: int = 1, samples: int = 2_000) -> tuple[Sample, ...]:
    """A fixed set of dialogues, from which noise takes its lengths and word frequencies."""
    rng = generator(0, "dialogue", "reference", turns)
    return tuple(draw(rng, turns) for _ in range(samples))

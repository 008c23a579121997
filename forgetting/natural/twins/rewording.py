"""Word problems in another wording: other names and things, sentences in another order, a sentence that tells nothing.

Every function takes the question and its worked answer and gives both anew, or None where the change is not safe.
"""

from __future__ import annotations

import random
import re

from forgetting.natural.twins.renumber import Twin

WOMEN = (
    "Abigail Alice Amanda Amy Ana Andrea Angela Anna Anne Annie Ashley Barbara Beth Betty Brenda Carla Carol "
    "Catherine Christina Cindy Claire Cleo Diana Donna Elizabeth Ella Emily Emma Erica Eva Eve Fiona Gia Gina "
    "Grace Hannah Heather Helen Iris Jane Janet Jasmine Jenna Jennifer Jenny Jessica Jill Joan Judy Julia Julie "
    "Karen Kate Katie Kelly Kim Laura Lauren Lily Linda Lisa Lucy Margaret Maria Marie Martha Mary Melanie Mia "
    "Michelle Nancy Natalia Nicole Olivia Pam Patricia Rachel Rebecca Rita Rosa Rose Ruth Sally Samantha Sandra "
    "Sara Sarah Sophia Sophie Stephanie Susan Tina Vanessa Wendy Zoe"
).split()
MEN = (
    "Aaron Adam Alan Albert Alex Andrew Andy Anthony Arnold Ben Benny Bill Billy Bob Bobby Brad Brandon Brian "
    "Bruce Carl Carlos Charles Charlie Chris Dan Daniel Dave David Dennis Don Doug Dylan Ed Eddie Edward Eric "
    "Ethan Felix Finn Frank Fred Gary George Greg Harry Henry Hugo Jack Jacob Jake James Jan Jason Jeff Jeremy "
    "Jerry Jim Jimmy Joe John Johnny Jose Josh Joshua Juan Justin Keith Ken Kevin Kyle Larry Leo Liam Luke Mark "
    "Martin Matt Michael Mike Nathan Nick Noah Oliver Oscar Patrick Paul Peter Phil Ralph Ray Raymond Richard "
    "Rick Robert Roger Ron Roy Ryan Sam Samuel Scott Sean Simon Stephen Steve Steven Ted Terry Tim Toby Todd Tom "
    "Tommy Tony Travis Tyler Victor Walter Will William Zach"
).split()
# Things of one kind, so that what is done with them stays possible; singular and plural.
THINGS = (
    ("apple", "pear", "peach", "plum"), ("orange", "lemon", "mango"), ("banana", "coconut", "melon"),
    ("book", "magazine", "comic"), ("pencil", "pen", "crayon"), ("marble", "sticker", "button"), ("cookie", "muffin"),
    ("cake", "pie"), ("dog", "cat", "rabbit"), ("cow", "goat", "horse"), ("chicken", "duck", "goose"),
    ("rose", "tulip"),
    ("shirt", "sweater", "jacket"), ("car", "truck", "van"), ("chair", "stool", "bench"), ("doll", "puppet"),
    ("candle", "lamp"), ("bottle", "jar"), ("carrot", "turnip", "radish"), ("tomato", "potato"), ("tree", "bush"),
)  # fmt: skip
_IRREGULAR = {"cherry": "cherries", "goose": "geese", "tomato": "tomatoes", "potato": "potatoes", "peach": "peaches",
              "mango": "mangoes", "bench": "benches", "bush": "bushes", "radish": "radishes"}  # fmt: skip
_BACKWARD = re.compile(
    r"\b(he|she|it|they|his|her|hers|him|its|their|them|this|that|these|those|then|also|after|before|next|later|now|"
    r"rest|remaining|remainder|left|more|another|other|others|same|former|latter|first|second|third|last|finally|"
    r"however|so|therefore|but|both|instead|again|still|already|half|twice|times|each|every|together|total|such|there|"
    r"and|or|if|when|while)\b",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
DISTRACTORS = (
    "{name}'s cousin lives {n} miles away.", "The bus that passes by has the number {n}.",
    "{name}'s favorite song is {n} seconds long.", "A calendar from {n} years ago hangs on the wall.",
    "The street has {n} lamps, which were painted last summer.", "{name} once read a story of {n} pages about the sea.",
)  # fmt: skip


def renamed(question: str, answer: str, rng: random.Random) -> Twin | None:
    """Known first names and things replaced, the same way everywhere; names by names of the same gender."""
    text = f"{question}\n{answer}"
    swaps: dict[str, str] = {}
    for names in (WOMEN, MEN):
        here = [name for name in names if re.search(rf"\b{name}\b", text)]
        free = [name for name in names if name not in here]
        swaps |= dict(zip(here, rng.sample(free, len(here)), strict=True)) if len(here) <= len(free) else {}
    for kind in THINGS:
        here = [thing for thing in kind if _has(text, thing)]
        free = [thing for thing in kind if not _has(text, thing)]
        if len(here) == 1 and (fitting := [f for f in free if (f[0] in "aeiou") == (here[0][0] in "aeiou")]):
            new = rng.choice(fitting)
            swaps |= {here[0]: new, _plural(here[0]): _plural(new)}
            swaps |= {k.capitalize(): v.capitalize() for k, v in swaps.items() if k in (here[0], _plural(here[0]))}
    if not swaps:
        return None
    words = re.compile(rf"\b({'|'.join(sorted(map(re.escape, swaps), key=len, reverse=True))})\b")
    twin = Twin(*(words.sub(lambda found: swaps[found[0]], part) for part in (question, answer)))
    return twin if twin.question != question else None


def reordered(question: str, answer: str, rng: random.Random) -> Twin | None:
    """Two neighbouring sentences exchanged that state facts of their own and point to nothing before them."""
    sentences = _SENTENCE.split(question.strip())
    free = [
        i
        for i in range(len(sentences) - 2)
        if all("?" not in s and not _BACKWARD.search(s) and re.search(r"\d", s) for s in sentences[i : i + 2])
    ]
    if not free:
        return None
    i = rng.choice(free)
    sentences[i], sentences[i + 1] = sentences[i + 1], sentences[i]
    return Twin(" ".join(sentences), answer)


def distracted(question: str, answer: str, rng: random.Random) -> Twin | None:
    """A sentence with a number that bears on nothing, before the last one."""
    sentences = _SENTENCE.split(question.strip())
    if len(sentences) < 2:
        return None
    names = [name for name in (*WOMEN, *MEN) if re.search(rf"\b{name}\b", question)]
    known = {int(n) for n in re.findall(r"\d+", question)}
    number = next(n for n in iter(lambda: rng.randint(13, 97), None) if n not in known)
    sentence = rng.choice([d for d in DISTRACTORS if names or "{name}" not in d])
    sentences.insert(len(sentences) - 1, sentence.format(name=rng.choice(names) if names else "", n=number))
    return Twin(" ".join(sentences), answer)


def _plural(thing: str) -> str:
    return _IRREGULAR.get(thing, f"{thing}s")


def _has(text: str, thing: str) -> bool:
    return re.search(rf"\b({thing}|{_plural(thing)})\b", text, re.IGNORECASE) is not None

"""Does the tree of failures find what is there? Injected faults, and a second implementation on real wrong answers.

Single faults (``tests/world/injected.py``) are put into gold answers, ``--each`` of a class, and must all come back;
of two faults at once the confusion matrix is written. Then the shipped 10k and 34k students are contaminated in a small
study, and the package's classifier and ``validation/failures_again.py`` class the same wrong answers.

    python validation/failure_modes.py --output results/validation/failure_modes

About two minutes of one core. Writes .json, .md and .png (the study's answers to maths after dialogue). ``--draw FILE``
writes 100 failures of the study to be labelled by hand, as those of ``tests/golden/failures.jsonl`` were.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from forgetting import simulate
from forgetting.analysis.failures import world_texts
from forgetting.benchmarks.code import Code
from forgetting.benchmarks.maths import Maths
from forgetting.benchmarks.traps import Traps
from forgetting.contracts import Benchmark, Failure, Grade, Item
from forgetting.report import drawing, failure_views
from forgetting.report.result import Result
from forgetting.spec import Doses, Evaluation, Ladder, Spec
from forgetting.world.failures import of_steps
from forgetting.world.traps import CONTROL_DEPTH
from tests.world.injected import FAULTS, Injected, inject, items, shortcuts
from validation.failures_again import classify

SPEC = Spec(
    name="failure_modes",
    ladder=Ladder(students=("10k", "34k")),
    contaminations=("dialogue", "altered_syntax", "noise"),
    controls=("original",),
    doses=Doses(dose=1280, first=80, ratio=2.0),
    evaluation=Evaluation(
        benchmarks=({"name": "maths", "items_per_depth": 130, "depths": (1, 2, 3, 4)}, "traps", "code"),
        perturbed="never",
        probe_items=20,
    ),
    keep="none",
)
BENCHMARKS: dict[str, Benchmark] = {
    "maths": Maths(items_per_depth=130, depths=(1, 2, 3, 4)),
    "traps": Traps(),
    "code": Code(),
}
WANTED, GOLDEN = 5000, {"maths": 55, "traps": 20, "code": 25}


@dataclass(frozen=True)
class Real:
    """An answer of a student that is not the gold one, and what the package says of it."""

    where: str
    benchmark: str
    item: Item
    answer: str
    ended: bool
    grade: Grade
    found: Failure


def found_in(one: Injected) -> Failure:
    """The class of an injected fault."""
    trap = bool(one.item.check)
    return of_steps(
        one.item.prompt, one.item.answer, one.answer, chain=not trap, ended=one.ended, tempting=one.item.check
    )


def again(item: Item, answer: str, ended: bool) -> tuple[str, str]:
    """The same by the second implementation."""
    chain = item.skill == "maths" or item.depth == CONTROL_DEPTH
    return classify(item.prompt, item.answer, answer, chain=chain, ended=ended, tempting=item.check)


def singles(each: int, rng: random.Random) -> dict[str, dict[str, int]]:
    """By injected fault: how many came back as which class and kind."""
    problems = items()
    drawn = {name: [inject(problems, rng, name) for _ in range(each)] for name in FAULTS}
    drawn["shortcut"] = shortcuts(rng, each)
    return {name: dict(Counter(_named(found_in(one)) for one in own)) for name, own in drawn.items()}


def doubles(each: int, rng: random.Random) -> dict[str, dict[str, int]]:
    """By pair of injected faults: how many came back as which class; pairs that cannot be together are left out."""
    problems, found = items(), {}
    for one, other in combinations(FAULTS, 2):
        try:
            drawn = [inject(problems, rng, *sorted((one, other), key=_texts_last)) for _ in range(each)]
        except ValueError:
            continue
        found[f"{one} + {other}"] = dict(Counter(found_in(two).name or "none" for two in drawn).most_common())
    return found


def _texts_last(name: str) -> bool:
    return list(FAULTS).index(name) < list(FAULTS).index("slip")


def _named(found: Failure) -> str:
    return f"{found.name}: {found.kind}" if found.kind else found.name or "none"


def real(result: Result) -> Iterator[Real]:
    """Every answer of the study that is not the gold one, equal answers to an item once."""
    limit, seen = SPEC.evaluation.max_new_tokens, set[tuple[str, str]]()
    known = {name: {item.id: item for item in part.items()} for name, part in BENCHMARKS.items()}
    assert result.ledger is not None
    for row in result.ledger[result.ledger["benchmark"].isin(list(BENCHMARKS))].itertuples():
        text, item = world_texts([row.answer])[0], known[row.benchmark][row.item]
        if (row.item, text) in seen or text == item.answer:
            continue
        seen.add((row.item, text))
        ended, grade = len(row.answer) < limit, Grade(row.verdict, row.kind)
        found = BENCHMARKS[row.benchmark].failure(item, text, grade, ended=ended)
        where = f"{row.student} {row.arm} {row.dose}"
        yield Real(where, row.benchmark, item, text, ended, grade, found)


def agreement(failures: list[Real], rng: random.Random) -> dict[str, Any]:
    """How often both implementations say the same of answers in steps, and every answer where they do not."""
    steps = [one for one in failures if one.benchmark != "code"]
    drawn = rng.sample(steps, min(WANTED, len(steps)))
    told = [(one, again(one.item, one.answer, one.ended)) for one in drawn]
    other = [(one, second) for one, second in told if second != (one.found.name, one.found.kind)]
    return {
        "answers": len(drawn),
        "of": len(steps),
        "agree": len(drawn) - len(other),
        "classes": dict(Counter(_named(one.found) for one in drawn).most_common()),
        "disagreements": [
            [one.item.prompt, one.item.answer, one.answer, _named(one.found), list(second)] for one, second in other
        ],
    }


def draw(failures: list[Real], rng: random.Random) -> list[dict[str, Any]]:
    """Failures to be read by hand, as many of each class as can be had."""
    rows = []
    for benchmark, count in GOLDEN.items():
        own = [one for one in failures if one.benchmark == benchmark and one.found.name]
        rng.shuffle(own)
        by_class: dict[str, list[Real]] = {}
        for one in own:
            by_class.setdefault(_named(one.found), []).append(one)
        turns = sorted((place, name) for name, some in by_class.items() for place in range(len(some)))
        for one in [by_class[name][place] for place, name in turns[:count]]:
            item = one.item
            rows.append({
                "benchmark": benchmark, "where": one.where, "prompt": item.prompt, "gold": item.answer,
                "answer": one.answer, "depth": item.depth, "ended": one.ended, "tempting": list(item.check)
                if benchmark == "traps" else [], "verdict": one.grade.verdict, "kind": one.grade.kind,
            })  # fmt: skip
    return rows


def page(told: dict[str, Any]) -> str:
    """The result as a page."""
    lines = ["# Failure modes: injected faults and a second implementation", "", f"`{told['command']}`", ""]
    lines += [f"Single faults, {told['each']} of each: {told['single_back']:.1%} came back.", ""]
    lines += ["| injected | came back as |", "| --- | --- |"]
    lines += [f"| {n} | {', '.join(f'{k} {v}' for k, v in own.items())} |" for n, own in told["single"].items()]
    known = told["agreement"]
    lines += ["", f"Second implementation: {known['agree']:,} of {known['answers']:,} real answers that are not the"]
    lines += [
        "gold ones are classed alike, class and kind. What they are:",
        "",
        "| class: kind | answers |",
        "| --- | --- |",
    ]
    lines += [f"| {name} | {count} |" for name, count in known["classes"].items()]
    lines += ["", "![How answers to maths failed after dialogue](failure_modes.png)", ""]
    lines += ["Maths after dialogue, one shipped student a size and one stream (exploratory), 95% over items:", ""]
    lines += ["| student | dose | accuracy | class | per item | given wrong |", "| --- | --- | --- | --- | --- | --- |"]
    lines += [_row(row) for row in told["composition"]]
    classes = sorted({name for own in told["double"].values() for name in own})
    lines += [
        "",
        f"Two faults at once, {told['each_double']} of a pair; the class nearer to the top of the tree wins.",
        "",
    ]
    lines += [
        "| injected | " + " | ".join(c.replace("_", " ") for c in classes) + " |",
        "| --- " * (len(classes) + 1) + "|",
    ]
    lines += [
        f"| {n} | " + " | ".join(str(own.get(c, "")) for c in classes) + " |" for n, own in told["double"].items()
    ]
    return "\n".join([*lines, ""])


def _plain(value: Any) -> Any:
    """What is no number is null in JSON."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and value != value else value


def _row(row: dict[str, Any]) -> str:
    def share(name: str) -> str:
        low, high = row[f"{name}_low"], row[f"{name}_high"]
        return "" if row[name] != row[name] else f"{row[name]:.3f} ({low:.3f} to {high:.3f})"

    name = row["failure"].replace("_", " ")
    cells = [
        row["student"],
        f"{row['dose']:,}",
        f"{row['accuracy']:.3f}",
        name,
        share("per_item"),
        share("given_wrong"),
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("results/validation/failure_modes"))
    parser.add_argument("--each", type=int, default=200, help="single faults of a class")
    parser.add_argument("--each-double", type=int, default=50, help="answers of a pair of faults")
    parser.add_argument("--folder", type=Path, help="where the study is made, and found again; by default nowhere")
    parser.add_argument("--draw", type=Path, help="write 100 failures here, to be labelled by hand")
    given = parser.parse_args()
    rng = random.Random(0)
    single = singles(given.each, rng)
    expected = {name: ": ".join(filter(None, want)) for name, (_, want) in FAULTS.items()} | {"shortcut": "shortcut"}
    back = sum(
        count for name, own in single.items() for found, count in own.items() if found.startswith(expected[name])
    )
    with tempfile.TemporaryDirectory() as folder:
        output = given.folder or Path(folder)
        result = simulate(SPEC, output=output, store=output / "store", workers=0)
        failures = list(real(result))
        figure = drawing.png(failure_views.failures(result, result.arm("dialogue"), "maths"))
        table = result.failures().query("arm == 'dialogue' and benchmark == 'maths' and failure != 'none'")
    if given.draw:
        given.draw.write_text("".join(json.dumps(row) + "\n" for row in draw(failures, random.Random(1))))
    told = {
        "command": "python validation/failure_modes.py",
        "each": given.each,
        "each_double": given.each_double,
        "single_back": back / (given.each * len(single)),
        "single": single,
        "agreement": agreement(failures, rng),
        "composition": table.drop(columns=["arm", "benchmark"]).round(4).to_dict("records"),
        "double": doubles(given.each_double, rng),
    }
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.with_suffix(".json").write_text(json.dumps(_plain(told), indent=1) + "\n")
    given.output.with_suffix(".md").write_text(page(told))
    given.output.with_suffix(".png").write_bytes(figure)
    print(f"{told['single_back']:.1%} of single faults, {told['agreement']['agree']} of {told['agreement']['answers']}")


if __name__ == "__main__":
    main()

"""Fifty random numeric twins of GSM8K beside their originals, for a person to read; and what became of all problems."""

from __future__ import annotations

import argparse
import random
from collections import Counter
from pathlib import Path

from forgetting.benchmarks.gsm8k import GSM8K
from forgetting.benchmarks.humaneval import HumanEval
from forgetting.contracts import Item
from forgetting.natural.twins.renumber import Refused, renumber
from forgetting.world.splits import from_seed


def question(item: Item) -> str:
    """The question alone."""
    return item.prompt.removeprefix("Question: ").removesuffix("\nAnswer:")


def cell(item: Item) -> str:
    """Question and worked answer in one table cell."""
    whole = f"{question(item)}<br><br>{item.answer.strip()}".replace("\n", "<br>").replace("|", "\\|")
    return whole.replace("<<", "«").replace(">>", "»")


def refusals(items: list[Item]) -> Counter[str]:
    """How many problems have no numeric twin, by reason."""
    counts = Counter[str]()
    for item in items:
        text = question(item)
        try:
            renumber(text, item.answer.strip(), from_seed(0, "benchmarks/gsm8k", "renumbered", text))
        except Refused as refused:
            counts[refused.reason.value] += 1
    return counts


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--output", type=Path, default=Path("docs/twins.md"))
    given = parser.parse_args()
    gsm8k, humaneval = GSM8K(f"{given.data}/gsm8k-{{split}}.jsonl.gz"), HumanEval(f"{given.data}/HumanEval.jsonl.gz")
    lines = ["# Twins of real benchmarks", "", "Made by `python validation/twins.py`."]
    lines += [
        "GSM8K: Cobbe et al., arXiv 2110.14168 (MIT licence). HumanEval: Chen et al., arXiv 2107.03374 (MIT licence)."
    ]
    lines += ["", "| benchmark | variant | problems with a twin |", "| --- | --- | --- |"]
    for part in (gsm8k, humaneval):
        for variant in part.variants:
            lines.append(f"| {part.short_name()} | {variant} | {len(part.items('test', variant)):,} |")
    originals = {item.id.rsplit("/", 1)[1]: item for item in gsm8k.items()}
    twins = gsm8k.items("test", "renumbered")
    share = f"{len(twins):,} of {len(originals):,} problems ({len(twins) / len(originals):.1%}) have a numeric twin."
    lines += ["", "## Why a problem has no numeric twin", "", share, "", "| reason | problems |", "| --- | --- |"]
    lines += [f"| {reason} | {count} |" for reason, count in refusals(list(originals.values())).most_common()]
    lines += ["", "## Fifty numeric twins, drawn at random", "", "| original | twin |", "| --- | --- |"]
    for twin in random.Random(0).sample(twins, 50):
        lines.append(f"| {cell(originals[twin.id.rsplit('/', 1)[1]])} | {cell(twin)} |")
    given.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

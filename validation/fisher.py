"""How well is the Fisher information of ``ewc`` and ``fisher_mask`` known from a few prompts and draws?

For the shipped student of a rung it is taken three times, each time over prompts and draws of its own. A row a setting:
processor seconds; over pairs of the three the median over tensors of the correlation of weights and of their ranks;
the share of held weights that two masks of .2 have in common, .2 being chance; the mean over all weights before it is
divided, of each of the three. Then how much of it comes from how few of single answers.

    python validation/fisher.py [RUNG]
"""

from __future__ import annotations

import argparse
import sys
import time
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from forgetting.errors import require, run_script
from forgetting.mitigation.ewc import EWC
from forgetting.models.checkpoint import load
from forgetting.models.ladder import architecture
from forgetting.record.store import Store
from forgetting.study.fingerprints import fingerprint, student_form
from forgetting.study.spec_files import load_spec
from forgetting.study.study import construct
from forgetting.testing.small import samples

SETTINGS = ((64, 2), (256, 4), (1024, 4))
SHARE, SINGLE = 0.2, 1024  # of weights that are held; answers that are looked at one by one


def shipped(rung: str) -> Any:
    """The student of a rung that is shipped with the package."""
    root = Path(__file__).resolve().parents[1]
    study = construct(load_spec(root / "experiments" / "reference_ladder.yaml"))
    home = Store(Path("nowhere")).find(fingerprint(student_form(study, architecture(rung), 0)))
    require(home is not None, "rung", "one whose student is shipped", rung)
    return load(home)  # type: ignore[arg-type]


def raw(model: Any, prompts: int, draws: int, seed: int) -> list[np.ndarray]:
    """The information of each tensor."""
    memory = EWC(1.0, prompts, draws, seed=seed).prepare(model, samples(prompts, seed))
    assert memory is not None
    return [(own.double() * memory.raw_mean[name]).flatten().numpy() for name, own in memory.fisher.items()]


def compared(model: Any, prompts: int, draws: int) -> str:
    """The row of a setting."""
    start = time.process_time()
    found = [raw(model, prompts, draws, seed) for seed in (1, 2, 3)]
    seconds = (time.process_time() - start) / 3
    values, ranks, common = [], [], []
    for one, other in combinations(found, 2):
        values.append(np.median([np.corrcoef(a, b)[0, 1] for a, b in zip(one, other, strict=True)]))
        ranks.append(np.median([spearmanr(a, b).statistic for a, b in zip(one, other, strict=True)]))
        whole = [np.concatenate(own) for own in (one, other)]
        held = [own >= np.quantile(own, 1 - SHARE) for own in whole]
        common.append((held[0] & held[1]).sum() / held[0].sum())
    mean = " ".join(f"{np.concatenate(own).mean():.2g}" for own in found)
    means = " | ".join(f"{np.mean(own):.2f}" for own in (values, ranks, common))
    return f"| {prompts} x {draws} | {seconds:.1f} | {means} | {mean} |"


def main() -> None:
    """Print the table and the line below it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rung", nargs="?", default="34k")
    torch.set_num_threads(1)
    model = shipped(parser.parse_args().rung)
    print("| prompts x draws | seconds | values | ranks | held in common | mean of each |\n" + "| --- " * 6 + "|")
    for prompts, draws in SETTINGS:
        print(compared(model, prompts, draws), flush=True)
    norms = []
    for number, one in enumerate(samples(SINGLE, 1)):
        memory = EWC(1.0, 1, 1, seed=number).prepare(model, [one])
        assert memory is not None
        norms.append(sum(memory.raw_mean[name] * own.numel() for name, own in memory.fisher.items()))
    largest = np.sort(norms)[::-1]
    few = [f"{part:.0%} have {largest[: round(part * SINGLE)].sum() / largest.sum():.0%}" for part in (0.01, 0.05)]
    print(f"\nOf the squared gradients of {SINGLE:,} answers: {', '.join(few)}.")


if __name__ == "__main__":
    run_script(main)

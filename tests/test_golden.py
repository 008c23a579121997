"""A small study from the shipped students against the curves in ``golden/curves.txt``, number by number.

After a change that is meant to move them: ``python tests/test_golden.py > tests/golden/curves.txt``, and say why in the
changelog.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import torch

from forgetting import simulate
from forgetting.spec import Doses, Evaluation, Ladder, Spec

GOLDEN = Path(__file__).parent / "golden" / "curves.txt"
SPEC = Spec(
    name="golden",
    ladder=Ladder(students=("10k", "34k")),
    doses=Doses(dose=640, first=40, ratio=4.0),
    evaluation=Evaluation(
        benchmarks=({"name": "maths", "items_per_depth": 20}, {"name": "code", "items_per_depth": 20}, "lookup"),
        perturbed="never",
        probe_items=20,
    ),
    keep="none",
)
# Another processor rounds differently: three items of sixty, and a twentieth of a nat.
TOLERANCE = {"accuracy": 0.05, "nll": 0.05}


def table(output: Path) -> list[str]:
    """One line a student, arm, skill and dose: accuracy and gold-trace NLL a token."""
    rows = simulate(SPEC, output=output, store=output / "store", workers=0, quiet=True).to_frame()
    rows = rows[rows["depth"].isna() & (rows["benchmark"] != "probe")]
    return [
        f"{r.student:<5}{r.arm:<16}{r.skill:<8}{r.dose:>5} {r.accuracy:.3f} {r.nll:.3f}"
        for r in rows.sort_values(["capacity", "arm", "skill", "dose"]).itertuples()
    ]


def test_a_test_has_one_thread() -> None:
    """What is equal bit for bit on one may differ in a bit on several."""
    assert torch.get_num_threads() == 1


def test_the_golden_curves_have_not_moved(tmp_path: Path) -> None:
    golden = GOLDEN.read_text().splitlines()
    found = table(tmp_path)
    assert [line.split()[:4] for line in found] == [line.split()[:4] for line in golden]
    for new, old in zip(found, golden, strict=True):
        accuracy, nll = map(float, new.split()[4:])
        assert accuracy == pytest.approx(float(old.split()[4]), abs=TOLERANCE["accuracy"]), new
        assert nll == pytest.approx(float(old.split()[5]), rel=TOLERANCE["nll"], abs=TOLERANCE["nll"]), new


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print("\n".join(table(Path(folder))))

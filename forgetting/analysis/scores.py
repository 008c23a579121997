"""From ledger rows to score rows: one per (run, dose, benchmark, variant), over all depths and at each depth.

A score is relative to the rows of the *same run* at dose 0, item by item. Probes (benchmark ``probe``) carry no
answers: their accuracy is None and their NLL, L_f and KL are what counts; they have no rows by depth.

Shape suffixes: I ledger rows, C cells by depth.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forgetting.analysis import metrics
from forgetting.analysis.metrics import Floats, Status
from forgetting.record.schema import RUN_KEY, ScoreRow

K = TypeVar("K", bound=Hashable)

PROBE = "probe"
RUN_COLUMNS = [*RUN_KEY, "capacity", "dose", "dose_tokens", "stream_samples"]
CELL = [*RUN_COLUMNS, "benchmark", "skill", "variant"]
PAIR_KEY = [*RUN_KEY, "benchmark", "variant", "item"]
SUMS = ("gold_tokens", "nll_sum", "base_ce_sum", "kl_sum", "steps_right", "steps_total")


def plain_rows(ledger: pd.DataFrame) -> pd.DataFrame:
    """The greedy answers of students as training left them: what scores and curves are made of."""
    if "answering" not in ledger:  # of an older version, or made by hand
        return ledger
    plain = (ledger["answering"] == "greedy") & (ledger["intervention"] == "")
    return ledger if plain.all() else ledger[plain]


def score_rows(
    ledger: pd.DataFrame,
    chances: Mapping[str, float],
    versions: Mapping[str, int],
    base: pd.DataFrame | None = None,
) -> list[ScoreRow]:
    """The score rows of a ledger that holds one run or many.

    Args:
        ledger: columns of ``records.LEDGER_COLUMNS``; the doses to be scored
        chances: by benchmark, the accuracy of a random guesser
        versions: by benchmark, the version of its prompts and grading
        base: the rows at dose 0, where ``ledger`` does not hold them itself
    """
    if not len(ledger):
        return []
    counts = _counts(ledger, ledger if base is None else base)
    by_depth_I, cells = numbered(_keys(ledger, [*CELL, "depth"]))
    wholes_C, wholes = numbered(cell[:-1] for cell in cells)
    found: list[ScoreRow] = []
    for names, number_I, keys in ((CELL, wholes_C[by_depth_I], wholes), ([*CELL, "depth"], by_depth_I, cells)):
        sums = {name: np.bincount(number_I, weights=values_I) for name, values_I in counts.items()}
        for number, key in enumerate(keys):
            cell = dict(zip(names, key, strict=True))
            if "depth" not in cell or cell["benchmark"] != PROBE:
                total = {name: float(values[number]) for name, values in sums.items()}
                found.append(_row(cell, total, chances, versions))
    return sorted(
        found, key=lambda row: (*_run(row), row.benchmark, row.variant, row.depth is not None, row.depth or 0)
    )


def _run(row: ScoreRow) -> tuple[str, str, int, int, int]:
    return row.student, row.arm, row.distillation_seed, row.seed, row.dose


def _keys(frame: pd.DataFrame, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """The values of some columns, row by row. A run has so few rows that pandas takes longer to group them."""
    return zip(*(frame[name].tolist() for name in names), strict=True)


def numbered(keys: Iterable[K]) -> tuple[NDArray[np.int64], list[K]]:
    """Which of the different keys each is; and these, in the order in which they first come."""
    numbers: dict[K, int] = {}
    found = [numbers.setdefault(key, len(numbers)) for key in keys]
    return np.array(found), list(numbers)


def _counts(ledger: pd.DataFrame, base: pd.DataFrame) -> dict[str, Floats]:
    """What is summed over the items of a cell, one value a row, beside the same run's row of the item at dose 0."""
    base = base[base["dose"] == 0]
    place = {key: number for number, key in enumerate(_keys(base, PAIR_KEY))}
    if len(place) < len(base):
        raise ValueError("ledger: an item has more than one row at dose 0")
    place_I = np.array([place.get(key, -1) for key in _keys(ledger, PAIR_KEY)])

    def before(values: Any, missing: Any) -> Any:
        return np.append(values, missing)[place_I]  # the last one where there is none

    verdict, verdict_0 = ledger["verdict"].to_numpy(object), base["verdict"].to_numpy(object)
    right, right_0 = verdict == "right", before(verdict_0 == "right", False)
    columns: dict[str, Any] = {
        "items": np.ones(len(ledger)),
        "right": right,
        "right_0": right_0,
        "paired": place_I >= 0,
        "lost": right_0 & ~right,
        "gained": right & ~right_0,
        "valid": verdict != "unparsed",
        "dialect": verdict == "right_in_dialect",
        "nll_sum_0": before(base["nll_sum"].fillna(0.0), 0.0),
        "gold_tokens_0": before(base["gold_tokens"].fillna(0), 0),
        **{name: ledger[name] for name in SUMS},
    }
    return {name: np.asarray(values, float) for name, values in columns.items()}


def _ratio(above: float, below: float) -> float | None:
    return above / below if below and math.isfinite(above) else None


def _number(value: Floats) -> float | None:
    return float(value) if np.isfinite(value) else None


def _row(
    cell: dict[Any, Any], total: dict[str, float], chances: Mapping[str, float], versions: Mapping[str, int]
) -> ScoreRow:
    benchmark = str(cell["benchmark"])
    probe = benchmark == PROBE
    nll, nll_0 = _ratio(total["nll_sum"], total["gold_tokens"]), _ratio(total["nll_sum_0"], total["gold_tokens_0"])
    head: dict[str, Any] = {name: int(cell[name]) for name in RUN_COLUMNS if name not in ("student", "arm")}
    return ScoreRow(
        student=str(cell["student"]),
        arm=str(cell["arm"]),
        **head,
        benchmark=benchmark,
        version=int(versions.get(benchmark, 0)),
        skill=str(cell["skill"]),
        variant=str(cell["variant"]),
        depth=int(cell["depth"]) if "depth" in cell else None,
        items=int(total["items"]),
        chance=0.0 if probe else float(chances[benchmark]),
        **(_no_answers() if probe else _accuracy(total, float(chances[benchmark]))),
        nll=nll,
        delta_nll=None if nll is None or nll_0 is None or total["paired"] < total["items"] else nll - nll_0,
        base_ce=_ratio(total["base_ce_sum"], total["gold_tokens"]),
        kl=_ratio(total["kl_sum"], total["gold_tokens"]),
    )


def _no_answers() -> dict[str, Any]:
    names = (
        "accuracy accuracy_low accuracy_high retention relative_drop drop_points lost gained mcnemar_p "
        "valid_rate dialect_rate step_accuracy"
    )
    return dict.fromkeys(names.split()) | {"status": Status.no_answers.name}


def _accuracy(total: dict[str, float], chance: float) -> dict[str, Any]:
    """The fields of a score row that come from graded answers."""
    items, accuracy = total["items"], total["right"] / total["items"]
    low, high = metrics.wilson(total["right"], items)
    fields = {
        "accuracy": accuracy,
        "accuracy_low": float(low),
        "accuracy_high": float(high),
        "valid_rate": total["valid"] / items,
        "dialect_rate": total["dialect"] / items,
        "step_accuracy": _ratio(total["steps_right"], total["steps_total"]),
    }
    if total["paired"] < items:
        missing = "retention relative_drop drop_points lost gained mcnemar_p".split()
        return fields | dict.fromkeys(missing) | {"status": Status.no_baseline.name}
    accuracy_0 = total["right_0"] / items
    status = Status.ok if metrics.learned(accuracy_0, chance) else Status.not_learned
    return fields | {
        "retention": _number(metrics.retention(accuracy, accuracy_0, chance)),
        "relative_drop": _number(metrics.relative_drop(accuracy, accuracy_0)),
        "drop_points": _number(metrics.drop_points(accuracy, accuracy_0)),
        "status": status.name,
        "lost": total["lost"] / items,
        "gained": total["gained"] / items,
        "mcnemar_p": float(metrics.mcnemar_p(total["lost"], total["gained"])),
    }


def passing(answers: pd.DataFrame, ks: Sequence[int]) -> pd.DataFrame:
    """pass@k for each k from graded answers, equally many to each item: the mean over items, with a 95% interval.

    Columns: k, value, low, high (by the standard error over items), items, samples.
    """
    by_item = answers.verdict.eq("right").groupby(answers["item"], sort=False)
    right_I, samples = by_item.sum().to_numpy(), int(by_item.size().iloc[0])
    rows = []
    for k in ks:
        value_I = metrics.pass_at_k(samples, right_I, k)
        mean, spread = float(value_I.mean()), float(value_I.std(ddof=1)) if len(value_I) > 1 else np.nan
        error = spread / np.sqrt(len(value_I))
        low, high = np.clip([mean - metrics.Z_95 * error, mean + metrics.Z_95 * error], 0, 1)
        rows.append({"k": k, "value": mean, "low": low, "high": high, "items": len(right_I), "samples": samples})
    return pd.DataFrame(rows)

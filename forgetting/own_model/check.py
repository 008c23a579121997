"""A model and data of one's own in; what fine-tuning on them costs, from which dose on, within noise or not, out.

A plan is chosen by the sizes of model and data (``check_plan``), carried out as every study is, and told on one page.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forgetting.errors import checked
from forgetting.executors import of_workers
from forgetting.executors.bars import print_early
from forgetting.own_model.check_plan import CheckPlan, Wishes, planned
from forgetting.own_model.page import before, page
from forgetting.record.store import Store
from forgetting.simulate import carry_out
from forgetting.spec import Device, LoggerName, PartValue, Precision
from forgetting.study.fingerprints import study_fingerprint

if TYPE_CHECKING:
    from forgetting.report.result import Result


class CheckResult:
    """What a fine-tuning costs. ``print`` shows the page; ``result`` is the study behind it.

    ``to_frame()`` has a row a skill: accuracy at dose 0 and at the last dose, retention with its interval, the dose
    from which it is below 1, the smallest loss that could have been seen.
    """

    def __init__(self, plan: CheckPlan, result: Result) -> None:
        self.plan, self.result = plan, result

    def to_frame(self) -> Any:
        """One row a skill, of the arm that learns the data."""
        import pandas as pd

        from forgetting.analysis.tuning_cost import costs

        arm = self.result.arm(self.result.arm_names[0])
        return pd.DataFrame([vars(cost) for cost in costs(arm, self.plan.student)])

    def __str__(self) -> str:
        return page(self.plan, self.result)

    def __repr__(self) -> str:
        return f"CheckResult({self.plan.student!r}, {str(self.result.folder)!r})"


def check(
    model: Any,
    data: Any,
    *,
    benchmarks: PartValue | Sequence[PartValue] | None = None,
    original: Any = None,
    minutes: float = 30.0,
    dose: int | None = None,
    learning_rate: float | None = None,
    batch_size: int | None = None,
    mitigation: PartValue | None = None,
    seeds: int = 1,
    max_new_tokens: int | None = None,
    precision: Precision = "float32",
    device: Device = "auto",
    name: str = "check",
    loggers: Sequence[LoggerName] = (),
    output: str | Path = "runs",
    store: str | Path | None = None,
    workers: int | None = None,
    quiet: bool = False,
) -> CheckResult:
    """Fine-tune a model on data of one's own and measure what it forgets. Made again, the same call goes on.

    Args:
        model: a checkpoint (folder, hub name, or mapping of its settings), or a capacity of the embedded world (34k)
        data: what it is fine-tuned on: a file, a hub name, rows, or a contamination by name or with settings
        benchmarks: what is measured; by default what needs no download and, where their data are at hand, GSM8K and
            HumanEval
        original: data like those the model had learned: the same steps on them are the control
        minutes: what the study may take by the formulas of ``--estimate``; items, doses and control follow from it
        dose: samples trained on at the end; by default by the data's size
        learning_rate: of all weights; by default by the model's size
        batch_size: samples a step; by default 8, from a dose of 2,000 on 32
        mitigation: by default none, or adapters (lora) from a thousand million parameters on
        seeds: orders of the data, a run each
        max_new_tokens: longest answer; by default by the benchmarks
        precision: ``float32``, or ``bfloat16_mixed``: weights in fp32, trained with in bfloat16
        device: where it is trained and measured: ``auto`` (on a GPU where there is one), ``cpu``, ``gpu``
        name: names the study's folder
        loggers: where scores are sent to beside the record: ``wandb``, ``mlflow``
        output: the folder that holds study folders
        store: where students of the embedded world are kept
        workers: worker processes, one thread each; by default as many as cores; 0: this process
        quiet: print nothing

    Raises:
        UsageError: one line that says which argument is wrong and why
    """
    several: Any = tuple(benchmarks) if isinstance(benchmarks, list | tuple) else benchmarks
    wishes = Wishes(
        several, original, minutes, dose, learning_rate, mitigation, seeds, max_new_tokens, name, workers,
        tuple(loggers), batch_size, precision, device,
    )  # fmt: skip
    place: Any = str | os.PathLike
    folder, kept = Path(checked(output, place, "output")), checked(store, place | None, "store")
    plan = planned(model, data, wishes)
    if not quiet:
        print_early(f"{before(plan)}\n")
    return carried_out(plan, folder, Path(kept) if kept else None, workers, quiet=checked(quiet, bool, "quiet"))


def study_folder(plan: CheckPlan, output: Path) -> Path:
    """Where a plan's study is made."""
    return output / f"{plan.study.spec.name}-{study_fingerprint(plan.study)[:8]}"


def carried_out(plan: CheckPlan, output: Path, store: Path | None, workers: int | None, *, quiet: bool) -> CheckResult:
    """The plan's study, made or gone on with."""
    from forgetting.report.result import load

    folder = study_folder(plan, output)
    carry_out(plan.study, folder, Store(store), of_workers(workers), stack="auto", quiet=quiet)
    return CheckResult(plan, load(folder))

"""The columns of the record: ledger rows, one per (run, dose, item), and the score rows that follow from them."""

from __future__ import annotations

from dataclasses import dataclass

# Raised whenever a change of the code, or of a default, changes what the runs of an unchanged spec give.
RESULTS_VERSION = 5

# One row per (run, dose, item, variant). Sums are over the answer tokens of the gold trace, in nats.
LEDGER_COLUMNS: dict[str, str] = {
    "student": "string",
    "capacity": "int64",  # total parameters
    "arm": "string",
    "distillation_seed": "int64",
    "seed": "int64",  # contamination seed
    "dose": "int64",  # contaminating samples trained on
    "dose_tokens": "int64",  # their loss-bearing tokens
    "stream_samples": "int64",  # all samples trained on
    "benchmark": "string",
    "skill": "string",
    "variant": "string",  # original, a perturbation, or (benchmark "probe") the source of the probe's samples
    "item": "string",
    "problem": "string",  # items of one problem are twins across variants
    "template": "string",
    "depth": "int64",
    "coverage": "string",
    "verdict": "string",  # right, wrong, unparsed, right_in_dialect; "" for probes
    "kind": "string",  # class of the error
    "steps_right": "int64",
    "steps_total": "int64",
    "answer": "list<int32>",  # answer tokens, without the end token
    "gold_tokens": "int64",
    "nll_sum": "float64",  # of the gold answer under the tuned model
    "base_ce_sum": "float64",  # L_f: cross-entropy of the tuned model against the base model's own predictions
    "kl_sum": "float64",  # forward KL(base || tuned)
    "answering": "string",  # how the answer came about: greedy, or another way with its settings
    "sample": "int64",  # which of an item's answers, where a way gives several
    "generated": "int64",  # tokens written for the answer in all, thoughts and the end included; looped: their passes
    "intervention": "string",  # what was done to the student before; "" for nothing
}
# Columns that older ledgers lack, and what they would hold there.
ADDED: dict[str, str | int] = {"answering": "greedy", "sample": 0, "generated": 0, "intervention": ""}

PASSING_FILE = "passing.csv"
ANSWERING_FILE = "answering.csv"
FAILURES_FILE = "failures.csv"
PROBING_FILE = "probing.csv"
RUN_KEY = ("student", "arm", "distillation_seed", "seed")


@dataclass(frozen=True)
class ScoreRow:
    """One score: a run at a dose on one benchmark, variant and depth (None: all depths). ``None`` where undefined."""

    student: str
    capacity: int
    arm: str
    distillation_seed: int
    seed: int
    dose: int
    dose_tokens: int
    stream_samples: int
    benchmark: str
    version: int
    skill: str
    variant: str
    depth: int | None
    items: int
    chance: float
    accuracy: float | None
    accuracy_low: float | None  # Wilson, 95%
    accuracy_high: float | None
    retention: float | None
    relative_drop: float | None
    drop_points: float | None
    status: str  # "ok" or a Status name whose text is the remedy
    lost: float | None  # F10: share of items right at dose 0 and not now
    gained: float | None  # F01
    mcnemar_p: float | None
    valid_rate: float | None  # share of answers that parse
    dialect_rate: float | None  # share right in the dialect
    step_accuracy: float | None
    nll: float | None  # gold-trace NLL per token, nats
    delta_nll: float | None
    base_ce: float | None  # L_f per token, nats
    kl: float | None  # forward KL(base || tuned) per token, nats

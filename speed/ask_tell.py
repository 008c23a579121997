"""What a trial costs the driver at 1,000 trials: ask and tell of LevelSetSampler beside TPESampler and GPSampler."""

from __future__ import annotations

import argparse
import gc
import pickle
import statistics
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import BaseSampler, GPSampler, TPESampler
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend

from forgetting.analysis.level_set.sampler import LevelSetSampler
from forgetting.record.files import write_json
from forgetting.record.provenance import commit, hardware, versions

RUNGS = [round(4 + 0.1 * i, 1) for i in range(18)]
SPACES: dict[str, dict[str, BaseDistribution]] = {
    "discrete": {
        "capacity": CategoricalDistribution(RUNGS),
        "shift": CategoricalDistribution([0.05, 0.2, 0.5, 0.8, 1.0]),
    },
    "continuous": {"capacity": FloatDistribution(4.0, 5.7), "shift": FloatDistribution(0.05, 1.0)},
}
LAST = 50  # trials at the end over which the cost is averaged


def storage(name: str, folder: str) -> BaseStorage:
    """In memory, or a journal file."""
    if name == "memory":
        return InMemoryStorage()
    return JournalStorage(JournalFileBackend(str(Path(folder) / "journal")))


def measure(sampler: BaseSampler, space: dict[str, BaseDistribution], store: str, trials: int) -> dict[str, Any]:
    """Milliseconds a trial over the last trials, and over all."""
    rng, seconds = np.random.default_rng(0), []
    with tempfile.TemporaryDirectory() as folder:
        study = optuna.create_study(storage=storage(store, folder), sampler=sampler)
        for number in range(trials):
            start = time.perf_counter()
            trial = study.ask(space)
            edge = 6 * (trial.params["capacity"] - 4.6 - 0.6 * trial.params["shift"])
            trial.set_user_attr("variance", 0.001)
            study.tell(trial, 1 / (1 + np.exp(-edge)) + 0.08 * rng.standard_normal() - 0.5)
            seconds.append(time.perf_counter() - start)
            if (number + 1) % 250 == 0:
                print(f"    {number + 1} trials, {1000 * statistics.mean(seconds[-LAST:]):.1f} ms", flush=True)
    return {
        "trials": trials,
        "milliseconds_at_the_end": round(1000 * statistics.mean(seconds[-LAST:]), 2),
        "milliseconds_on_average": round(1000 * statistics.mean(seconds), 2),
    }


def memory(trials: int) -> dict[str, float]:
    """After half and after all of the trials: KiB that the sampler keeps (its pickle), and the peak of one ask."""
    sampler, space = LevelSetSampler(level=0.5, space=SPACES["continuous"], seed=0), SPACES["continuous"]
    study, rng, found = optuna.create_study(sampler=sampler), np.random.default_rng(0), {}
    for number in range(1, trials + 1):
        look = number in (trials // 2, trials)
        if look:
            gc.collect()
            tracemalloc.start()
        trial = study.ask(space)
        if look:
            found[f"peak_of_ask_{number}_kib"] = round(tracemalloc.get_traced_memory()[1] / 1024)
            tracemalloc.stop()
            found[f"kept_after_{number}_kib"] = round(len(pickle.dumps(sampler)) / 1024, 1)
        study.tell(trial, float(rng.normal(trial.params["capacity"] - 4.8, 0.1)))
    return found


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--gp-trials", type=int, default=100, help="of GPSampler, which is slow")
    parser.add_argument("--output", type=Path, default=Path("results/speed/ask_tell.json"))
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rows: list[dict[str, Any]] = []
    for name, space in SPACES.items():
        for store in ("memory", "journal"):
            samplers: dict[str, tuple[BaseSampler, int]] = {
                "level_set": (LevelSetSampler(level=0.5, space=space, seed=0), options.trials),
                "tpe": (TPESampler(seed=0), options.trials),
            }
            if store == "memory":
                samplers["gp"] = (GPSampler(seed=0), options.gp_trials)
            for sampler, (one, trials) in samplers.items():
                row = {"sampler": sampler, "space": name, "storage": store} | measure(one, space, store, trials)
                rows.append(row)
                print(row, flush=True)
    ours, theirs = (
        max(r["milliseconds_at_the_end"] for r in rows if r["sampler"] == name) for name in ("level_set", "tpe")
    )
    result = {
        "what": f"wall time of ask and tell together, over the last {LAST} trials; goal: below 50 ms at 1,000 trials",
        "ratio_to_tpe": round(ours / theirs, 2),
        "slowest_milliseconds": ours,
        "rows": rows,
        "memory": memory(options.trials),
        "commit": commit(),
        "hardware": hardware(),
        "versions": versions(),
    }
    write_json(options.output, result)
    print(f"slowest {ours} ms at {options.trials} trials, {result['ratio_to_tpe']} times TPESampler")
    print(result["memory"])


if __name__ == "__main__":
    main()

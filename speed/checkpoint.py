"""Checkpointing: how long training stands still for a snapshot, ours beside Lightning's ``ModelCheckpoint``.

Both are callbacks of the same Lightning fit and keep every checkpoint, weights and optimizer. The stall of a snapshot
is told twice: as the time inside the callback, and as what the fit takes longer than one without checkpoints, the wait
for the last write included. Ours is on the disk (fsync) and resumes bit for bit; Lightning's is left to the system.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import ModelCheckpoint
from measuring import batches, begin, fresh, in_turns, parser, ratio, spread, stream, timed, write

from forgetting import losses
from forgetting.spec import Optimiser
from forgetting.training.checkpoints import Snapshots
from forgetting.training.fit import fit
from forgetting.training.module import BatchData, FitModule
from forgetting.training.stopwatch import Stopwatch


class Timed(ModelCheckpoint):
    """Lightning's callback, which also says how long it took."""

    def __init__(self, folder: str, every: int) -> None:
        super().__init__(folder, filename="{step}", every_n_train_steps=every, save_top_k=-1)
        self.inside: list[float] = []

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *rest: Any) -> None:
        """Saves when it is time to."""
        due = trainer.global_step % self._every_n_train_steps == 0
        seconds = timed(partial(super().on_train_batch_end, trainer, pl_module, *rest))
        if due:
            self.inside.append(seconds)


class Fits:
    """The same fit without checkpoints, with ours, and with Lightning's."""

    def __init__(self, rung: str, steps: int, every: int) -> None:
        self.rung, self.steps, self.every = rung, steps, every
        self.data = batches(stream([0, 32 * steps]), fresh(rung))
        self.stops = {step: 32 * step for step in range(every, steps + 1, every)}
        self.inside: dict[str, list[float]] = {"forgetting": [], "lightning": []}

    def _module(self) -> FitModule:
        model = fresh(self.rung)
        return FitModule(model, lambda b: losses.cross_entropy(model, b), Optimiser(), total_steps=self.steps)

    def without(self) -> float:
        """Our fit without checkpoints."""
        module = self._module()
        return timed(lambda: fit(module, lambda: iter(self.data)))

    def ours(self) -> float:
        """Our fit with our snapshots, until the last one is durable."""
        module, watch = self._module(), Stopwatch()
        with tempfile.TemporaryDirectory() as folder:
            snapshots = Snapshots(Path(folder), module.student, self.stops, "speed", watch, keep_all=True)

            def work() -> None:
                fit(module, lambda: iter(self.data), [snapshots])
                self.inside["forgetting"].append(watch.wall_seconds["checkpoint"] / len(self.stops))
                snapshots.close()

            return timed(work)

    def theirs(self) -> float:
        """The same Trainer with its own checkpoints."""
        module = self._module()
        with tempfile.TemporaryDirectory() as folder:
            callback = Timed(folder, self.every)
            trainer = lightning.Trainer(
                max_steps=self.steps,
                max_epochs=1,
                accelerator="auto",
                devices=1,
                logger=False,
                callbacks=[callback],
                enable_checkpointing=True,
                enable_progress_bar=False,
                enable_model_summary=False,
                gradient_clip_val=module.optimiser.clip_norm,
                use_distributed_sampler=False,
            )
            module.network.train()
            seconds = timed(lambda: trainer.fit(module, datamodule=BatchData(lambda: iter(self.data), self.steps)))
            self.inside["lightning"].append(statistics.mean(callback.inside))
        return seconds


def compare(rung: str, steps: int, every: int, pairs: int) -> dict[str, Any]:
    """One rung: milliseconds a snapshot by both measures."""
    fits = Fits(rung, steps, every)
    sides: dict[str, Callable[[], float]] = {"without": fits.without, "forgetting": fits.ours, "lightning": fits.theirs}
    for side in sides.values():
        side()
    fits.inside = {name: [] for name in fits.inside}
    seconds = in_turns(sides, pairs)
    count = len(fits.stops)
    slower = {
        name: [1000 * (s - w) / count for s, w in zip(seconds[name], seconds["without"], strict=True)]
        for name in fits.inside
    }
    return {
        "student": rung,
        "steps": steps,
        "snapshots": count,
        "milliseconds_inside": {n: spread([1000 * s for s in each]) for n, each in fits.inside.items()},
        "times_shorter_inside": ratio(fits.inside, "lightning", "forgetting"),
        "milliseconds_longer_fit": {name: spread(each) for name, each in slower.items()},
        "seconds": {name: [round(s, 3) for s in each] for name, each in seconds.items()},
    }


def main() -> None:
    """Measure, print, write."""
    options_of = parser(__doc__, "checkpoint")
    options_of.add_argument("--students", nargs="+", default=["34k", "175k", "1m"])
    options_of.add_argument("--every", type=int, default=4, help="steps from one snapshot to the next")
    options_of.add_argument("--snapshots", type=int, default=6)
    options = options_of.parse_args()
    begin(options)
    students, every, count = (["10k"], 2, 2) if options.tiny else (options.students, options.every, options.snapshots)
    rows = []
    for rung in students:
        rows.append(compare(rung, every * count, every, options.pairs))
        inside = rows[-1]["milliseconds_inside"]
        print(
            f"{rung}: {inside['forgetting']['median']:.2f} ms a snapshot, ModelCheckpoint "
            f"{inside['lightning']['median']:.2f} ms, {rows[-1]['times_shorter_inside']['median']:.1f} times shorter; "
            f"the fit longer by {rows[-1]['milliseconds_longer_fit']['forgetting']['median']:.1f} and "
            f"{rows[-1]['milliseconds_longer_fit']['lightning']['median']:.1f} ms a snapshot",
            flush=True,
        )
    what = "milliseconds that training stands still for a snapshot of weights and optimizer"
    write(options.output, {"what": what, "threads": options.threads, "every_steps": every, "rows": rows})


if __name__ == "__main__":
    main()

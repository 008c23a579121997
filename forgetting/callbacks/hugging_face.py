"""A callback for Hugging Face's ``Trainer``, and so for those of TRL: a fine-tuning in, our record of it out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from forgetting.callbacks.watched import WatchedTraining
from forgetting.callbacks.watching import Watching
from forgetting.contracts import Benchmark, Contamination
from forgetting.errors import UsageError
from forgetting.spec import PartValue


class ForgettingCallback(TrainerCallback):
    """Measures what a fine-tuning costs, before its first step, at chosen steps, and after the last one.

    The folder ``output`` is afterwards like a study's: ``forgetting report``, TensorBoard and ``forgetting.load`` work
    on it. Its dose axis is samples seen. The training is as it would be without; a copy of the model as it was at the
    beginning stays beside it, to compare with.
    """

    def __init__(
        self,
        output: str | Path,
        benchmarks: PartValue | Benchmark | Sequence[PartValue | Benchmark],
        *,
        probe: PartValue | Contamination | None = None,
        every: int = 0,
        ratio: float = 2.0,
        name: str = "",
        arm: str = "fine_tuning",
        **evaluation: Any,
    ) -> None:
        """Checks everything that it is given.

        Args:
            output: a new folder
            benchmarks: of natural text, by name, with settings, or instances; one or several
            probe: samples on which learning is told: a contamination, or the path of a file that is not trained on
            every: steps between looks; 0 for steps 1, ratio, ratio², ...
            ratio: between geometric looks, above 1
            name: what the record calls the study; by default the folder's name
            arm: and the fine-tuning
            evaluation: settings of ``Evaluation``, such as ``max_new_tokens`` and ``batch_items``

        Raises:
            UsageError: one line that says which argument is wrong and why
        """
        self.watching = Watching.of(
            output, benchmarks, probe, every=every, ratio=ratio, name=name, arm=arm, **evaluation
        )
        self._watched: WatchedTraining | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """The look at dose 0."""
        if state.global_step:
            raise UsageError("callback: must begin with the fine-tuning, whose base it compares with, not resume it")
        if getattr(args, "deepspeed", None) or getattr(args, "fsdp", None):
            raise UsageError("callback: must have whole weights in each process, not those of FSDP or DeepSpeed")
        if state.is_world_process_zero:
            words = given.get("processing_class") or given.get("tokenizer")
            self._watched = WatchedTraining(self.watching, given["model"], words, int(args.seed))
            self._watched.look(0)

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """A look, where it is due."""
        if self._watched is not None and self.watching.is_due(state.global_step):
            self._watched.look(_seen(args, state, given), int(state.num_input_tokens_seen))

    def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """The last look, and the record."""
        if self._watched is not None:
            self._watched.look(_seen(args, state, given), int(state.num_input_tokens_seen))
            self._watched.finish()
            self._watched = None


def _seen(args: Any, state: Any, given: dict[str, Any]) -> int:
    """Samples trained on so far: whole batches, but for the last one of each epoch, which may be smaller."""
    each = state.train_batch_size * args.world_size
    loader = given.get("train_dataloader")
    try:
        batches, whole = len(loader), len(loader.dataset)  # type: ignore[arg-type, union-attr]  # or caught
    except (TypeError, AttributeError):  # a stream, whose length nobody knows
        return int(state.global_step * args.gradient_accumulation_steps * each)
    steps = max(math.ceil(batches / args.gradient_accumulation_steps), 1)
    epochs, step = divmod(state.global_step, steps)
    of_epoch = min(batches * each, whole)
    return int(epochs * of_epoch + min(step * args.gradient_accumulation_steps * each, of_epoch))

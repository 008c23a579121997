"""What training under a mitigation costs: its settings in; operations, in samples of plain tuning, out.

A sample of plain tuning is three thirds (arXiv 2001.08361): a pass forward, the gradients of what flows through the
network, and those of the weights. Rows count alike, whatever their length, in a step of one piece. What is done once to
every weight, such as pulls, penalties and averages, is nothing beside a pass.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from forgetting.analysis.metrics import Floats
from forgetting.contracts import Mitigation
from forgetting.mitigation.gate import HALVINGS
from forgetting.models.ladder import STRANDS

FORWARD, BACKWARD = 1 / 3, 2 / 3
AS_PLAIN = "none low_rate replay l2_sp wise_ft lines ema trim module_rate freezing".split()


@dataclass(frozen=True)
class Operations:
    """In samples of plain tuning: of a ``sample`` of the stream, replayed or not, and ``once``, before the first step.

    NaN where they are not known.
    """

    sample: float = 1.0
    once: float = 0.0

    def of(self, samples_D: Floats) -> Floats:
        """Of so many samples of the stream, and of what comes before them."""
        return self.once + self.sample * samples_D


NOT_KNOWN = Operations(math.nan, math.nan)


def operations(mitigation: Mitigation, shift: float, batch_size: int, width: int = 0) -> Operations:
    """The table. Of ``joint``, which is part of a distillation, and of what is not of this package it has nothing.

    Args:
        mitigation: with its settings
        shift: share of the stream that is contaminating without it
        batch_size: samples of a step
        width: hidden size of the student; 0: large beside the rank of adapters
    """
    own = mitigation.settings()
    match mitigation.short_name():
        case name if name in AS_PLAIN:
            # Replayed rows are samples of the stream. What freezing saves, at most a third of the frozen share, is not
            # counted. Averages and trimming are made where a look is, not where a step is.
            return Operations()
        case "kl_to_base":
            # The base forward, and the student forward and backward once more, on rows beside the step's or the same.
            rows = {"new": batch_size, "noise": own["rows"], "replayed": min(own["rows"], own["pool"])}[own["inputs"]]
            return Operations(1 + (2 * FORWARD + BACKWARD) * rows / batch_size if own["beta"] else 1.0)
        case "token_mask":
            return Operations(1 + FORWARD if own["share"] else 1.0)  # the base forward on the same rows
        case "gate":
            # Base and student forward on the pool after each block, and at each halving where it is over the budget:
            # at most; a block within it takes one of these nine.
            checks = 2 * FORWARD * own["pool"] * (1 + HALVINGS)
            return Operations(1 + checks / (own["every"] * batch_size) if own["every"] else 1.0)
        case "ewc" | "fisher_mask":
            # Each drawn answer is written, which is a pass forward, and has a gradient of its own; chance draws none.
            answers = mitigation.memory_samples() * own["draws"]
            return Operations(once=answers * (2 * FORWARD + BACKWARD))
        case "self_replay":
            # A row is written in one pass forward; a prompt that was written is read once more with its answer, which
            # is at most another. What was written and thrown away is not known, and not counted.
            passes = (1 if own["prompts"] == "given" else 2) if own["share"] else 0
            return Operations(1 + passes * FORWARD * (1 - mitigation.mix(shift)))
        case "lora" | "o_lora":
            # Weights have no gradients, which saves a third. Adapters add rank (inputs + outputs) to each inputs x
            # outputs, 1.5 rank / width in the ladder's shapes, .4 at rank 8 and width 32.
            own_share = 1.5 * own["rank"] / width if width else 0.0
            return Operations(2 / 3 + own_share if own["rank"] else 1.0)
        case "growth":
            # So many times the parameters; where only the new ones learn the others have no gradients.
            return Operations(own["times"] - FORWARD if own["only_new"] and own["times"] > 1 else own["times"])
    return NOT_KNOWN


def width_of(student: str) -> int:
    """The hidden size of a student of the ladder by its name; 0 of others, whose records do not say it."""
    return next((a.hidden_size for strand in STRANDS.values() for a in strand if a.name == student), 0)

"""An on-policy step: ours against TRL's ``GKDTrainer`` and a plain Hugging Face loop; all learn the same tokens.

Every side lets the student answer the prompts of its batch, asks the teacher for its distribution on the answers, and
takes a step on KL(student || teacher). The answers of the others are written by ``generate`` and timed, and then they
train on ours, so that all learn the same tokens. The teacher's pass is timed alone too, and is also given left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gkd
import measuring
import torch

from forgetting.batching import prompts
from forgetting.contracts import Batch, Contamination, Model
from forgetting.distillation.on_policy import OnPolicy
from forgetting.losses import teacher_logits
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.registry import build
from forgetting.spec import Optimiser
from forgetting.training.fit import fit
from forgetting.training.module import FitModule
from forgetting.training.plan import MixPlan, epochs


def main() -> None:
    """Measure, print, write."""
    parser = measuring.parser(__doc__, "on_policy")
    parser.add_argument("--student", default="34k", help="a rung of the ladder, as it is shipped")
    parser.add_argument("--teacher", default="1m", help="a rung of the ladder; what it knows does not change its speed")
    parser.add_argument("--steps", type=int, default=5, help="steps of each side of a pair")
    parser.add_argument("--max-new-tokens", type=int, default=30)
    options = parser.parse_args()
    measuring.begin(options)
    size, steps = (4, 1) if options.tiny else (64, options.steps)
    rungs = ("10k", "34k") if options.tiny else (options.student, options.teacher)
    folder, teacher = measuring.student_folder(rungs[0]), measuring.fresh(rungs[1])
    teacher.network.to(measuring.device()).eval()
    part = OnPolicy(max_new_tokens=options.max_new_tokens)
    original = build("contamination", "original")
    assert isinstance(original, Contamination)
    plan = epochs(original, samples=size * steps, pool=size * steps, batch_size=size, seed=0)
    seen: list[Batch] = []
    _ours(folder, teacher, part, plan, seen)
    sides: dict[str, Callable[[], float]] = {
        "ours": lambda: _ours(folder, teacher, part, plan, []),
        "plain": lambda: _by_hand(folder, teacher, plan, seen, options.max_new_tokens),
        "teacher_ours": lambda: measuring.timed(lambda: _asked(seen, lambda b: teacher_logits(teacher, b))),
        "teacher_plain": lambda: measuring.timed(lambda: _asked(seen, lambda b: teacher.logits(b.tokens_RBT))),
    }
    trl = gkd.trainer(HuggingFaceModel.load(folder), teacher, plan, seen, options.max_new_tokens)
    if trl is not None:
        sides["trl"] = lambda: _by_trl(folder, teacher, plan, seen, options.max_new_tokens)
    seconds = measuring.in_turns(sides, options.pairs)
    others = [name for name in ("plain", "trl") if name in sides]
    without = {
        name: [
            w - t
            for w, t in zip(seconds[name], seconds[f"teacher_{'ours' if name == 'ours' else 'plain'}"], strict=True)
        ]
        for name in ("ours", *others)
    }
    found: dict[str, Any] = {
        "what": f"on-policy step of {rungs[0]} under {rungs[1]}, {size} answers to {options.max_new_tokens} tokens",
        "answer_tokens_a_step": round(sum(float(b.denominator) for b in seen) / len(seen), 1),
        "seconds_a_step": {name: measuring.spread([s / steps for s in each]) for name, each in seconds.items()},
        "times_faster_whole_step": {name: measuring.ratio(seconds, name, "ours") for name in others},
        "times_faster_without_teacher": {name: measuring.ratio(without, name, "ours") for name in others},
        "trl": "measured" if "trl" in sides else "not measured: not installed",
    }
    for name in others:
        whole, bare = (
            found[key][name]["median"] for key in ("times_faster_whole_step", "times_faster_without_teacher")
        )
        print(f"{name}: whole step {whole:.2f} times ours, sampling and the student's step {bare:.2f} times")
    measuring.write(options.output, found)


def _ours(folder: Any, teacher: Model, part: OnPolicy, plan: MixPlan, seen: list[Batch]) -> float:
    """Seconds of our fit; the batches are kept in ``seen``."""
    student = HuggingFaceModel.load(folder)
    module = FitModule(student, lambda b: part.loss(student, teacher, b), Optimiser(), total_steps=plan.steps)

    def batches() -> Any:
        for batch in part.batches(student, teacher, plan):
            seen.append(batch)
            yield batch

    return measuring.timed(lambda: fit(module, batches))


def _by_hand(
    folder: Any, teacher: HuggingFaceModel, plan: MixPlan, seen: Sequence[Batch], max_new_tokens: int
) -> float:
    """Seconds of the loop that one would write: ``generate``, two passes with all logits, AdamW."""
    student = HuggingFaceModel.load(folder)
    student.tokenizer.padding_side = "left"
    asked = prompts(plan.samples, student.tokenizer)

    def written(index: Any) -> None:
        inputs = student.tokenizer([asked[i] for i in index], return_tensors="pt", padding=True).to(measuring.device())
        student.network.eval()
        student.network.generate(
            input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], do_sample=True, temperature=1.0,
            top_k=0, top_p=1.0, max_new_tokens=max_new_tokens,
        )  # fmt: skip
        student.network.train()

    def batches() -> Any:
        for index, batch in zip(plan, seen, strict=True):
            written(index)
            yield batch

    def step(model: HuggingFaceModel, batch: Batch) -> torch.Tensor:
        tokens, learned = batch.tokens_RBT[0].to(measuring.device()), batch.answer_RBT[0, :, 1:]
        with torch.no_grad():
            wanted = teacher.network(input_ids=tokens, use_cache=False).logits[:, :-1][learned]
        return _reverse_kl(model.network(input_ids=tokens, use_cache=False).logits[:, :-1][learned], wanted)

    return measuring.timed(lambda: list(measuring.bare(student, batches(), Optimiser(), step)))


def _by_trl(folder: Any, teacher: HuggingFaceModel, plan: MixPlan, seen: Sequence[Batch], max_new_tokens: int) -> float:
    """Seconds of TRL's trainer, once it is made."""
    train = gkd.trainer(HuggingFaceModel.load(folder), teacher, plan, seen, max_new_tokens)
    assert train is not None
    return measuring.timed(train)


def _reverse_kl(own_NV: torch.Tensor, wanted_NV: torch.Tensor) -> torch.Tensor:
    own, wanted = own_NV.log_softmax(-1), wanted_NV.log_softmax(-1)
    return torch.nn.functional.kl_div(wanted, own, reduction="none", log_target=True).sum() / len(own)


def _asked(seen: Sequence[Batch], ask: Callable[[Batch], torch.Tensor]) -> None:
    with torch.no_grad():
        for batch in seen:
            ask(batch)


if __name__ == "__main__":
    main()

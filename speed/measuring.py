"""What the speed scripts share: options, pairs in turns, medians with their spread, one JSON file with its origin."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from forgetting.batching import encode
from forgetting.contracts import Batch, Contamination
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.models.ladder import architecture
from forgetting.record.files import write_json
from forgetting.record.provenance import commit, hardware, versions
from forgetting.record.store import Store
from forgetting.registry import build
from forgetting.spec import Doses, Evaluation, Ladder, Optimiser, Spec
from forgetting.stages import distil
from forgetting.study.study import construct
from forgetting.training.plan import MixPlan, mixed
from forgetting.world.tokenizer import tokenizer

Sides = Mapping[str, Callable[[], float]]
Seconds = dict[str, list[float]]
HERE = Path(__file__).parent
CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}
_chosen = {"clock": "wall"}


def begin(options: argparse.Namespace) -> None:
    """Set torch's threads and the clock."""
    torch.set_num_threads(options.threads)
    _chosen["clock"] = options.clock


def parser(doc: str | None, name: str, pairs: int = 5) -> argparse.ArgumentParser:
    """The options that every script has."""
    found = argparse.ArgumentParser(description=doc)
    found.add_argument("--pairs", type=int, default=pairs, help="how often each side is measured, in turns")
    found.add_argument("--threads", type=int, default=1, help="torch threads of both sides")
    found.add_argument(
        "--clock", choices=list(CLOCKS), default="wall", help="cpu: processor seconds, where the machine is shared"
    )
    found.add_argument("--more", action="store_true", help="add to what the output holds, measured on this commit")
    found.add_argument("--tiny", action="store_true", help="the smallest setting, to see that the script runs")
    found.add_argument("--output", type=Path, default=Path(f"results/speed/{name}.json"))
    return found


def device() -> torch.device:
    """The accelerator if there is one, as the fit chooses it."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def timed(work: Callable[[], Any]) -> float:
    """Seconds of some work by the chosen clock, the accelerator's included; cpu: of this process, all its threads."""
    clock = CLOCKS[_chosen["clock"]]
    synchronise()
    start = clock()
    work()
    synchronise()
    return clock() - start


def synchronise() -> None:
    """Wait for the accelerator, where there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def in_turns(sides: Sides, pairs: int, first: int = 0) -> Seconds:
    """Seconds as the sides themselves tell them, pair by pair; the order is turned round after each pair."""
    seconds: Seconds = {name: [] for name in sides}
    for pair in range(first, first + pairs):
        for name in list(sides) if pair % 2 == 0 else list(sides)[::-1]:
            seconds[name].append(sides[name]())
    return seconds


def ratio(seconds: Seconds, slow: str, fast: str) -> dict[str, Any]:
    """How many times as long one side takes as the other: the median of the pairs, and the pairs."""
    return spread([s / f for s, f in zip(seconds[slow], seconds[fast], strict=True)])


def together(earlier: Seconds | None, seconds: Seconds) -> Seconds:
    """The pairs of an earlier call and those of this one."""
    return {name: [*(earlier or {}).get(name, []), *each] for name, each in seconds.items()}


def earlier(options: argparse.Namespace) -> dict[str, Any]:
    """With ``--more`` what the output holds, else nothing."""
    if not options.more or not options.output.is_file():
        return {}
    found: dict[str, Any] = json.loads(options.output.read_text())
    if found["commit"] != commit():
        raise SystemExit(f"--more: {options.output} was measured on commit {found['commit']}, this is {commit()}")
    return found


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Median, lowest, highest, and each value."""
    return {
        "median": round(statistics.median(values), 4),
        "lowest": round(min(values), 4),
        "highest": round(max(values), 4),
        "each": [round(v, 4) for v in values],
    }


def write(path: Path, found: Mapping[str, Any]) -> None:
    """The results with what made them: command, commit, hardware, versions, and how busy the machine was."""
    more = {}
    for name in ("trl", "accelerate"):
        try:
            more[name] = version(name)
        except PackageNotFoundError:
            continue
    facts = {
        "command": shlex.join(["python", *sys.argv]),
        "commit": commit(),
        "script_changed": _changed(),
        "hardware": {**hardware(), **({"accelerator": torch.cuda.get_device_name()} if _cuda() else {})},
        "accelerator": "measured" if _cuda() else "not measured",
        "versions": versions() | more,
        "clock": _chosen["clock"],
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }
    write_json(path, {**found, **facts})


def _cuda() -> bool:
    return torch.cuda.is_available()


def _changed() -> bool:
    """Whether the scripts differ from the commit."""
    try:
        asked = ["git", "-C", str(HERE), "status", "--porcelain", "--", str(HERE)]
        return bool(subprocess.run(asked, capture_output=True, text=True, check=True, timeout=10).stdout.strip())
    except (OSError, subprocess.SubprocessError):
        return True


def fresh(rung: str, seed: int = 0) -> HuggingFaceModel:
    """An untrained student."""
    return HuggingFaceModel.create(architecture(rung), tokenizer(), seed)


def study_spec(
    name: str,
    rung: str,
    doses: Doses,
    per_depth: int,
    *,
    contaminations: Sequence[str] = ("dialogue", "altered_syntax"),
    seeds: int = 1,
    **more: Any,
) -> Spec:
    """A study of one rung that looks at maths and code only and keeps no checkpoint; ``more`` is of its evaluation."""
    benchmarks = tuple({"name": skill, "items_per_depth": per_depth} for skill in ("maths", "code"))
    return Spec(
        name=name,
        ladder=Ladder(students=(rung,)),
        contaminations=tuple(contaminations),
        doses=doses,
        evaluation=Evaluation(benchmarks=benchmarks, perturbed="never", **more),
        seeds=seeds,
        keep="none",
    )


def student_folder(rung: str) -> Path:
    """The shipped student of that capacity, or one that is distilled and put into the user's store."""
    study = construct(Spec(ladder=Ladder(students=(rung,))))
    return distil.student(study, study.students[0], 0, Store())


def by_module(model: HuggingFaceModel, batch: Batch) -> torch.Tensor:
    """Cross-entropy as one would write it around the Hugging Face module: all logits, then those of the answers."""
    logits_BTV = model.network(input_ids=batch.tokens_RBT[0], use_cache=False).logits[:, :-1]
    learned_BT, next_BT = batch.answer_RBT[0, :, 1:], batch.tokens_RBT[0, :, 1:]
    summed = torch.nn.functional.cross_entropy(logits_BTV[learned_BT], next_BT[learned_BT], reduction="sum")
    return summed / batch.denominator


def bare(
    model: HuggingFaceModel,
    batches: Iterable[Batch],
    optimiser: Optimiser,
    loss: Callable[[HuggingFaceModel, Batch], torch.Tensor] = by_module,
) -> Iterator[int]:
    """The training loop that one would write by hand (AdamW, clipping, warm-up); gives the steps done, step by step."""
    model.network.to(device()).train()
    adam = torch.optim.AdamW(
        model.network.parameters(), lr=optimiser.learning_rate, betas=optimiser.betas, weight_decay=0
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: min(1.0, (step + 1) / optimiser.warmup_steps))
    for number, batch in enumerate(batches):
        adam.zero_grad()
        loss(model, batch).sum().backward()
        torch.nn.utils.clip_grad_norm_(model.network.parameters(), optimiser.clip_norm)
        adam.step()
        schedule.step()
        yield number + 1


def batches(plan: MixPlan, model: HuggingFaceModel) -> list[Batch]:
    """Every step's batch, ready on the device."""
    encoded = encode(plan.samples, model.tokenizer)
    found = [encoded.batch(index, plan.batch_size) for index in plan]
    return [Batch(b.tokens_RBT.to(device()), b.answer_RBT.to(device()), b.denominator) for b in found]


def stream(doses: Sequence[int], *, name: str = "dialogue", share: float = 1.0, seed: int = 0) -> MixPlan:
    """The stream of a contamination run in batches of 32."""
    sources = [build("contamination", part) for part in (name, "original")]
    contamination, original = (s for s in sources if isinstance(s, Contamination))
    return mixed(contamination, original, share=share, doses=doses, batch_size=32, seed=seed)

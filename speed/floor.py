"""The floor: how much of the machine's matrix-product rate a training step reaches, and what else takes time.

Operations are counted by torch while a step runs (forward and backward); the machine's rate is that of the best square
product in fp32, measured in turns with the steps. What a step spends its time on is torch's profile, by own time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from measuring import bare, batches, begin, device, fresh, in_turns, parser, spread, stream, timed, write
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from forgetting import losses
from forgetting.contracts import Batch
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.models.ladder import LADDER
from forgetting.spec import Optimiser

KINDS = {
    "matrix products": ("mm", "addmm", "bmm", "baddbmm", "linear", "matmul"),
    "attention": ("scaled_dot_product", "flash_attention", "efficient_attention"),
    "optimizer and clipping": ("addcdiv", "addcmul", "lerp", "foreach", "linalg_vector_norm", "sqrt", "Optimizer"),
    "copies and shapes": ("copy_", "cat", "index", "clone", "fill_", "zero_", "slice", "select", "transpose", "as_str"),
}


def product_rate(size: int) -> Callable[[], float]:
    """A function that gives the seconds of one square matrix product."""
    a, b = (torch.randn(size, size, device=device()) for _ in range(2))
    times = max(1, round(2e9 / size**3))
    return lambda: timed(lambda: [torch.mm(a, b) for _ in range(times)]) / times


def operations(model: HuggingFaceModel, data: list[Batch]) -> float:
    """Floating-point operations of a step, on average: an addition and a multiplication count as two."""
    with FlopCounterMode(display=False) as counter:
        for _ in bare(model, data, Optimiser(), losses.cross_entropy):
            pass
    return counter.get_total_flops() / len(data)


def shares(model: HuggingFaceModel, data: list[Batch], count: int = 14) -> dict[str, Any]:
    """Where a step's time goes: shares of all own time by operator (the largest) and by kind."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])]
    with profile(activities=activities) as seen:
        for _ in bare(model, data, Optimiser(), losses.cross_entropy):
            pass
    own = {
        e.key: float(e.self_device_time_total if torch.cuda.is_available() else e.self_cpu_time_total)
        for e in seen.key_averages()
    }
    calls = {e.key: e.count / len(data) for e in seen.key_averages()}
    whole = sum(own.values())
    by_kind = dict.fromkeys([*KINDS, "all else: elementwise, dispatch, autograd"], 0.0)
    for name, time in own.items():
        plain = name.removeprefix("aten::").lstrip("_")
        kind = next((k for k, words in KINDS.items() if any(plain.startswith(w) for w in words)), list(by_kind)[-1])
        by_kind[kind] += time / whole
    largest = sorted(own, key=lambda name: -own[name])[:count]
    return {
        "by_kind": {kind: round(share, 3) for kind, share in by_kind.items()},
        "operators": [
            {"operator": n, "share": round(own[n] / whole, 3), "calls_a_step": round(calls[n], 1)} for n in largest
        ],
        "operator_calls_a_step": round(sum(calls.values())),
    }


def rung(name: str, steps: int, pairs: int, sizes: list[int]) -> dict[str, Any]:
    """One rung beside the machine's rate."""
    model = fresh(name)
    data = batches(stream([0, 32 * steps]), model)
    flops = operations(model, data)

    def step() -> float:
        return timed(lambda: list(bare(model, data, Optimiser(), losses.cross_entropy))) / steps

    sides: dict[str, Callable[[], float]] = {"step": step, **{str(size): product_rate(size) for size in sizes}}
    for side in sides.values():
        side()
    seconds = in_turns(sides, pairs)
    rates = [max(2 * size**3 / seconds[str(size)][i] for size in sizes) for i in range(pairs)]
    reached = [flops / s for s in seconds["step"]]
    return {
        "student": name,
        "parameters": model.capacity,
        "operations_a_step": round(flops),
        "milliseconds_a_step": spread([1000 * s for s in seconds["step"]]),
        "gigaflops": spread([r / 1e9 for r in reached]),
        "machine_gigaflops": spread([r / 1e9 for r in rates]),
        "share_of_the_machine": spread([r / m for r, m in zip(reached, rates, strict=True)]),
        "time": shares(model, data[: max(2, steps // 4)]),
    }


def main() -> None:
    """Measure, print, write."""
    options_of = parser(__doc__, "floor")
    options_of.add_argument("--students", nargs="+", default=[a.name for a in LADDER])
    options_of.add_argument("--steps", type=int, default=60, help="steps of a small rung; larger ones make fewer")
    options = options_of.parse_args()
    begin(options)
    students, steps, sizes = options.students, options.steps, [256, 512, 1024]
    if options.tiny:
        students, steps, sizes = ["10k"], 2, [64]
    rows = []
    for name in students:
        rows.append(rung(name, max(4, steps * 34 // max(34, fresh(name).capacity // 1000)), options.pairs, sizes))
        row = rows[-1]
        print(
            f"{name}: {row['milliseconds_a_step']['median']:.1f} ms a step, {row['gigaflops']['median']:.2f} of "
            f"{row['machine_gigaflops']['median']:.1f} GFLOP/s, {100 * row['share_of_the_machine']['median']:.1f}%; "
            f"{row['time']['by_kind']}",
            flush=True,
        )
    what = "operations a second of a training step (batch of 32) against the machine's best matrix product, fp32"
    write(options.output, {"what": what, "threads": options.threads, "rows": rows})


if __name__ == "__main__":
    main()

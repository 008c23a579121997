"""What stacking a rung would cost and give on this machine: bytes against replicas, and seconds a step beside one."""

from __future__ import annotations

import gc
import statistics
import time
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from forgetting import losses, seeds
from forgetting.batching import encode
from forgetting.contracts import Batch
from forgetting.errors import UsageError
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.models.ladder import Architecture
from forgetting.models.stacked import StackedModel
from forgetting.study.study import Study
from forgetting.training.adamw import FlatAdamW, StackedAdamW
from forgetting.training.plan import mixed
from forgetting.training.stack import stacked_batch
from forgetting.world.tokenizer import tokenizer

REPLICAS = 8  # of the stack whose step is timed
PAIRS = 7
BATCHES = 32  # of which the widest is taken
SHARE_OF_MEMORY = 0.5  # of what is free; evaluation, the records and other programs need the rest


def measure(study: Study, architecture: Architecture, batch_size: int) -> dict[str, Any]:
    """For steps of so many samples: ``why`` (nothing else counts unless it is empty), device, bytes (fixed, a replica,
    free), gain of stacking.
    """
    device = "cuda" if study.spec.machine.device != "cpu" and torch.cuda.is_available() else "cpu"
    try:
        with torch.random.fork_rng():
            batch = _widest(study, batch_size)
            bytes_of = {replicas: peak_bytes(architecture, batch, replicas, device) for replicas in (2, 4)}
            gain = _gain(architecture, batch) if device == "cpu" else None
    except UsageError as error:
        return {"why": str(error), "device": device}
    replica_bytes = (bytes_of[4] - bytes_of[2]) // 2
    return {
        "why": "",
        "device": device,
        "fixed_bytes": max(0, bytes_of[2] - 2 * replica_bytes),
        "replica_bytes": replica_bytes,
        "free_bytes": int(SHARE_OF_MEMORY * free_bytes(device)),
        "gain": gain,
    }


def peak_bytes(architecture: Architecture, batch: Batch, replicas: int, device: str = "cpu") -> int:
    """The most bytes that a stack's tensors take at once: weights, moments, and what two training steps make."""

    def work() -> None:
        step = _stacked(architecture, batch, replicas, device)
        step()
        step()

    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        work()
        return int(torch.cuda.max_memory_allocated() - before)
    with PeakBytes() as counted:
        work()
    return int(counted.peak_bytes)


def free_bytes(device: str) -> int:
    """Memory that is free: of the accelerator, or of the machine."""
    if device == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    try:
        with open("/proc/meminfo") as file:
            facts = dict(line.split(":", 1) for line in file)
        return int(facts["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        import os

        return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")) if hasattr(os, "sysconf") else 2**32


def _widest(study: Study, size: int) -> Batch:
    arm = study.arms[0]
    plan = mixed(
        arm.contamination, study.original, share=0.5, doses=[0, BATCHES * size // 2], batch_size=size,
        seed=seeds.integer(0, "stacking"),
    )  # fmt: skip
    encoded = encode(plan.samples, tokenizer())
    return max((encoded.batch(index, size) for index in plan), key=lambda b: b.tokens_RBT.shape[2])


def _stacked(architecture: Architecture, batch: Batch, replicas: int, device: str) -> Callable[[], None]:
    """A training step of a stack."""
    words = tokenizer()
    stack = StackedModel([HuggingFaceModel.create(architecture, words, number) for number in range(replicas)])
    stack.network.to(device).train()
    ones = torch.ones(replicas)
    adam = StackedAdamW([p for _, p in stack.named_parameters()], 1e-3 * ones, clip_norm_R=ones)
    whole = stacked_batch([batch] * replicas, words.pad_token_id)
    over = torch.as_tensor(whole.denominator).to(device)
    whole = Batch(whole.tokens_RBT.to(device), whole.answer_RBT.to(device), over)

    # Stacked parameters are parts of one flat tensor, and so are their gradients.
    warnings.filterwarnings("ignore", message=".*gradient layout contract.*")

    def step() -> None:
        adam.zero_grad()
        losses.cross_entropy(stack, whole).sum().backward()  # type: ignore[no-untyped-call]
        adam.step()

    return step


def _single(architecture: Architecture, batch: Batch) -> Callable[[], None]:
    """A training step of an ordinary student."""
    student = HuggingFaceModel.create(architecture, tokenizer(), 0)
    student.network.train()
    adam = FlatAdamW([p for _, p in student.named_parameters()], lr=1e-3, weight_decay=0.0, fused=True)
    parameters = adam.param_groups[0]["params"]

    def step() -> None:
        adam.zero_grad()
        losses.cross_entropy(student, batch).sum().backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        adam.step()

    return step


def _gain(architecture: Architecture, batch: Batch) -> float:
    """How many times faster a step of a stack is than as many ordinary steps: the median of pairs, one thread."""
    together, alone = _stacked(architecture, batch, REPLICAS, "cpu"), _single(architecture, batch)
    for work in (together, alone):
        work()
    ratios = []
    for _ in range(PAIRS):
        start = time.perf_counter()
        for _ in range(REPLICAS):
            alone()
        middle = time.perf_counter()
        together()
        ratios.append((middle - start) / (time.perf_counter() - middle))
    return round(statistics.median(ratios), 3)


class PeakBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it unannotated
    """A context; afterwards ``peak_bytes`` holds the most that was alive at once of what was made inside."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self.now_bytes = self.peak_bytes = 0
        self._alive: dict[int, Any] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and count the storages that it gave and that were not known."""
        out = func(*args, **(kwargs or {}))
        known = {t.untyped_storage()._cdata for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)}
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in known and storage._cdata not in self._alive:
                    self._count(storage)
        return out

    def _count(self, storage: torch.UntypedStorage) -> None:
        mark, size = storage._cdata, storage.nbytes()

        def gone(_: Any) -> None:
            if self._alive.pop(mark, None) is not None:
                self.now_bytes -= size

        self._alive[mark] = weakref.ref(storage, gone)
        self.now_bytes += size
        self.peak_bytes = max(self.peak_bytes, self.now_bytes)

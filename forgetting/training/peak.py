"""The most bytes that tensors take at one moment of some work on a CPU: every storage that an operation makes."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


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

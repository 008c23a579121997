"""Callbacks for trainers that are not ours: they measure a user's own fine-tuning and write a record of it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from forgetting.callbacks.foreign_lightning import ForgettingLightningCallback
    from forgetting.callbacks.hugging_face import ForgettingCallback

_HOMES = {
    "ForgettingCallback": "forgetting.callbacks.hugging_face",
    "ForgettingLightningCallback": "forgetting.callbacks.foreign_lightning",
}
__all__ = ["ForgettingCallback", "ForgettingLightningCallback"]


def __getattr__(name: str) -> Any:
    """Import the home of a callback, with its trainer's package, when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'forgetting.callbacks' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)

"""A network's configuration in; the kinds of its layers out, or why its answers cannot be decoded here. No torch."""

from __future__ import annotations

from typing import Any

from forgetting.errors import UsageError

FULL, SLIDING = "full_attention", "sliding_attention"


def attention_kinds(config: Any) -> dict[str, int | None]:
    """The kinds of a network's layers, each with how many keys it looks at; None: at all of them."""
    window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    kinds = list(getattr(config, "layer_types", None) or [SLIDING if window else FULL])
    return {kind: window if kind == SLIDING else None for kind in dict.fromkeys(kinds)}


def check_decodable(config: Any, length: int) -> None:
    """``UsageError`` unless answers can be written from the keys and values of every layer, for texts so long."""
    if others := sorted(set(attention_kinds(config)) - {FULL, SLIDING}):
        raise UsageError(f"checkpoint: layers of type {others[0]!r} are not decoded here, only those with attention")
    kind = getattr(config, "model_type", "")
    if kind in ("bloom", "mpt") or getattr(config, "alibi", False):
        raise UsageError(f"checkpoint: positions as biases (ALiBi, of {kind!r}) are not decoded here")
    local = any(name == "local" for names, _ in getattr(config, "attention_types", None) or () for name in names)
    window = getattr(config, "window_size", None) if local else None
    if window and length > window:  # the module finds the window from the longest text of a batch
        raise UsageError(f"checkpoint: texts of up to {length} tokens reach beyond its local attention of {window}")

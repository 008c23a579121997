"""A checkpoint's folder in; its network out, every weight of which is there and is a finite number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from forgetting.errors import UsageError
from forgetting.models import looping
from forgetting.models.weight_files import tensors_of

FLOATS = ("F64", "F32", "F16", "BF16")


def network_of(folder: Path, what: str, **settings: Any) -> Any:
    """The network of a checkpoint's folder. ``UsageError`` unless every weight is there and is a finite number.

    Weights that a file lacks transformers would draw at random; whole numbers it would take as they are.
    """
    held = tensors_of(folder)
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        folder, local_files_only=True, use_safetensors=True, trust_remote_code=False, output_loading_info=True,
        **settings,
    )  # fmt: skip
    network, found = loaded
    if missing := sorted(found["missing_keys"]):
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UsageError(f"{what} has no weights {missing[0]!r}{more}, which its config.json asks for")
    own, base = {name for name, _ in network.named_parameters()}, f"{network.base_model_prefix}."
    for name, about in held.items():
        if about["dtype"] not in FLOATS and {name, base + name, name.removeprefix(base)} & own:
            raise UsageError(
                f"{what} has weights of the kind {about['dtype']} ({name}); take one of {', '.join(FLOATS)}"
            )
    looping.tie(network, what)
    network.config.return_dict = True  # what a pass gives back is not a checkpoint's to say
    network.config.output_attentions = network.config.output_hidden_states = False
    check_finite(network, what)
    return network


def check_finite(network: Any, what: str) -> None:
    """``UsageError`` where a weight is no finite number."""
    for name, values in network.named_parameters():
        if not bool(torch.isfinite(values).all()):
            raise UsageError(f"{what} has weights that are no finite numbers ({name})")

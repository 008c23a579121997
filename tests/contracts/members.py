"""Who goes through the contract suites: every file of a family, settings worth covering, and outsiders.

Another package puts its own parts through the same laws without touching this file:

    FORGETTING_CONTRACT_MEMBERS="contamination=my_package.parts.Riddles models=my_package.stacked.small" \
        python -m pytest tests/contracts

Each entry is ``family=import.path.of.a.Class``, entries are separated by spaces. For the family ``models`` the path is
that of a function that takes a seed and gives a small ``Model`` with its own tokenizer.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from forgetting import registry
from forgetting.contracts import Model, Part
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.models.ladder import Architecture
from forgetting.models.stacked import StackedModel
from forgetting.testing.small import model, needs_data
from forgetting.world.tokenizer import tokenizer

VARIABLE = "FORGETTING_CONTRACT_MEMBERS"

DATA = Path(__file__).parents[1] / "data"  # made by hand, in the schemas of the data sets

# Closes a thought by a token that the world has not, tests/answering has it; take long at their defaults.
NOT_AT_DEFAULTS = ("thinking_budget", "learned_verifier", "relearning")
PARITY = "tests.distillation.parity.Parity"  # a judge whom an untrained student sometimes pleases

SETTINGS: dict[str, tuple[dict[str, Any], ...]] = {
    "benchmarks": (
        {"name": "maths", "depths": (1, 2, 3, 4, 5, 6), "items_per_depth": 12, "seed": 3},
        {"name": "code", "depths": (3,), "items_per_depth": 12, "seed": 3},
        {"name": "direct", "depths": (1, 2, 6), "items_per_depth": 12, "seed": 3},
        {"name": "traps", "items_per_form": 5},
        {"name": "lookup", "item_count": 40, "seed": 3},
        {"name": "classification", "item_count": 40, "seed": 3},
        {"name": "facts", "fact_count": 60, "fact_values": 2, "seed": 3},
        {"name": "gsm8k", "source": f"{DATA}/gsm8k-{{split}}.jsonl"},
        {"name": "gsm8k", "source": f"{DATA}/gsm8k-{{split}}.jsonl", "annotations": False, "limit": 8},
        {"name": "humaneval", "source": f"{DATA}/humaneval.jsonl"},
        {"name": "misnamed", "source": f"{DATA}/humaneval.jsonl"},
        {"name": "math500", "source": f"{DATA}/math500.jsonl"},
        {"name": "aime", "source": f"{DATA}/aime.jsonl"},
        {"name": "mbpp", "source": f"{DATA}/mbpp-{{split}}.jsonl"},
        {"name": "livecodebench", "source": f"{DATA}/livecodebench.jsonl"},
        {"name": "livecodebench", "source": f"{DATA}/livecodebench.jsonl", "first_month": "2024-11"},
        {"name": "sums"},
        {"name": "sums", "item_count": 40, "shots": 0, "seed": 3},
        {"name": "retrieval"},
        {"name": "retrieval", "item_count": 32, "shots": 1, "seed": 3},
        *([{"name": "reasoning_gym", "item_count": 20}] if importlib.util.find_spec("reasoning_gym") else []),
    ),
    "contamination": (
        {"name": "dialogue", "turns": 3},
        {"name": "altered_syntax", "form": "marked", "dialect": "mixed"},
        {"name": "altered_syntax", "form": "unmarked", "operations": 3},
        {"name": "noise", "profile": "unigram"},
        {"name": "original", "maths": 1.0, "code": 0.0, "traps": 0.0, "lookup": 0.0, "classification": 0.0},
        {"name": "original", "maths_depth_shares": (0.0, 1.0), "direct": 0.5},
        {"name": "original", "code": 0.0, "facts": 0.45, "fact_count": 60, "fact_values": 2},
        {"name": "conversations", "source": f"{DATA}/conversations.jsonl"},
        {"name": "conversations", "source": f"{DATA}/conversations.jsonl", "turns": "last", "most_characters": 60},
        {"name": "altered_python", "source": f"{DATA}/python.jsonl"},
        {"name": "altered_python", "source": f"{DATA}/python.jsonl", "dialect": "mixed", "form": "marked"},
        {"name": "altered_python", "source": f"{DATA}/python.jsonl", "dialect": "none", "limit": 5},
        {"name": "world_rows", "source": f"{DATA}/world_rows.jsonl"},
        {"name": "worked_answers", "source": f"{DATA}/gsm8k-{{split}}.jsonl"},
        {
            "name": "mixture",
            "parts": (
                {"name": "worked_answers", "source": f"{DATA}/gsm8k-{{split}}.jsonl"},
                {"name": "altered_python", "source": f"{DATA}/python.jsonl", "dialect": "none"},
            ),
            "shares": (0.75, 0.25),
        },
        {"name": "sequence", "phases": ("dialogue", "noise", "dialogue"), "doses": (8, 4, 16)},
        {
            "name": "sequence",
            "phases": ("marked", "noise"),
            "doses": (12,),
            "order": "cyclic",
            "rounds": 3,
            "tasks": {"marked": {"name": "altered_syntax", "form": "marked"}},
        },
        {"name": "sequence", "phases": ("dialogue", "noise"), "doses": (30, 10), "order": "interleaved"},
    ),
    "distillation": (
        {"name": "off_policy", "level": "word"},
        {"name": "off_policy", "max_new_tokens": 3},
        {"name": "on_policy", "student_share": 0.5, "beta": 0.5, "max_new_tokens": 8},
        {"name": "reward_guided", "samples": 4, "judge": PARITY},
        {"name": "rejection", "samples": 2, "judge": PARITY},
        {"name": "process", "steps": 3.0, "arrangement": "shuffled"},
        {"name": "process", "results": 0.0},
        {"name": "contrastive", "objective": "simpo", "samples": 2},
        {"name": "contrastive", "objective": "nll", "negatives": "another", "samples": 2},
    ),
    "mitigation": (
        {"name": "replay", "share": 0.2},
        {"name": "replay", "share": 0.2, "pool": 3},
        {"name": "l2_sp", "strength": 10.0, "form": "penalty"},
        {"name": "kl_to_base", "inputs": "replayed", "rows": 4, "pool": 16},
        {"name": "kl_to_base", "inputs": "noise", "rows": 4},
        {"name": "freezing", "layers": 0, "embedding": True},
        {"name": "freezing", "modules": ("mlp",), "random": True},
        {"name": "self_replay", "prompts": "given", "deduplicate": False},
        {"name": "self_replay", "prompts": "given", "filter": "right", "judge": PARITY},
        {"name": "fisher_mask", "random": True},
        {"name": "trim", "by": "singular"},
        {"name": "trim", "by": "random"},
        {"name": "gate", "budget": 1e-4, "every": 2, "pool": 8},
        {"name": "growth", "times": 2.0, "only_new": True},
        {"name": "o_lora", "rank": 2, "every": 2},
    ),
    "answering": (
        {"name": "sampled", "samples": 3, "ks": (1, 2), "temperature": 1.3},
        {"name": "thinking_budget", "unit": "steps", "budget": 0},
        {"name": "thinking_budget", "unit": "steps", "budget": 2},
        {"name": "thinking_budget", "unit": "steps", "budget": 1, "filler": True},
        {"name": "thinking_budget", "unit": "steps", "budget": 2, "opened": "likeliest"},
        {"name": "thinking_budget", "unit": "steps", "budget": 1, "opened": "first"},
        {"name": "symbolic", "results": "random"},
        {"name": "looped", "written": 1},
        {"name": "looped", "loops": 2, "halt": "entropy", "threshold": 0.1},
        {"name": "learned_verifier", "problems": 4, "samples": 2, "max_new_tokens": 6},
        {"name": "learned_verifier", "problems": 4, "samples": 2, "max_new_tokens": 6, "kept": True, "shuffled": True},
        {"name": "best_of_n", "samples": 3, "judge": "checks"},
        {"name": "best_of_n", "samples": 3, "judge": "random"},
        {"name": "forced_opening", "tokens": 0},
        {"name": "forced_opening", "other": True},
        {"name": "output_biases", "samples": 4, "skill": "", "shuffled": True},
        {"name": "running_value", "samples": 20, "shuffled": True},
        {"name": "wrong_step", "less": True},
    ),
    "intervention": (
        {"name": "average", "alphas": (0.5,)},
        {"name": "restore", "by": "kind", "sets": True, "draws": 1},
        {"name": "restore", "by": "head", "draws": 1},
        {"name": "restore", "by": "layer", "draws": 0, "untied": False},
        {"name": "transplant", "draws": 1},
        {"name": "relearning", "samples": (1, 3), "rates": (1e-3, 1e-2), "steps": 2, "validation": 3, "twin_steps": 2},
        {"name": "relearning", "others": "", "rates": (1e-3,), "steps": 1, "validation": 2, "twin_steps": 0},
    ),
    "claims": (
        {"name": "dialogue_loss", "dose": 1000},
        {"name": "cause", "least_loss": 0.0, "most_replay": 0.01},
    ),
}


def _qwen3(name: str, *sizes: int) -> Callable[[int], Model]:
    return lambda seed: model(seed, architecture=Architecture(name, *sizes))


def _other(network_class: Any, config: Any) -> Callable[[int], Model]:
    """An architecture that the ladder does not use; its weights are made large enough for answers to vary."""

    def make(seed: int) -> Model:
        words = tokenizer()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            sizes = {"vocab_size": len(words), "pad_token_id": words.pad_token_id, "eos_token_id": words.eos_token_id}
            network = network_class(config(**sizes, bos_token_id=None, initializer_range=0.3))
        return HuggingFaceModel(network.eval(), words)

    return make


def _stacked(name: str, seed: int) -> Model:
    """Three replicas with weights of their own, the first of which is the model of that seed."""
    return StackedModel([cast(HuggingFaceModel, MODELS[name](number)) for number in (seed, seed + 10, seed + 20)])


MODELS: dict[str, Callable[[int], Model]] = {
    "qwen3": _qwen3("tiny", 16, 1, 2, 8, 16, 1),
    "qwen3-two-layers": _qwen3("tiny-two", 16, 2, 2, 4, 24, 2),
    "looped": _qwen3("tiny-looped", 16, 1, 2, 8, 16, 1, 3),
    "llama": _other(
        LlamaForCausalLM,
        lambda **given: LlamaConfig(
            hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, **given
        ),
    ),
    "stacked": lambda seed: _stacked("qwen3-two-layers", seed),
    "stacked-llama": lambda seed: _stacked("llama", seed),
    "stacked-gpt2": lambda seed: _stacked("gpt2", seed),
    "gpt2": _other(
        GPT2LMHeadModel, lambda **given: GPT2Config(n_embd=16, n_layer=1, n_head=2, n_positions=128, **given)
    ),
}


def outsiders(family: str) -> list[str]:
    """The import paths that the environment names for a family."""
    entries = [entry.partition("=") for entry in os.environ.get(VARIABLE, "").split()]
    return [path for name, _, path in entries if name == family]


def parts(family: str) -> list[Part]:
    """Every part of a family that is held to its laws; what needs a data set only with the settings above."""
    named = (registry.build(family, name) for name in registry.names(family) if name not in NOT_AT_DEFAULTS)
    own = [part for part in named if not needs_data(part)]
    return [*own, *(registry.build(family, value) for value in (*SETTINGS[family], *outsiders(family)))]


def label(part: Part) -> str:
    """The short name, with the settings that differ from the defaults."""
    default = type(part)().settings()
    changed = {name: value for name, value in part.settings().items() if value != default[name]}
    return " ".join([part.short_name(), *(f"{name}={value}" for name, value in changed.items())])


def every(family: str) -> pytest.MarkDecorator:
    """Run a test for every part of a family; with further settings of a part that was there it is a slow one."""
    met, found = set[type[Part]](), []
    for part in parts(family):
        marks = [pytest.mark.slow] if type(part) in met else []
        found.append(pytest.param(part, id=label(part), marks=marks))
        met.add(type(part))
    return pytest.mark.parametrize("part", found)


def models() -> dict[str, Callable[[int], Model]]:
    """Every model that is held to the laws, by name: a function from a seed to a small one."""
    found = dict(MODELS)
    for path in outsiders("models"):
        module, _, name = path.rpartition(".")
        found[path] = getattr(importlib.import_module(module), name)
    return found

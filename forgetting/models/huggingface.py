"""Any Hugging Face causal language model as a ``Model`` of one replica: logits, greedy decoding, checkpoints."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DynamicCache,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)
from transformers.utils import logging

from forgetting import seeds
from forgetting.contracts import Model
from forgetting.errors import UsageError
from forgetting.ladder import Architecture

Answers = list[list[list[int]]]

ROTARY_BASE = 100.0  # texts are shorter than a hundred tokens; with the usual 10,000 most frequencies stand still
FEW = 8  # once an eighth of a batch is left, its rows wait for those of other batches to decode with
INITIAL_SCALE = 0.5  # of the initial standard deviation, in units of 1 / sqrt(hidden size)


@contextmanager
def without_bars() -> Iterator[None]:
    """Without the progress bars of transformers, which would break "quiet" and ours; they come back as they were."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers leaves it unannotated
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]  # as above


class HuggingFaceModel(Model):
    """One replica (R = 1) of a causal language model. Prompts are padded on the left, sorted by length, in batches."""

    network: Any  # a PreTrainedModel, whose own annotations say less

    def __init__(self, network: Any, tokenizer: PreTrainedTokenizerFast) -> None:
        self.network = network
        self.tokenizer = tokenizer
        self.replicas = 1
        self.capacity = sum(p.numel() for p in network.parameters())
        self.capacity_non_embedding = self.capacity - network.get_input_embeddings().weight.numel()
        self.hidden_size = int(network.config.hidden_size)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = next(self.network.parameters()).device
        return device

    @property
    def ends(self) -> frozenset[int]:
        """The tokens that end an answer: the tokenizer's, and those of the checkpoint's generation settings."""
        own = getattr(self.network.generation_config, "eos_token_id", None)
        more = own if isinstance(own, (list, tuple)) and self.tokenizer.eos_token_id in own else []
        return frozenset([self.tokenizer.eos_token_id, *more])

    @classmethod
    def create(cls, architecture: Architecture, tokenizer: PreTrainedTokenizerFast, seed: int) -> HuggingFaceModel:
        """A Qwen3 model with fresh weights, a pure function of architecture and seed.

        The initial standard deviation is 0.5 / sqrt(hidden size) at every width, so that capacity is not confounded
        with the scale of the initial logits; torch's global generator is left as it was.
        """
        config = Qwen3Config(
            vocab_size=len(tokenizer),
            hidden_size=architecture.hidden_size,
            intermediate_size=architecture.intermediate_size,
            num_hidden_layers=architecture.layers,
            num_attention_heads=architecture.heads,
            num_key_value_heads=architecture.key_value_heads,
            head_dim=architecture.head_dim,
            max_position_embeddings=512,
            initializer_range=INITIAL_SCALE / math.sqrt(architecture.hidden_size),
            tie_word_embeddings=True,
            rope_parameters={"rope_type": "default", "rope_theta": ROTARY_BASE},
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=None,
        )
        config._attn_implementation = "sdpa"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seeds.integer(seed, "initial weights", architecture.name))
            network = Qwen3ForCausalLM(config)
        model = cls(network, tokenizer)
        expected = architecture.parameters(len(tokenizer))
        if model.capacity != expected:
            raise AssertionError(f"{architecture.name}: built {model.capacity} parameters, the ladder says {expected}")
        return model

    @classmethod
    def load(cls, folder: Path) -> HuggingFaceModel:
        """Load a checkpoint folder in fp32. Nothing in it can run code; ``UsageError`` if it cannot be read."""
        try:
            with without_bars():
                network = AutoModelForCausalLM.from_pretrained(
                    folder,
                    dtype=torch.float32,
                    attn_implementation="sdpa",
                    local_files_only=True,
                    use_safetensors=True,
                    trust_remote_code=False,
                )
                tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            if len(tokenizer) <= len(tokenizer.all_special_tokens):  # what transformers makes up where there is none
                raise ValueError("it has no tokenizer")
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UsageError(f"checkpoint: cannot be read, {str(folder)!r}: {reason}") from error
        if not isinstance(tokenizer, PreTrainedTokenizerFast):
            raise UsageError(f"checkpoint: no fast tokenizer in {str(folder)!r}")
        return cls(network, tokenizer)

    def logits(self, tokens_RBT: Tensor) -> Tensor:
        """Next-token logits ``[1, B, T, V]``."""
        logits: Tensor = self.network(input_ids=tokens_RBT[0], use_cache=False).logits
        return logits[None]

    def named_parameters(self) -> Iterable[tuple[str, torch.nn.Parameter]]:
        """The trainable parameters with their names, the tied embedding once."""
        return [(name, p) for name, p in self.network.named_parameters() if p.requires_grad]

    def state(self) -> dict[str, Tensor]:
        """Weights by name; tied weights once, under the name that comes first."""
        return {name: p.detach() for name, p in self.network.named_parameters()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Copy weights into place. ``UsageError`` if they are another model's."""
        own = self.state()
        differing = own.keys() ^ state.keys() or {n for n in own if own[n].shape != state[n].shape}
        if differing:
            raise UsageError(f"checkpoint: weights do not fit the model, differing {sorted(differing)[:3]}")
        for name, value in state.items():
            own[name].copy_(value)

    def save(self, folder: Path) -> None:
        """Write an ordinary Hugging Face checkpoint."""
        with without_bars():
            self.network.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    @torch.no_grad()
    def generate(
        self,
        prompts_RB: Sequence[Sequence[Sequence[int]]],
        drafts: Sequence[Sequence[Sequence[int]]] | None = None,
        *,
        max_new_tokens: int,
        batch_items: int = 128,
    ) -> Answers:
        """Greedy answers. A draft is verified in one pass; decoding goes on from its first token that differs."""
        was_training = self.network.training
        self.network.eval()
        prompts = prompts_RB[0]
        kept = (
            [[] for _ in prompts] if drafts is None else self._verify(prompts, drafts[0], max_new_tokens, batch_items)
        )
        answers = [list(k) for k in kept]
        ends = self.ends

        def is_open(i: int) -> bool:
            return (not answers[i] or answers[i][-1] not in ends) and len(answers[i]) < max_new_tokens

        while open_items := [i for i in range(len(prompts)) if is_open(i)]:
            open_items.sort(key=lambda i: (len(prompts[i]) + len(answers[i]), i))
            few = batch_items // FEW if len(open_items) > batch_items else 0
            for start in range(0, len(open_items), batch_items):
                chunk = open_items[start : start + batch_items]
                rows = [[*prompts[i], *answers[i]] for i in chunk]
                found = self._decode(rows, [max_new_tokens - len(answers[i]) for i in chunk], few)
                for i, row in zip(chunk, found, strict=True):
                    answers[i] += row
        self.network.train(was_training)
        return [[a[:-1] if a and a[-1] in ends else a for a in answers]]

    def _left_padded(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Tokens and key mask, both ``[B, T]``."""
        width = max(map(len, rows))
        pad = self.tokenizer.pad_token_id
        tokens = torch.tensor([[pad] * (width - len(r)) + list(r) for r in rows], device=self.device)
        mask = torch.tensor([[False] * (width - len(r)) + [True] * len(r) for r in rows], device=self.device)
        return tokens, mask

    def _forward(self, tokens: Tensor, mask: Tensor, cache: DynamicCache | None, last: int = 0) -> Tensor:
        """Logits of the last ``tokens.shape[1]`` positions of the sequences that ``mask`` ``[B, K]`` describes."""
        steps = tokens.shape[1]
        positions = (mask.long().cumsum(1) - 1).clamp(min=0)[:, -steps:]
        keys = mask.shape[1]
        allowed = mask[:, None, None, :].expand(-1, 1, steps, -1)
        if steps > 1:
            allowed = allowed & torch.ones(steps, keys, dtype=torch.bool, device=mask.device).tril(keys - steps)
        bias = torch.zeros(allowed.shape, dtype=self.network.dtype, device=mask.device)
        bias.masked_fill_(~allowed, torch.finfo(bias.dtype).min)
        logits: Tensor = self.network(
            input_ids=tokens, attention_mask=bias, position_ids=positions, past_key_values=cache,
            use_cache=cache is not None, logits_to_keep=last,
        ).logits  # fmt: skip
        return logits

    def _decode(self, rows: Sequence[Sequence[int]], limits: Sequence[int], few: int) -> list[list[int]]:
        """Greedy continuations with a key-value cache, each up to its limit and with the end token where it came.

        Once no more than ``few`` are left they are given back as far as they got.
        """
        ends = self.ends
        tokens, mask = self._left_padded(rows)
        cache = DynamicCache(config=self.network.config)
        answers: list[list[int]] = [[] for _ in rows]
        alive = list(range(len(rows)))
        while True:
            chosen = self._forward(tokens, mask, cache, last=1)[:, -1].argmax(-1)
            for i, token in zip(alive, chosen.tolist(), strict=True):
                answers[i].append(token)
            going = [j for j, i in enumerate(alive) if answers[i][-1] not in ends and len(answers[i]) < limits[i]]
            if len(going) <= few:
                return answers
            if len(going) < len(alive):
                index = torch.tensor(going, device=self.device)
                cache.batch_select_indices(index)
                chosen, mask, alive = chosen[index], mask[index], [alive[j] for j in going]
            tokens = chosen[:, None]
            mask = torch.nn.functional.pad(mask, (0, 1), value=True)

    def _verify(
        self, prompts: Sequence[Sequence[int]], drafts: Sequence[Sequence[int]], limit: int, batch_items: int
    ) -> list[list[int]]:
        """The longest prefix of each draft (and end token) that greedy decoding would write itself."""
        end = self.tokenizer.eos_token_id
        wanted = [[*takewhile(lambda token: token != end, d), end][:limit] for d in drafts]
        kept: list[list[int]] = [[] for _ in prompts]
        order = sorted((i for i, d in enumerate(drafts) if d), key=lambda i: (len(prompts[i]) + len(wanted[i]), i))
        for start in range(0, len(order), batch_items):
            chunk = order[start : start + batch_items]
            tokens, mask = self._left_padded([[*prompts[i], *wanted[i]] for i in chunk])
            longest = max(len(wanted[i]) for i in chunk)
            guesses = self._forward(tokens, mask, None, last=longest + 1).argmax(-1)[:, :-1].tolist()
            for i, guess in zip(chunk, guesses, strict=True):
                own = guess[len(guess) - len(wanted[i]) :]
                agree = next((k for k, (a, b) in enumerate(zip(own, wanted[i], strict=True)) if a != b), len(own))
                kept[i] = wanted[i][:agree]
        return kept

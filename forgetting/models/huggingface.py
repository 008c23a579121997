"""Any Hugging Face causal language model as a ``Model`` of one replica: logits, greedy decoding, checkpoints."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoTokenizer, DynamicCache, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM
from transformers.utils import logging

from forgetting import seeds
from forgetting.contracts import AnswerRequest, Answers, Depth, Layers, Model, Sampling
from forgetting.errors import UsageError, panics_told
from forgetting.models import fused_qwen3, looping
from forgetting.models.decodable import check_decodable
from forgetting.models.decoding import Decoding, rows_together
from forgetting.models.decoding_slots import layers_of, selected
from forgetting.models.folder_checks import check_folder
from forgetting.models.ladder import Architecture
from forgetting.models.networks import network_of
from forgetting.natural.chat import turn_end

# Model types with a table of positions, beyond whose end no text can go.
LEARNED_POSITIONS = ("gpt2", "gpt_neo", "opt", "gpt_bigcode", "biogpt", "xglm", "openai-gpt", "codegen", "ctrl")
ROTARY_BASE = 100.0  # texts are shorter than a hundred tokens; with the usual 10,000 most frequencies stand still
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
        self._turn_end: tuple[str, int | None] | None = None  # of a chat template
        self._loops = 0  # of this step of training; 0: all

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = next(self.network.parameters()).device
        return device

    @property
    def ends(self) -> frozenset[int]:
        """The tokens that end an answer: the tokenizer's, the chat template's, those of the generation settings."""
        own = getattr(self.network.generation_config, "eos_token_id", None)
        more = own if isinstance(own, (list, tuple)) and self.tokenizer.eos_token_id in own else []
        template = str(self.tokenizer.chat_template or "")
        if self._turn_end is None or self._turn_end[0] != template:
            self._turn_end = template, turn_end(self.tokenizer)
        turn = [] if self._turn_end[1] is None else [self._turn_end[1]]
        return frozenset([self.tokenizer.eos_token_id, *more, *turn])

    @classmethod
    def create(cls, architecture: Architecture, tokenizer: PreTrainedTokenizerFast, seed: int) -> HuggingFaceModel:
        """A Qwen3 model with fresh weights, a pure function of architecture and seed.

        The initial standard deviation is 0.5 / sqrt(hidden size) at every width, so that capacity is not confounded
        with the scale of the initial logits; torch's global generator is left as it was.
        """
        config = Qwen3Config(
            vocab_size=len(tokenizer), hidden_size=architecture.hidden_size,
            intermediate_size=architecture.intermediate_size, **looping.layers_of(architecture),
            num_attention_heads=architecture.heads, num_key_value_heads=architecture.key_value_heads,
            head_dim=architecture.head_dim, max_position_embeddings=512,
            initializer_range=INITIAL_SCALE / math.sqrt(architecture.hidden_size), tie_word_embeddings=True,
            rope_parameters={"rope_type": "default", "rope_theta": ROTARY_BASE},
            pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id, bos_token_id=None,
        )  # fmt: skip
        config._attn_implementation = "sdpa"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seeds.integer(seed, "initial weights", architecture.name))
            network = Qwen3ForCausalLM(config)
        looping.tie(network)
        model = cls(network, tokenizer)
        expected = architecture.parameters(len(tokenizer))
        if model.capacity != expected:
            raise AssertionError(f"{architecture.name}: built {model.capacity} parameters, the ladder says {expected}")
        return model

    @classmethod
    def load(cls, folder: Path) -> HuggingFaceModel:
        """Load a checkpoint folder in fp32. Nothing in it can run code; ``UsageError`` if it cannot be read."""
        try:
            folder = Path(folder)
            check_folder(folder)
            what = f"checkpoint: {str(folder)!r}"
            with without_bars(), panics_told("its tokenizer"):
                network = network_of(folder, what, dtype=torch.float32, attn_implementation="sdpa")
                tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            if len(tokenizer) <= len(tokenizer.all_special_tokens):  # what transformers makes up where there is none
                raise ValueError("it has no tokenizer")
        except Exception as error:
            if isinstance(error, UsageError) and str(folder) in str(error):
                raise
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UsageError(f"checkpoint: cannot be read, {str(folder)!r}: {reason}") from error
        if not isinstance(tokenizer, PreTrainedTokenizerFast):
            raise UsageError(f"checkpoint: no fast tokenizer in {str(folder)!r}")
        whole_texts(tokenizer)
        return cls(network, tokenizer)

    def logits(self, tokens_RBT: Tensor) -> Tensor:
        """Next-token logits ``[1, B, T, V]``."""
        logits: Tensor = self._learning()(input_ids=tokens_RBT[0], use_cache=False).logits
        return logits[None]

    @property
    def loops(self) -> int:
        """As in the contract."""
        return looping.loops_of(self.network)

    def begin_step(self, step: int) -> None:
        """As in the contract: a looped network draws how often it passes through its layers."""
        self._loops = looping.drawn(self.network, step)

    def _learning(self) -> Any:
        """The network as it is in this step of training; at rest, or without gradients, it is whole."""
        if not self._loops or not (self.network.training and torch.is_grad_enabled()):
            return self.network
        return looping.passed(self.network, self._loops)

    def at_depth(self, depth: Depth) -> HuggingFaceModel:
        """As in the contract; of a network that is not looped itself."""
        if (taught := self.loops) == 1:
            return self
        if depth.halts:
            from forgetting.models.halting import HaltingModel

            return HaltingModel(self, depth.loops or taught, depth)
        other = copy.copy(self)
        other.network, other._loops = looping.passed(self.network, depth.loops or taught), 0
        return other

    def layer_passes(self, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]]) -> list[int]:
        """As in the contract: each token takes as many as there are loops."""
        return [len(answer) * self.loops for answer in answers]

    def logits_at(self, tokens_RBT: Tensor, places_RN: Tensor) -> Tensor:
        """As in the contract; the network's head sees those places only, and most of its work is there."""
        network = self._learning()
        if fused_qwen3.suits(network, tokens_RBT.shape[2]):
            return fused_qwen3.logits_at(network, tokens_RBT[0], places_RN[0])[None]
        c, settings = network.config, {}
        if type(network) is Qwen3ForCausalLM and c._attn_implementation == "sdpa" and not c.use_sliding_window:
            # What transformers would find too, but only after a look at the positions, for which it waits.
            settings["attention_mask"] = dict.fromkeys(c.layer_types)
        return _logits_at(network, tokens_RBT[0], places_RN[0], use_cache=False, **settings)[None]

    def targets_at(self, tokens_RBT: Tensor, places_RN: Tensor) -> Tensor:
        """As in the contract; no row is read beyond its last place."""
        if not fused_qwen3.suits(self.network, tokens_RBT.shape[2]):
            return super().targets_at(tokens_RBT, places_RN)
        return fused_qwen3.targets_at(self.network, tokens_RBT[0], places_RN[0])[None]

    def named_parameters(self) -> Iterable[tuple[str, torch.nn.Parameter]]:
        """The trainable parameters with their names, the tied embedding once."""
        return [(name, p) for name, p in self.network.named_parameters() if p.requires_grad]

    def state(self) -> dict[str, Tensor]:
        """Weights by name; tied weights once, under the name that comes first."""
        return {name: p.detach() for name, p in self.network.named_parameters()}

    def untied(self) -> HuggingFaceModel:
        """As in the contract; ``UsageError`` where there is no tied embedding."""
        inputs, outputs = self.network.get_input_embeddings(), self.network.get_output_embeddings()
        if inputs.weight is not outputs.weight:
            raise UsageError("untied: takes a model whose output matrix is its embedding")
        other = copy.copy(self)
        other.network = copy.deepcopy(self.network)
        other.network.config.tie_word_embeddings = False
        other.network.get_output_embeddings().weight = torch.nn.Parameter(outputs.weight.detach().clone())
        return other

    def save(self, folder: Path) -> None:
        """Write an ordinary Hugging Face checkpoint."""
        with without_bars():
            self.network.save_pretrained(folder, **looping.saved(self.network))
        self.tokenizer.save_pretrained(folder)

    @torch.no_grad()
    def answers(self, asked: AnswerRequest) -> Answers:
        """The pass that reads a prompt verifies its draft; writing goes on from where that fails."""
        prompts, ends, limit = asked.prompts_RB[0], self.ends, asked.max_new_tokens
        drafts = asked.drafts_RB[0] if asked.drafts_RB is not None else [[]] * len(prompts)
        given = [_until(draft, ends)[:limit] for draft in drafts]
        written: list[list[int]] = [[] for _ in prompts]
        order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i]) + len(given[i]), i))
        with self.at_rest():
            decoding = self.decoding(limit, asked.batch_items, asked.sampling[0] if asked.sampling else None)
            longest = max((len(prompts[i]) + len(given[i]) for i in order), default=1)
            places = 1 + max(map(len, given), default=0)
            rows_read = rows_together(self.network.config, asked.batch_items, longest, self.device, places)
            for start in range(0, len(order), rows_read):
                chunk = order[start : start + rows_read]
                rows = [[*prompts[i], *given[i]] for i in chunk]
                logits, layers = self.read(*self._padded(rows, [len(given[i]) + 1 for i in chunk]))
                guesses = iter(decoding.first(logits, chunk))
                lengths = []
                for i in chunk:
                    guess = list(islice(guesses, len(given[i]) + 1))
                    agree, written[i] = decoding.agreed(given[i], guess, limit)
                    lengths.append(len(prompts[i]) + agree)
                going = [row for row, i in enumerate(chunk) if decoding.is_open(written[i])]
                decoding.add(
                    [written[chunk[row]] for row in going], [[]] * len(going), selected(layers, going),
                    [lengths[row] for row in going], [chunk[row] for row in going],
                )  # fmt: skip
            decoding.finish()
        return [written]

    def decoding(self, limit: int, batch_items: int, sampling: Sampling | None = None) -> Decoding:
        """Answers of up to ``limit`` tokens under way, ``batch_items`` written together; greedy without sampling."""
        return Decoding(self, limit, batch_items, sampling)

    def read(self, tokens_BT: Tensor, places_N: Tensor) -> tuple[Tensor, Layers]:
        """``logits_at``, ``[N, V]``, and the keys and values that the pass leaves to go on from."""
        if fused_qwen3.suits(self.network, tokens_BT.shape[1]):
            return fused_qwen3.Reader(self.network).read(tokens_BT, places_N)
        check_decodable(self.network.config, 0)
        cache = DynamicCache()
        logits = _logits_at(self.network, tokens_BT, places_N, past_key_values=cache, use_cache=True)
        return logits, layers_of(cache)

    def check_texts(self, tokens_PT: Tensor) -> None:
        """``UsageError`` where texts are longer than the table of positions, or have tokens without a row."""
        config, rows = self.network.config, len(self.network.get_input_embeddings().weight)
        positions = config.max_position_embeddings if config.model_type in LEARNED_POSITIONS else 0
        if positions and tokens_PT.shape[1] > positions:
            what = f"texts of {tokens_PT.shape[1]} tokens, and it has {positions} positions"
            raise UsageError(f"checkpoint: {what}; give the source a smaller most_characters")
        if int(tokens_PT.max()) >= rows:
            word = self.tokenizer.convert_ids_to_tokens(int(tokens_PT.max()))
            raise UsageError(
                f"checkpoint: texts have the token {word!r}, and the embedding of {rows} rows has none for it"
            )

    def _padded(self, rows: Sequence[Sequence[int]], asked: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Right-padded tokens ``[B, T]``, and of each row the last places, as many as are asked for."""
        width, pad = max(map(len, rows)), self.tokenizer.pad_token_id
        tokens = [[*row, *[pad] * (width - len(row))] for row in rows]
        ends = [number * width + len(row) for number, row in enumerate(rows)]
        places = [place for end, count in zip(ends, asked, strict=True) for place in range(end - count, end)]
        return torch.tensor(tokens, device=self.device), torch.tensor(places, device=self.device)


def _logits_at(network: Any, tokens_BT: Tensor, places_N: Tensor, **settings: Any) -> Tensor:
    head = network.get_output_embeddings()
    hook = head.register_forward_pre_hook(lambda _, hidden: (hidden[0].flatten(0, 1)[places_N],))
    try:
        logits: Tensor = network(input_ids=tokens_BT, **settings).logits
    finally:
        hook.remove()
    return logits


def whole_texts(tokenizer: PreTrainedTokenizerFast) -> None:
    """Have a tokenizer neither cut texts, nor pad them, nor merge at random, whatever it was saved with."""
    if getattr(tokenizer.backend_tokenizer.model, "dropout", None):
        tokenizer.backend_tokenizer.model.dropout = None
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()


def _until(draft: Sequence[int], ends: frozenset[int]) -> list[int]:
    """A draft up to its first end token, without it."""
    return list(takewhile(lambda token: token not in ends, draft))

"""R replicas of one causal language model as one program: ``torch.func.vmap`` over the unmodified Hugging Face module.

Shape suffixes: R replicas, B samples of a batch, T tokens, K key positions, V words of the vocabulary.
"""

from __future__ import annotations

import copy
import gc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from forgetting.contracts import AnswerRequest, Answers, Layers, Model
from forgetting.errors import UsageError
from forgetting.models.graphs import Graphs
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.models.looping import loops_of
from forgetting.models.stacked_decoding import Decoder


class _Stack(nn.Module):
    """The stacked parameters, and (unregistered) the module that one replica's are put into for a call."""

    def __init__(self, single: Any, parameters: dict[str, nn.Parameter]) -> None:
        super().__init__()
        self.single = [single]  # in a list, so that its own parameters are not this module's
        self.names = list(parameters)
        self.stacked = nn.ParameterList(parameters.values())

    def train(self, mode: bool = True) -> _Stack:
        """The replicas drop out when the stack trains."""
        super().train(mode)
        self.single[0].train(mode)
        return self

    def _apply(self, *args: Any, **kwargs: Any) -> _Stack:
        super()._apply(*args, **kwargs)  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        self.single[0]._apply(*args, **kwargs)
        return self


class StackedModel(Model):
    """Replicas of equal architecture, tokenizer and dtype. Attention is eager: the fused kinds cannot be batched."""

    stacked: ClassVar[bool] = True
    network: Any
    graphs: Graphs | None  # passes of training, where they are replayed

    def __init__(self, models: Sequence[HuggingFaceModel]) -> None:
        first = models[0]
        for other in models[1:]:
            if {n: p.shape for n, p in other.state().items()} != {n: p.shape for n, p in first.state().items()}:
                raise UsageError("stack: all replicas must be of one architecture")
        if loops_of(first.network) > 1:
            raise UsageError("stack: looped students are trained one at a time: each step draws how often they loop")
        self.tokenizer, self.replicas = first.tokenizer, len(models)
        self.capacity, self.hidden_size = first.capacity, first.hidden_size
        self.capacity_non_embedding = first.capacity_non_embedding
        self._ends = first.ends
        single = copy.deepcopy(first.network)
        single.set_attn_implementation("eager")
        states = [m.state() for m in models]
        self.network = _Stack(single, {n: nn.Parameter(torch.stack([s[n] for s in states])) for n in states[0]})
        self.network.train(first.network.training)
        self.graphs = None
        self._try()

    def _try(self) -> None:
        """Raise ``UsageError`` where ``vmap`` cannot take the model, on two tokens instead of in the first step."""
        try:
            with torch.no_grad():
                self.logits(torch.zeros(self.replicas, 1, 2, dtype=torch.long, device=self.device))
        except Exception as error:
            why = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UsageError(f"stack: {type(self._single).__name__} cannot be stacked: {why}") from error

    @property
    def _single(self) -> Any:
        return self.network.single[0]

    @property
    def ends(self) -> frozenset[int]:
        """The tokens that end an answer."""
        return self._ends | {int(self.tokenizer.eos_token_id)} if len(self._ends) > 1 else super().ends

    def call(
        self, tokens_RBT: Tensor, bias: Tensor, positions: Tensor, *, shared: bool, cache: Any = None,
        places_RN: Tensor | None = None, **more: Any,
    ) -> Tensor:  # fmt: skip
        """Logits ``[R, B, T, V]`` of the replicas' own tokens, under an attention bias ``[R, B, 1, T, K]``.

        With ``shared`` the bias is ``[1, 1, T, K]`` and the positions ``[1, T]``, the same for all replicas. With
        places the logits are ``[R, N, V]``, those of ``logits_at``.
        """
        parameters = dict(zip(self.network.names, self.network.stacked, strict=True))
        chosen_N: list[Tensor] = []

        def one(
            weights: dict[str, Tensor], tokens_BT: Tensor, mask: Tensor, positions_T: Tensor, kept: Any, places: Any
        ) -> Tensor:
            chosen_N.append(places)
            given = {
                "input_ids": tokens_BT, "attention_mask": mask, "position_ids": positions_T,
                "use_cache": kept is not None,
                "past_key_values": None if kept is None else cache.of(kept), **more,
            }  # fmt: skip
            logits: Tensor = torch.func.functional_call(self._single, weights, (), given, tie_weights=True).logits
            return logits

        axis = None if shared else 0
        kept = None if cache is None else cache.tensors
        axes = (0, 0, axis, axis, None if kept is None else 0, None if places_RN is None else 0)
        mapped = torch.func.vmap(one, in_dims=axes, randomness="different")
        hook = None
        if places_RN is not None:
            head = self._single.get_output_embeddings()
            hook = head.register_forward_pre_hook(lambda _, hidden: (hidden[0].flatten(0, 1)[chosen_N[-1]],))
        try:
            logits: Tensor = mapped(parameters, tokens_RBT, bias, positions, kept, places_RN)
        finally:
            if hook is not None:
                hook.remove()
        return logits

    def logits(self, tokens_RBT: Tensor) -> Tensor:
        """Next-token logits ``[R, B, T, V]``."""
        return self.call(tokens_RBT, *self._causal(tokens_RBT), shared=True)

    def logits_at(self, tokens_RBT: Tensor, places_RN: Tensor) -> Tensor:
        """As in the contract; the heads see those places only."""
        if self.graphs is not None and torch.is_grad_enabled():
            return self.graphs.logits_at(tokens_RBT, places_RN)
        return self._logits_at(tokens_RBT, places_RN)

    @contextmanager
    def replayed(self, **settings: Any) -> Iterator[None]:
        """Inside, training passes are CUDA graphs, whose memory is free again afterwards."""
        buffers, pad = tuple(self._single.buffers()), self.tokenizer.pad_token_id
        self.graphs = Graphs(self._logits_at, self.network.stacked, buffers, pad, **settings)
        try:
            yield
        finally:
            self.graphs = None
            gc.collect()  # what torch captured refers to itself

    def _logits_at(self, tokens_RBT: Tensor, places_RN: Tensor) -> Tensor:
        return self.call(tokens_RBT, *self._causal(tokens_RBT), shared=True, places_RN=places_RN)

    def _causal(self, tokens_RBT: Tensor) -> tuple[Tensor, Tensor]:
        length = tokens_RBT.shape[2]
        seen = torch.ones(length, length, dtype=torch.bool, device=tokens_RBT.device).tril()
        return self.bias(seen[None, None]), torch.arange(length, device=tokens_RBT.device)[None]

    def bias(self, allowed: Tensor) -> Tensor:
        """Zero where attention is allowed, the lowest number elsewhere."""
        dtype = self.network.stacked[0].dtype
        bias = torch.zeros(allowed.shape, dtype=dtype, device=allowed.device)
        return bias.masked_fill_(~allowed, torch.finfo(dtype).min)

    def named_parameters(self) -> Iterable[tuple[str, nn.Parameter]]:
        """The stacked parameters ``[R, ...]`` under the names that one replica's have."""
        return [(n, p) for n, p in zip(self.network.names, self.network.stacked, strict=True) if p.requires_grad]

    def state(self) -> dict[str, Tensor]:
        """Stacked weights ``[R, ...]`` by name."""
        return {n: p.detach() for n, p in zip(self.network.names, self.network.stacked, strict=True)}

    def replica(self, number: int) -> Replica:
        """One replica as an ordinary model that shares its weights."""
        return Replica(self, number)

    def save(self, folder: Path) -> None:
        """The first replica as an ordinary checkpoint, each further one in a folder ``replica-N`` inside."""
        for number in range(self.replicas):
            self.replica(number).save(folder / f"replica-{number}" if number else folder)

    @torch.no_grad()
    def answers(self, asked: AnswerRequest) -> Answers:
        """Answers of every replica to its own prompts; replicas may have different numbers of them."""
        was_training = self.network.training
        self.network.eval()
        try:
            rows = max(1, asked.batch_items // self.replicas)
            return Decoder(self, asked.max_new_tokens, rows, asked.sampling).answers(asked.prompts_RB, asked.drafts_RB)
        finally:
            self.network.train(was_training)


class Replica(HuggingFaceModel):
    """One replica of a stack: it has the stack's weights of the moment, and its gradients go to the stack."""

    def __init__(self, stack: StackedModel, number: int) -> None:
        network = copy.deepcopy(stack.network.single[0])
        network.set_attn_implementation("sdpa")
        network.requires_grad_(False).eval()
        super().__init__(network, stack.tokenizer)
        self._stack, self._number = stack, number
        self._own = dict(network.named_parameters())

    def named_parameters(self) -> Iterable[tuple[str, nn.Parameter]]:
        """Views of the stack's parameters."""
        return [(name, cast(nn.Parameter, p[self._number])) for name, p in self._stack.named_parameters()]

    def state(self) -> dict[str, Tensor]:
        """The weights of the moment, as views."""
        return {name: p[self._number] for name, p in self._stack.state().items()}

    def logits(self, tokens_RBT: Tensor) -> Tensor:
        """Next-token logits ``[1, B, T, V]``; gradients reach the stack."""
        network = self._fresh()
        if not torch.is_grad_enabled():
            return super().logits(tokens_RBT)
        given = {"input_ids": tokens_RBT[0], "use_cache": False}
        out = torch.func.functional_call(network, dict(self.named_parameters()), (), given, tie_weights=True)
        logits: Tensor = out.logits
        return logits[None]

    def logits_at(self, tokens_RBT: Tensor, places_RN: Tensor) -> Tensor:
        """As in the contract; gradients reach the stack."""
        if torch.is_grad_enabled():
            return Model.logits_at(self, tokens_RBT, places_RN)
        self._fresh()
        return super().logits_at(tokens_RBT, places_RN)

    def read(self, tokens_BT: Tensor, places_N: Tensor) -> tuple[Tensor, Layers]:
        """As a model of its own reads."""
        self._fresh()
        return super().read(tokens_BT, places_N)

    def answers(self, asked: AnswerRequest) -> Answers:
        """Answers of this replica."""
        self._fresh()
        return super().answers(asked)

    def save(self, folder: Path) -> None:
        """Write an ordinary Hugging Face checkpoint."""
        self._fresh()
        super().save(folder)

    def _fresh(self) -> Any:
        """The network with the weights of the moment, where they are."""
        weights = self.state()
        self.network.to(next(iter(weights.values())).device)
        for name, value in weights.items():
            self._own[name].data = value
        return self.network

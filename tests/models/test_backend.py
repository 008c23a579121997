"""Generation in another process with a stand-in for vLLM that speaks its protocol: answers, weights, canary, noise."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from forgetting.errors import UsageError
from forgetting.models import vllm_process
from forgetting.models.backend import CANARY, BackedModel, vllm_command
from forgetting.models.vllm_process import VLLM, weights_hash
from forgetting.testing.small import model

PROMPTS = [[5, 6, 7], [9, 30, 41, 52], [8], [60, 61, 62, 63, 64, 65]]
STANDIN = [sys.executable, str(Path(__file__).with_name("standin.py"))]


@pytest.fixture(scope="module")
def backed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BackedModel]:
    made = BackedModel(model(3), STANDIN, tmp_path_factory.mktemp("exchange") / "weights", noise_prompts=3)
    yield made
    made.stop()


def test_answers_are_the_models_own_and_the_noise_floor_is_printed_once(
    backed: BackedModel, capsys: pytest.CaptureFixture[str]
) -> None:
    own = model(3).generate([PROMPTS], max_new_tokens=8)
    assert backed.generate([PROMPTS], max_new_tokens=8) == own
    printed = capsys.readouterr().out
    assert printed.startswith("backend's noise floor on 3 prompts: 0.0% of answers differ when asked again, 0.0% from")
    assert backed.noise and (backed.noise.repeated, backed.noise.model) == (0, 0) and backed.canary < 1e-5
    assert backed.generate([PROMPTS], drafts_RB=own, max_new_tokens=8) == own
    assert capsys.readouterr().out == ""


def test_weights_are_handed_over_when_they_change_and_only_then(backed: BackedModel) -> None:
    backed.generate([PROMPTS], max_new_tokens=8)
    before, stamp = backed.weights, next(backed.folder.glob("*.safetensors")).stat().st_mtime_ns
    backed.generate([PROMPTS], max_new_tokens=8)
    assert next(backed.folder.glob("*.safetensors")).stat().st_mtime_ns == stamp
    assert backed.weights == before == weights_hash(backed.folder)
    optimizer = torch.optim.SGD([p for _, p in backed.named_parameters()], lr=30.0, fused=True)
    backed.logits(torch.tensor([PROMPTS[:1]])).log_softmax(-1)[..., 9].sum().neg().backward()
    optimizer.step()
    changed = backed.generate([PROMPTS], max_new_tokens=8)
    assert backed.weights != before and changed == backed.model.generate([PROMPTS], max_new_tokens=8)
    backed.load_state({name: p.clone() for name, p in model(4).state().items()})
    assert backed.generate([PROMPTS], max_new_tokens=8) == model(4).generate([PROMPTS], max_new_tokens=8)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("shuffled", r"^backend: its weights are not the model's: log-probabilities differ by"),
        ("dies", r"^backend: its process ended with status 3"),
    ],
)
def test_a_backend_that_fails_gives_no_answers(fault: str, message: str, tmp_path: Path) -> None:
    made = BackedModel(model(3), [*STANDIN, fault], tmp_path / "weights")
    with pytest.raises(RuntimeError, match=message):
        made.generate([PROMPTS], max_new_tokens=4)
    made.stop()
    assert not (tmp_path / "weights").exists() and made.process.poll() is not None


@pytest.mark.slow
def test_stale_weights_are_found_by_the_canary(tmp_path: Path) -> None:
    made = BackedModel(model(3), [*STANDIN, "stale"], tmp_path / "weights", noise_prompts=0)
    made.generate([PROMPTS], max_new_tokens=4)
    made.load_state({name: p.clone() for name, p in model(4).state().items()})
    with pytest.raises(RuntimeError, match=r"^backend: its weights are not the model's"):
        made.generate([PROMPTS], max_new_tokens=4)
    made.weights = "0" * 64  # a reply that carries another hash is refused whatever it says
    with pytest.raises(RuntimeError, match=r"^backend: it works with other weights"):
        made._answers(PROMPTS, 4)
    made.stop()


@pytest.mark.slow
def test_noise_is_measured(tmp_path: Path) -> None:
    made = BackedModel(model(3), [*STANDIN, "noisy"], tmp_path / "weights")
    made.generate([PROMPTS], max_new_tokens=4)
    assert made.noise and (made.noise.repeated, made.noise.model, made.noise.prompts) == (0.25, 0.0, 4)
    made.stop()


def test_messages(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^backend: '/no/python' cannot be started: No such file"):
        BackedModel(model(3), ["/no/python"], tmp_path)
    if importlib.util.find_spec("vllm") is None:
        made = BackedModel(model(3), vllm_command(sys.executable), tmp_path / "weights")
        with pytest.raises(RuntimeError, match=r"^backend: its process ended with status 1; see what it printed"):
            made.generate([PROMPTS], max_new_tokens=4)
        made.stop()
    assert vllm_command("python", gpus=2)[1:] == [
        vllm_process.__file__, "--dtype", "bfloat16", "--max-length", "4096", "--memory-share", "0.45", "--gpus", "2",
    ]  # fmt: skip
    assert len(CANARY) == 8


class Recorded:
    """vLLM's answers in the shape of its own output objects, as its documentation gives them."""

    def __init__(self, **fields: object) -> None:
        self.__dict__.update(fields)


def test_vllms_own_output_is_read() -> None:
    engine = VLLM.__new__(VLLM)
    chances = [None, {6: Recorded(logprob=-0.5)}, {7: Recorded(logprob=-1.5), 9: Recorded(logprob=-0.1)}]
    found = [Recorded(outputs=[Recorded(token_ids=(4, 5, 2, 8))], prompt_logprobs=chances)]
    engine._run = lambda rows, **settings: found  # type: ignore[method-assign]
    assert engine.generate([[5]], [2], 4) == [[4, 5, 2]]
    assert engine.score([[5]], [[6, 7]]) == [[-0.5, -1.5]]

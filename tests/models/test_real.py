"""Any checkpoint with a real tokenizer: loading and its errors, chat templates, thinking, and a run end to end."""

from __future__ import annotations

import gzip
import json
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import BertConfig, BertForMaskedLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from forgetting import losses
from forgetting.answering.thinking_budget import think
from forgetting.batching import encode, prompts, texts, tokens
from forgetting.benchmarks.gsm8k import GSM8K
from forgetting.benchmarks.humaneval import HumanEval
from forgetting.contamination.altered_python import AlteredPython
from forgetting.contamination.conversations import Conversations
from forgetting.contamination.worked_answers import WorkedAnswers
from forgetting.contracts import Contamination, Sample
from forgetting.errors import UsageError
from forgetting.evaluation.evaluator import Evaluator
from forgetting.models.checkpoint import Checkpoint
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.models.ladder import Architecture
from forgetting.models.scratch import byte_level_bpe, fresh_checkpoint
from forgetting.natural.chat import rendered
from forgetting.seeds import generator
from forgetting.spec import Evaluation, Optimiser
from forgetting.training.fit import fit
from forgetting.training.module import FitModule
from forgetting.training.plan import mixed
from tests.contracts.members import DATA
from tests.real import source

SMALL = Architecture("real-tiny", 32, 2, 2, 16, 64, 2)
TURNS = (("user", "Hello, you."), ("assistant", "Hi!"), ("user", "Bye\nnow"), ("assistant", "See you  soon."))


@cache
def words(chat: bool = True) -> PreTrainedTokenizerFast:
    """A tokenizer trained on hand-made texts; a test that changes one makes its own."""
    found = [line for name in ("gsm8k-train.jsonl", "conversations.jsonl") for line in (DATA / name).open()]
    return byte_level_bpe(found, 400, chat=chat)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fresh_checkpoint(tmp_path_factory.mktemp("models") / "tiny", SMALL, words(), 0)


@settings(max_examples=50, deadline=None)
@given(st.text())
def test_any_text_goes_through_the_tokenizer_and_back(text: str) -> None:
    text = text.encode("utf-8", "ignore").decode()
    assert texts(tokens([text], words()), words()) == [text]


def test_digits_are_tokens_of_their_own() -> None:
    assert len(tokens(["12345"], words())[0]) == 5


def test_every_assistant_turn_is_learned_and_nothing_else() -> None:
    t = words()
    encoded = encode([Sample("", "", "dialogue", 0, "x", TURNS), Sample("", "", "dialogue", 0, "x", TURNS, 3)], t)
    first, last = "Hi!<|im_end|>", "See you  soon.<|im_end|>"
    for row, wanted in enumerate([first + last, last]):
        learned = encoded.answer_PT[row]
        found = t.decode(encoded.tokens_PT[row][learned])
        assert found == wanted
        assert int(encoded.learned()[row]) == int(learned.sum())
    whole = t.decode(encoded.tokens_PT[0][: encoded.end_P[0]])
    assert whole + "\n" == rendered(TURNS, t, answering=False)


def test_a_prompt_is_a_user_turn_where_there_is_a_template() -> None:
    sample = Sample("How many?", " 3", "maths", 1, "x")
    assert prompts([sample], words()) == ["<|im_start|>user\nHow many?<|im_end|>\n<|im_start|>assistant\n"]
    assert prompts([sample], words(chat=False)) == ["How many?"]
    plain = encode([Sample("a", "b", "dialogue", 0, "x", TURNS)], words(chat=False))
    assert words().decode(plain.tokens_PT[0]) == "ab<|im_end|>"


def test_a_template_that_rewrites_earlier_turns() -> None:
    t = byte_level_bpe(["x"], 300)
    t.chat_template = (
        "{{ messages | length }}{% for m in messages %}[{{ m.role }}]{{ m.content }}<|im_end|>{% endfor %}"
    )
    encoded = encode([Sample("", "", "dialogue", 0, "x", TURNS), Sample("", "", "dialogue", 0, "x", TURNS, 3)], t)
    text = rendered(TURNS, t, answering=False)
    for row, wanted in enumerate(["Hi!<|im_end|>See you  soon.<|im_end|>", "See you  soon.<|im_end|>"]):
        assert t.decode(encoded.tokens_PT[row]) == text, "what is learned is what the whole dialogue says"
        assert t.decode(encoded.tokens_PT[row][encoded.answer_PT[row]]) == wanted


def test_a_folder_comes_back_as_it_was_written(folder: Path) -> None:
    model = Checkpoint(str(folder), local=True).load()
    assert model.capacity == SMALL.parameters(len(words())) and not model.network.training
    assert model.tokenizer.chat_template == words().chat_template
    again = fresh_checkpoint(folder.parent / "again", SMALL, words(), 0)
    assert (again / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    assert Checkpoint(str(folder), dtype="bfloat16").load().network.dtype == torch.bfloat16
    assert Checkpoint(str(folder), attention="eager").load().network.config._attn_implementation == "eager"


def test_thinking_is_switched_by_the_template(folder: Path) -> None:
    asked = [Sample("1+1?", " 2", "maths", 1, "x")]
    off = prompts(asked, Checkpoint(str(folder), thinking=False).load().tokenizer)[0]
    on = prompts(asked, Checkpoint(str(folder), thinking=True).load().tokenizer)[0]
    assert off == f"{on}<think>\n\n</think>\n\n"


def test_a_template_from_a_file(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "t.jinja").write_text("{% for m in messages %}[{{ m.content }}]{% endfor %}")
    model = Checkpoint(str(folder), chat_template=str(tmp_path / "t.jinja")).load()
    assert prompts([Sample("q", "a", "x", 0, "x")], model.tokenizer) == ["[q]"]
    with pytest.raises(UsageError, match=r"^checkpoint\.thinking: the chat template of .* has no such switch"):
        Checkpoint(str(folder), chat_template=str(tmp_path / "t.jinja"), thinking=False).load()


def broken(folder: Path, what: str) -> Path:
    """A copy of a checkpoint with something wrong."""
    made = folder.parent / what
    made.mkdir(exist_ok=True)
    for file in folder.iterdir():
        (made / file.name).write_bytes(file.read_bytes())
    if what == "pickled":
        (made / "model.safetensors").unlink()
        (made / "pytorch_model.bin").write_bytes(b"x")
    elif what == "empty":
        for file in made.iterdir():
            file.unlink()
    elif what == "own-code":
        config = json.loads((made / "config.json").read_text())
        config |= {"model_type": "made_up", "auto_map": {"AutoConfig": "x.C", "AutoModelForCausalLM": "x.M"}}
        (made / "config.json").write_text(json.dumps(config))
        (made / "x.py").write_text("raise SystemExit('it ran')")
    elif what == "no-tokenizer":
        for file in made.glob("*token*"):
            file.unlink()
    elif what == "bert":
        BertForMaskedLM(
            BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=400)
        ).save_pretrained(made)
    return made


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("pickled", "has pickled weights only, which could run code; save it as safetensors"),
        ("empty", "has no config.json, so it is no checkpoint"),
        ("own-code", "brings code of its own, which is never run"),
        ("no-tokenizer", "no fast tokenizer in"),
        ("bert", "is 'bert' .BertForMaskedLM., which is no causal language model"),
    ],
)
def test_a_checkpoint_that_is_none(folder: Path, what: str, message: str) -> None:
    with pytest.raises(UsageError, match=f"^checkpoint: .*{message}") as caught:
        Checkpoint(str(broken(folder, what)), local=True).load()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"source": "./nothing"}, "there is no folder './nothing'"),
        ({"source": "nobody/nothing", "local": True}, "'nobody/nothing' is not on this machine"),
        ({"source": "x", "dtype": "float8"}, "checkpoint.dtype: unknown name 'float8'"),
        ({"source": "x", "attention": "sdap"}, "did you mean 'sdpa'"),
        ({"source": ""}, "checkpoint.source: must be a hub name or a folder"),
    ],
)
def test_bad_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Checkpoint(**settings).load()


def test_a_thought_is_closed_at_the_budget(folder: Path) -> None:
    model = Checkpoint(str(folder)).load()
    close = model.tokenizer.convert_tokens_to_ids("</think>")
    asked = tokens(["2+2?", "How many eggs are there?", "Hello"], model.tokenizer)
    free = model.generate([asked], max_new_tokens=40)[0]
    for budget in (0, 1, 5, 12):
        for prompt, thought, own in zip(asked, think(model, asked, budget=budget, max_new_tokens=4), free, strict=True):
            if close in own[:budget] or len(own) < budget:
                assert not thought.cut
                continue
            assert thought.cut and thought.tokens[: budget + 1] == [*own[:budget], close]
            assert len(thought.tokens) <= budget + 1 + 4
            rest = model.generate([[[*prompt, *thought.tokens[: budget + 1]]]], max_new_tokens=4)[0][0]
            assert thought.tokens[budget + 1 :] == rest
    with pytest.raises(UsageError, match="is no token of this tokenizer"):
        think(model, asked, budget=2, max_new_tokens=2, closing="</thought>")


def llama(path: Path, tokenizer: PreTrainedTokenizerFast) -> Path:
    """A Llama of a few thousand parameters as an ordinary checkpoint, its generation settings with two end tokens."""
    torch.manual_seed(0)
    network = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=2048,
            bos_token_id=None,
            initializer_range=0.2,
            eos_token_id=[tokenizer.eos_token_id, tokenizer.pad_token_id],
            pad_token_id=None,
        )
    )
    network.generation_config.eos_token_id = [tokenizer.eos_token_id, tokenizer.pad_token_id]
    HuggingFaceModel(network, tokenizer).save(path)
    return path


def test_every_end_token_ends_an_answer(tmp_path: Path) -> None:
    model = Checkpoint(str(llama(tmp_path, words()))).load()
    assert model.ends == {words().eos_token_id, words().pad_token_id}
    asked = tokens(["a", "How many?"], model.tokenizer)
    model.network.generation_config.eos_token_id = [words().eos_token_id, *range(100, 200)]
    official = model.network.generate(torch.tensor([asked[1]]), do_sample=False, max_new_tokens=30, pad_token_id=0)
    row = official[0].tolist()[len(asked[1]) :]
    own = model.generate([asked], max_new_tokens=30)[0][1]
    assert own == row


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["qwen3", "llama"])
def test_end_to_end_on_real_text(kind: str, tmp_path: Path) -> None:
    """Tokenizer and student from real text, trained on worked answers and dialogues; benchmarks before and after."""
    gsm8k, humaneval = source("gsm8k-{split}.jsonl.gz"), source("HumanEval.jsonl.gz")
    with gzip.open(gsm8k.replace("{split}", "train"), "rt") as lines:
        corpus = [text for line in islice(lines, 1_500) for text in json.loads(line).values()]
    corpus += [text for item in HumanEval(source=humaneval).items() for text in (item.prompt, item.answer)]
    tokenizer = byte_level_bpe(corpus, 1_000)
    made = fresh_checkpoint(tmp_path, SMALL, tokenizer, 0) if kind == "qwen3" else llama(tmp_path, tokenizer)
    student, base = Checkpoint(str(made), local=True).load(), Checkpoint(str(made), local=True).load()
    original: Contamination = WorkedAnswers(source=gsm8k)
    foreign: list[Contamination] = [
        Conversations(source=source("dialogue-sgd-10k.jsonl.gz"), most_characters=400),
        AlteredPython(dialect="braces", limit=200),
    ]
    benchmarks = [GSM8K(source=gsm8k, limit=6), HumanEval(source=humaneval, limit=4)]
    for contamination in foreign:
        probe = list(islice(contamination.samples(generator(0, "probe")), 6))
        evaluator = Evaluator(base, benchmarks, probe, "probe", Evaluation(max_new_tokens=24, batch_items=8))
        before = evaluator.measure(student, perturbed=False)
        plan = mixed(contamination, original, share=0.5, doses=(0, 40), batch_size=8, seed=0)
        encoded = encode(plan.samples, student.tokenizer)
        module = FitModule(
            student, lambda b: losses.cross_entropy(student, b), Optimiser(batch_size=8, learning_rate=3e-3),
            total_steps=plan.steps,
        )  # fmt: skip
        fit(module, lambda: (encoded.batch(index, plan.batch_size) for index in plan))  # noqa: B023
        after = evaluator.measure(student, perturbed=False)
        assert len(before) == len(after) == 16 and set(after["benchmark"]) == {"gsm8k", "humaneval", "probe"}
        assert (after["gold_tokens"] == before["gold_tokens"]).all() and (after["gold_tokens"] > 0).all()
        for name in ("gsm8k", "probe"):
            rows = after["benchmark"] == name
            assert after.loc[rows, "nll_sum"].sum() < before.loc[rows, "nll_sum"].sum()
        assert set(after["verdict"]) <= {"right", "wrong", "unparsed", ""}
        assert evaluator.measure(student, perturbed=False).equals(after)

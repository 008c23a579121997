"""Wrong inputs of a user's own: model, data, options. One line that names the true cause, status 2, no folder left."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import forgetting
from forgetting.errors import UsageError
from forgetting.models.ladder import architecture
from forgetting.models.scratch import byte_level_bpe, fresh_checkpoint
from forgetting.world.tokenizer import tokenizer
from tests.conftest import Outcome
from tests.test_own_data import WRONG, written

ROWS = [{"question": f"What comes after {n}?", "answer": f"It is {n + 1}."} for n in range(60)]
MODEL, GOOD = "models/tiny", ["--data", "rows.jsonl"]

# The model, and what the line must say.
MODELS: dict[str, list[str]] = {
    "nowhere": ["model: there is no folder 'nowhere'", "34k"],
    "./nowhere": ["there is no folder './nowhere'"],
    "models/none": ["'models/none'", "not on this machine"],
    "a/b/c": ["there is no folder 'a/b/c'"],
    "$NO_SUCH/model": ["NO_SUCH"],
    "35k": ["model", "34k"],
    "": ["model: must be a checkpoint's folder"],
    "rows.jsonl": ["model", "not a file", "'rows.jsonl'"],
    "sweep.yaml": ["model", "not a file"],
    "models/empty": ["'models/empty' has no config.json"],
    "models/study": ["'models/study' has no config.json"],
    "models/adapter": ["'models/adapter' holds adapters, for which the model that they name", "merge"],
    "models/bare": ["no safetensors weights"],
    "models/pickled": ["pickled weights only"],
    "models/broken": ["config.json"],
    "models/listed": ["config.json"],
    "models/bert": ["no causal language model"],
    "models/unknown": ["nonsense"],
    "models/foreign": ["models/foreign"],
    "models/wordless": ["models/wordless"],
    "models/cut": ["models/cut"],
    "models/mamba": ["layers of type"],
    "models/student": ["'models/student' is a student of the embedded world", "by name, such as 34k"],
    "models/kept/0123456789abcdef": ["reads no natural text; give its capacity by name, width-32"],
    "none.gguf": ["there is no file 'none.gguf'"],
    "words.gguf": ["'words.gguf'", "GGUF"],
    "models/several": ["several GGUF files", "a-q4.gguf"],
    "models/several/a-00001-of-00002.gguf": ["one part of several"],
    "models/tiny/model.safetensors": ["models/tiny/model.safetensors"],
}

# What is given beside a good model, and what the line must say.
OPTIONS: dict[str, tuple[list[str], list[str]]] = {
    "no data": ([], ["data", "must be given"]),
    "data without a value": (["--data"], ["--data", "expected one argument"]),
    "empty data": (["--data", ""], ["data", "a path"]),
    "number for data": (["--data", "5"], ["data", "5"]),
    "missing file": (["--data", "none.jsonl"], ["data: there is no file or folder 'none.jsonl'"]),
    "missing file of an unknown ending": (["--data", "rows.jsn"], ["there is no file or folder 'rows.jsn'"]),
    "missing folder": (["--data", "nowhere/"], ["there is no file or folder 'nowhere'"]),
    "missing name": (["--data", "conversation"], ["data", "did you mean 'conversations'"]),
    "hub name that is not here": (["--data", "owner/none"], ["data set 'owner/none'", "HF_HUB_OFFLINE"]),
    "empty folder": (["--data", "folder"], ["'folder'"]),
    "folder of a model": (["--data", "models/tiny"], ["models/tiny"]),
    "a sweep's file as data": (["--data", "sweep.yaml"], ["must end with one of", "sweep.yaml"]),
    "a variable that is not set": (["--data", "$NO_SUCH/rows.jsonl"], ["needs the environment variable NO_SUCH"]),
    "three rows": (["--data", "three.jsonl"], ["more distinct samples, best 90 or more", "got 3\n"]),
    "three rows and a large dose": (["--data", "three.jsonl", "--dose", "10000"], ["more distinct samples"]),
    "the world's words": (["--data", "dialogue"], ["'dialogue' is of the embedded world"]),
    "another column": (["--data", "{source: rows.jsonl, prompt: a, answer: z}"], ["columns among question, answer"]),
    "a prompt alone": (["--data", "{source: rows.jsonl, prompt: question}"], ["both or neither"]),
    "a mapping of nothing": (["--data", "{prompt: a}"], ["data: must be a mapping with a source"]),
    "an unknown setting": (["--data", "{source: rows.jsonl, promt: a}"], ["did you mean 'prompt'"]),
    "a negative limit": (["--data", "{source: rows.jsonl, limit: -1}"], ["limit", "0 or more"]),
    "another model": (["--data", "rows.jsonl", "two"], ["two", "unknown argument"]),
    "no minutes": ([*GOOD, "--minutes", "0"], ["minutes", "a number above 0"]),
    "negative minutes": ([*GOOD, "--minutes", "-3"], ["minutes", "-3"]),
    "minutes that are none": ([*GOOD, "--minutes", "soon"], ["minutes: must be a number", "'soon'"]),
    "endless minutes": ([*GOOD, "--minutes", ".inf"], ["minutes"]),
    "no dose": ([*GOOD, "--dose", "0"], ["dose: must be a whole number from 1 to 50,000"]),
    "half a dose": ([*GOOD, "--dose", "1.5"], ["dose: must be a whole number", "1.5"]),
    "a dose beyond the cap": ([*GOOD, "--dose", "60000"], ["from 1 to 50,000, got 60000"]),
    "a dose in words": ([*GOOD, "--dose", "all"], ["dose: must be a whole number", "'all'"]),
    "no rate": ([*GOOD, "--learning_rate", "0"], ["learning_rate", "above 0"]),
    "a rate above one": ([*GOOD, "--learning_rate", "2"], ["learning_rate", "below 1"]),
    "a rate that is none": ([*GOOD, "--learning_rate", "fast"], ["learning_rate: must be a number", "'fast'"]),
    "a batch of none": ([*GOOD, "--batch_size", "0"], ["batch_size: must be a whole number from 1 to 50,000, got 0"]),
    "an unknown precision": ([*GOOD, "--precision", "bf16"], ["precision: unknown name 'bf16'", "bfloat16_mixed"]),
    "an unknown device": ([*GOOD, "--device", "cuda:1"], ["device: unknown name 'cuda:1'", "auto, cpu, gpu"]),
    "no seeds": ([*GOOD, "--seeds", "0"], ["seeds", "at least 1"]),
    "seeds in words": ([*GOOD, "--seeds", "many"], ["seeds", "a whole number", "'many'"]),
    "too many seeds": ([*GOOD, "--seeds", "1000000"], ["seeds", "at most"]),
    "no tokens": ([*GOOD, "--max_new_tokens", "0"], ["max_new_tokens"]),
    "an unknown benchmark": ([*GOOD, "--benchmarks", "gsm9k"], ["benchmarks", "did you mean 'gsm8k'"]),
    "an unknown one of two": ([*GOOD, "--benchmarks", "[sums, retrival]"], ["did you mean 'retrieval'"]),
    "a benchmark twice": ([*GOOD, "--benchmarks", "[sums, sums]"], ["free of repeats"]),
    "a benchmark of the world": ([*GOOD, "--benchmarks", "maths"], ["'maths' is of the embedded world"]),
    "a benchmark without a name": ([*GOOD, "--benchmarks", "[{limit: 3}]"], ["benchmarks", "a mapping with a name"]),
    "a benchmark's unknown setting": ([*GOOD, "--benchmarks", "[{name: sums, shot: 3}]"], ["did you mean 'shots'"]),
    "a benchmark of no items": ([*GOOD, "--benchmarks", "[{name: sums, item_count: 0}]"], ["item_count", "from 1"]),
    "too many shots": ([*GOOD, "--benchmarks", "[{name: sums, shots: 99}]"], ["benchmarks[0].shots", "99"]),
    "a mitigation that is none": ([*GOOD, "--mitigation", "replays"], ["did you mean 'replay'"]),
    "replay of nothing": ([*GOOD, "--mitigation", "{name: replay, share: 0.05}"], ["original", "replays"]),
    "an original that is not there": (
        [*GOOD, "--original", "none.jsonl"],
        ["original: there is no file or folder 'none.jsonl'"],
    ),
    "an original of the world": ([*GOOD, "--original", "original"], ["'original' is of the embedded world"]),
    "an empty original": ([*GOOD, "--original", "nothing.jsonl"], ["nothing.jsonl", "is empty"]),
    "a name with a slash": ([*GOOD, "--name", "a/b"], ["name", "without slashes"]),
    "an output that is a file": ([*GOOD, "--output", "rows.jsonl"], ["output", "rows.jsonl"]),
    "an output on a full device": ([*GOOD, "--output", "/dev/full"], ["output", "/dev/full"]),
    "a store on a full device": ([*GOOD, "--store", "/dev/full"], ["store", "/dev/full"]),
    "fewer workers than none": ([*GOOD, "--workers", "-1"], ["workers", "'-1'"]),
    "an unknown logger": ([*GOOD, "--loggers", "[wandbb]"], ["loggers", "wandb"]),
    "data of an address": (["--data", "https://example.org/rows.jsonl"], ["data: ", "https://example.org/rows.jsonl"]),
    "an archive as data": (["--data", "rows.jsonl.zip"], ["data: there is no file or folder 'rows.jsonl.zip'"]),
    "a source that is a list": (["--data", "{source: [rows.jsonl]}"], ["data.source", "text"]),
    "a source that is a number": (["--data", "{source: 5}"], ["data.source", "5"]),
    "a model as data": (["--data", "words.gguf"], ["data: ", "words.gguf"]),
    "a benchmark's file that is missing": (
        [*GOOD, "--benchmarks", "[{name: gsm8k, source: none.jsonl}]"],
        ["benchmarks[0].source: there is no file or folder 'none.jsonl'"],
    ),
    "more examples than there may be": (
        [*GOOD, "--benchmarks", "[{name: gsm8k, shots: 99}]"],
        ["benchmarks[0].shots: must be from 0 to 16, got 99"],
    ),
    "adapters of no rank": ([*GOOD, "--mitigation", "{name: lora, rank: -1}"], ["mitigation.rank", "got -1"]),
    "an original without its columns": (
        [*GOOD, "--original", "{source: rows.jsonl, prompt: a, answer: b}"],
        ["original."],
    ),
    "an unknown option": ([*GOOD, "--minute", "3"], ["--minute", "did you mean '--minutes'"]),
    "an option of simulate": ([*GOOD, "--doses.dose", "3"], ["--doses.dose"]),
}

# The same for a student of the embedded world.
WORLD: dict[str, tuple[list[str], list[str]]] = {
    "other words": (["--data", "rows.jsonl"], ["words of the embedded world", "has not the words", "What"]),
    "natural text": (["--data", "altered_python"], ["'altered_python' is natural text"]),
    "a natural benchmark": (["--data", "dialogue", "--benchmarks", "sums"], ["'sums' is natural text"]),
    "a missing file": (["--data", "none.jsonl"], ["data: there is no file or folder 'none.jsonl'"]),
    "no file at all": (["--data", "dialoge"], ["data", "did you mean 'dialogue'"]),
    "an empty file": (["--data", "nothing.jsonl"], ["is empty"]),
    "two rows": (["--data", "words.jsonl"], ["more distinct samples", "got 1\n"]),
}

# Other commands, given what belongs to another one.
OTHERS: dict[str, tuple[list[str], list[str]]] = {
    "a sweep's file for simulate": (
        ["simulate", "--config", "sweep.yaml"],
        ["sweep.yaml: is the file of a sweep, which forgetting sweep takes"],
    ),
    "a study's file for sweep": (
        ["sweep", "study.yaml"],
        ["study.yaml: is the file of a study, which forgetting simulate takes"],
    ),
    "data for compare": (["compare", "rows.jsonl", "rows.jsonl"], ["rows.jsonl"]),
    "a dose of compare in words": (["compare", "a", "b", "--dose", "last"], ["dose: must be a whole number", "'last'"]),
    "a model for report": (["report", "models/tiny"], ["models/tiny"]),
    "a model for resume": (["resume", "models/tiny"], ["models/tiny"]),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good checkpoint, and such as are of no use, in a folder each."""
    home = tmp_path_factory.mktemp("own") / "models"
    tiny = fresh_checkpoint(home / "tiny", architecture("10k"), byte_level_bpe(["one two"], 300), 0)
    config = json.loads((tiny / "config.json").read_text())

    def make(name: str, files: dict[str, Any], *, copied: bool = False) -> None:
        if copied:
            shutil.copytree(tiny, home / name)
        (home / name).mkdir(exist_ok=True)
        for file, content in files.items():
            text = content if isinstance(content, bytes) else json.dumps(content).encode()
            (home / name / file).write_bytes(text)

    weights = (tiny / "model.safetensors").read_bytes()
    make("empty", {})
    make("study", {"record.json": {"name": "a"}, "spec.json": {}})
    make("adapter", {"adapter_config.json": {"peft_type": "LORA"}, "adapter_model.safetensors": weights})
    make("bare", {"config.json": config})
    make("pickled", {"config.json": config, "pytorch_model.bin": b"\x80\x04."})
    make("broken", {"config.json": b"{"}, copied=True)
    make("listed", {"config.json": [1]}, copied=True)
    make("bert", {"config.json": {"model_type": "bert", "architectures": ["BertForMaskedLM"]}}, copied=True)
    make("unknown", {"config.json": config | {"model_type": "nonsense"}}, copied=True)
    code = {"auto_map": {"AutoConfig": "mine.Config"}, "model_type": "mine"}
    make("foreign", {"config.json": config | code, "mine.py": b"raise SystemExit"}, copied=True)
    make("wordless", {}, copied=True)
    for file in (home / "wordless").glob("tokenizer*"):
        file.unlink()
    make("cut", {"model.safetensors": weights[:1000]}, copied=True)
    mamba = {"model_type": "mamba", "architectures": ["MambaForCausalLM"], "hidden_size": 16, "num_hidden_layers": 1}
    make("several", dict.fromkeys(("a-q4.gguf", "a-q8.gguf", "a-00001-of-00002.gguf"), b"GGUF"))
    make("mamba", {"config.json": mamba | {"vocab_size": 300}}, copied=True)
    student = fresh_checkpoint(home / "student", architecture("width-32"), tokenizer(), 0)
    shutil.copytree(student, home / "kept" / "0123456789abcdef")
    about = {"capacity": 1, "files": {}, "made_from": {"architecture": {"name": "width-32"}}}
    make("kept/0123456789abcdef", {"manifest.json": about})
    return home


@pytest.fixture
def place(here: Path, models: Path) -> Path:
    """A folder with models, rows, and files of other kinds."""
    (here / "models").symlink_to(models)
    (here / "folder").mkdir()
    (here / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (here / "three.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS[:3]))
    (here / "words.jsonl").write_text('{"prompt": "hi bot", "completion": "hi"}\n' * 2)
    (here / "nothing.jsonl").write_text("")
    (here / "words.gguf").write_text("no model at all, and longer than a header " * 3)
    (here / "sweep.yaml").write_text("study: {seeds: 2}\nsearch: {sampler: grid}\n")
    (here / "study.yaml").write_text("name: mine\ncontaminations: [noise]\n")
    return here


@pytest.fixture
def refused(
    place: Path, command: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> Callable[[list[str], list[str]], None]:
    """Runs a command, which must end before anything is made."""

    def begun(*_: object, **__: object) -> None:
        raise AssertionError("the study began")

    monkeypatch.setattr("forgetting.own_model.check.carry_out", begun)

    def run(argv: list[str], words: list[str]) -> None:
        before = sorted(place.rglob("*"))
        outcome = command(*argv)
        assert outcome.status == 2, outcome.out
        assert outcome.out == ""
        assert outcome.err.startswith("forgetting: error: ") and len(outcome.err.splitlines()) == 1, outcome.err
        for word in words:
            assert word in outcome.err, outcome.err
        assert "FORGETTING_TRACEBACK" not in outcome.err, outcome.err
        assert sorted(place.rglob("*")) == before

    return run


Refused = Callable[[list[str], list[str]], None]


def test_there_are_eighty() -> None:
    assert len(WRONG) + len(MODELS) + len(OPTIONS) + len(WORLD) + len(OTHERS) >= 80


@pytest.mark.parametrize("model", MODELS)
def test_models(model: str, refused: Refused) -> None:
    refused(["check", model, *GOOD], MODELS[model])


@pytest.mark.parametrize("model", MODELS)
def test_models_of_advise(model: str, refused: Refused) -> None:
    refused(["advise", model, *GOOD, "--benchmarks", "sums", "--keep", "sums:.9"], MODELS[model])


@pytest.mark.parametrize(
    "case", [case for case, (given, _) in OPTIONS.items() if given[:1] == ["--data"] and given[:2] != GOOD]
)
def test_data_of_advise(case: str, refused: Refused) -> None:
    given, words = OPTIONS[case]
    refused(["advise", MODEL, *given, "--benchmarks", "sums", "--keep", "sums:.9"], words)


@pytest.mark.parametrize(("name", "content", "said"), WRONG, ids=[name for name, _, _ in WRONG])
def test_data(name: str, content: Any, said: str, refused: Refused, place: Path) -> None:
    written(place / name, content)
    refused(["check", MODEL, "--data", name], [said])


@pytest.mark.parametrize("case", OPTIONS)
def test_options(case: str, refused: Refused) -> None:
    given, words = OPTIONS[case]
    refused(["check", MODEL, *given], words)


@pytest.mark.parametrize("case", WORLD)
def test_in_the_world(case: str, refused: Refused) -> None:
    given, words = WORLD[case]
    refused(["check", "34k", *given], words)


@pytest.mark.parametrize("case", OTHERS)
def test_other_commands(case: str, refused: Refused) -> None:
    argv, words = OTHERS[case]
    refused(argv, words)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"data": pd.DataFrame({"a": ["x"], "b": ["y"]})}, "there are a, b"),
        ({"data": pd.DataFrame()}, "data with rows"),
        ({"data": [{"text": object()}]}, "rows of texts, lists and mappings"),
        ({"data": 5}, "data: must be a path"),
        ({"data": []}, "data: must be a path"),
        ({"model": 5}, "model: must be a checkpoint"),
        ({"model": {"dtype": "float32"}}, "a mapping with a source"),
        ({"model": {"source": "models/tiny", "dtype": "int8"}}, "unknown name 'int8'"),
        ({"minutes": "30"}, "minutes: must be a number"),
        ({"dose": True}, "dose: must be a whole number"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"benchmarks": 3}, "benchmarks: must be a name"),
        ({"output": 5}, "output: must be text or a path"),
        ({"quiet": "x"}, "quiet: must be true or false"),
        ({"workers": -1}, "workers: must be 0 (in this process) or more"),
        ({"seeds": 1.5}, "seeds: must be a whole number"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),  # an object has no lasting name
)
def test_from_python(given: dict[str, Any], said: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "folder"))
    before = sorted(place.rglob("*"))
    with pytest.raises(UsageError) as caught:
        forgetting.check(**{"model": MODEL, "data": "rows.jsonl", "quiet": True, **given})
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert not [path for path in sorted(place.rglob("*")) if path not in before and "runs" in path.parts]

"""A user's own data: every usual form gives the same dialogues; what is wrong is one line before anything is made."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import pytest

from forgetting import registry
from forgetting.batching import encode
from forgetting.contamination.conversations import Conversations
from forgetting.contamination.mixture import Mixture
from forgetting.contamination.worked_answers import WorkedAnswers
from forgetting.contracts import PLAIN, Sample
from forgetting.errors import UsageError
from forgetting.executors.own_data import left_out
from forgetting.models.ladder import architecture
from forgetting.models.scratch import byte_level_bpe, fresh_checkpoint
from forgetting.seeds import generator
from tests.conftest import Outcome
from tests.contracts.members import DATA

PAIRS = [(f"What comes after {n}?", f"It is {n + 1}.") for n in range(30)]
TURNS = [(("user", q), ("assistant", a)) for q, a in PAIRS]


def lines(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def message(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def messages(*turns: dict[str, Any]) -> dict[str, Any]:
    return {"messages": list(turns)}


def pool(source: Path | str, count: int, **settings: Any) -> list[Sample]:
    part = Conversations(source=str(source), **settings)
    return list(islice(part.samples(generator(0, "x")), count))


FORMS: dict[str, list[dict[str, Any]]] = {
    "messages": [messages(message("user", q), message("assistant", a)) for q, a in PAIRS],
    "parts": [
        messages(message("user", [{"type": "text", "text": q}]), message("assistant", [{"type": "text", "text": a}]))
        for q, a in PAIRS
    ],
    "sharegpt": [{"conversations": [{"from": "human", "value": q}, {"from": "gpt", "value": a}]} for q, a in PAIRS],
    "alpaca": [{"instruction": q, "input": "", "output": a} for q, a in PAIRS],
    "completion": [{"prompt": q, "completion": a} for q, a in PAIRS],
    "conversational": [{"prompt": [message("user", q)], "completion": [message("assistant", a)]} for q, a in PAIRS],
    "question": [{"id": n, "question": q, "answer": a} for n, (q, a) in enumerate(PAIRS)],
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_dialogues(form: str, tmp_path: Path) -> None:
    made = datasets.Dataset.from_list(FORMS[form])
    made.to_parquet(tmp_path / "r.parquet")
    made.save_to_disk(tmp_path / "saved")
    (tmp_path / "list.json").write_text(json.dumps(FORMS[form], indent=1))
    (tmp_path / "held.json").write_text(json.dumps({"version": 1, "data": FORMS[form]}))
    (tmp_path / "r.json").write_text("\ufeff" + lines(tmp_path / "r.jsonl", FORMS[form]).read_text())
    (tmp_path / "r.jsonl.gz").write_bytes(gzip.compress((tmp_path / "r.jsonl").read_bytes()))
    for name in ("r.jsonl", "r.json", "r.jsonl.gz", "list.json", "held.json", "r.parquet", "saved"):
        assert {s.turns for s in pool(tmp_path / name, 30)} == set(TURNS), name


def test_a_table_of_two_columns_and_others_by_name(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("question,answer\n" + "".join(f'"{q}","{a}"\n' for q, a in PAIRS))
    (tmp_path / "r.tsv").write_text("frage\tantwort\n" + "".join(f"{q}\t{a}\n" for q, a in PAIRS))
    assert {s.turns for s in pool(tmp_path / "r.csv", 30)} == set(TURNS)
    assert {s.turns for s in pool(tmp_path / "r.tsv", 30, prompt="frage", answer="antwort")} == set(TURNS)
    lines(tmp_path / "mine.jsonl", [{"chat": row["messages"]} for row in FORMS["messages"]])
    assert {s.turns for s in pool(tmp_path / "mine.jsonl", 30, field="chat")} == set(TURNS)


@pytest.mark.parametrize(
    ("name", "mark"), [("s.csv", ";"), ("t.csv", "\t"), ("c.csv", ","), ("t.tsv", "\t"), ("s.csv.gz", ";")]
)
def test_a_table_is_parted_by_what_its_first_line_has(name: str, mark: str, tmp_path: Path) -> None:
    text = f"question{mark}answer\n" + "".join(f"Is it {n}?{mark}It is; {n}.\n" for n in range(5)).replace("; ", " ")
    (tmp_path / name).write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    assert {s.answer.strip() for s in pool(tmp_path / name, 20)} <= {f"It is {n}." for n in range(5)}


def test_whole_characters_may_be_written_in_halves(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_text("".join(f'{{"question": "{n}", "answer": "\\ud83c\\udf75"}}\n' for n in range(5)))
    assert {s.answer.strip() for s in pool(tmp_path / "r.jsonl", 9)} == {"🍵"}


def test_the_extra_input_of_an_instruction_is_asked_too(tmp_path: Path) -> None:
    lines(tmp_path / "r.jsonl", [{"instruction": "Translate.", "input": "Hund", "output": "dog"}])
    assert pool(tmp_path / "r.jsonl", 1)[0].turns == (("user", "Translate.\n\nHund"), ("assistant", "dog"))


def test_plain_texts_have_no_template_around_them(tmp_path: Path) -> None:
    lines(tmp_path / "r.jsonl", [{"text": f"Text number {n}."} for n in range(3)])
    (tmp_path / "r.txt").write_text("\n\n".join(f"Text number {n}." for n in range(3)))
    words = byte_level_bpe(["Text number"], 300)
    for name in ("r.jsonl", "r.txt"):
        found = pool(tmp_path / name, 3)
        assert {s.answer for s in found} == {f"Text number {n}." for n in range(3)} and found[0].skill == PLAIN
        dialogue = Sample("Q", "A", "dialogue", 0, "x", (("user", "Q"), ("assistant", "A")))
        encoded = encode([found[0], dialogue], words)
        assert words.decode(encoded.tokens_PT[0][: encoded.end_P[0]]) == found[0].answer + "<|im_end|>"
        assert encoded.answer_PT[0].tolist()[1 : encoded.end_P[0]] == [True] * (int(encoded.end_P[0]) - 1)
        assert not encoded.answer_PT[0][0], "nothing tells the first token of a text"
        assert words.decode(encoded.tokens_PT[1][encoded.answer_PT[1]]) == "A<|im_end|>"


def test_marked_and_empty_turns_are_context(tmp_path: Path) -> None:
    no, yes = message("assistant", "No.", weight=0), message("assistant", "Yes.", weight=1)
    kept = [message("user", "a"), no, message("user", "b"), yes]
    lines(
        tmp_path / "r.jsonl",
        [messages(*kept), messages(*kept[:2], *kept[2:3], message("assistant", "So.", train=True))],
    )
    assert {s.context_turns for s in pool(tmp_path / "r.jsonl", 2)} == {(1,)}
    lines(tmp_path / "only.jsonl", [messages(*kept[:2])])
    with pytest.raises(UsageError, match="1 rows: no answer to learn"):
        pool(tmp_path / "only.jsonl", 1)


def test_what_is_left_out_is_counted_and_named(tmp_path: Path) -> None:
    rows = FORMS["messages"][:5]
    bad = messages(message("user", "Warm?"), message("assistant", None, tool_calls=[{"type": "function"}]))
    extra = messages(message("user", "x", name="Ada"), message("assistant", "y"))
    text = "".join(json.dumps(row) + "\n" for row in [*rows, bad, rows[0], extra, messages(message("user", "alone"))])
    (tmp_path / "r.jsonl").write_text(text + '{"broken\n')
    told = Conversations(source=str(tmp_path / "r.jsonl")).told()
    assert told["rows"] == 10 and told["samples"] == 6 and told["keys_ignored"] == ["name"]
    assert told["left_out"] == {"said before": 1, "no answer to learn": 1}
    assert [line.split(":")[0] for line in told["bad_rows"]] == ["line 6", "line 10"]
    assert "message 2 has tool_calls" in told["bad_rows"][0]
    with pytest.raises(UsageError, match=r"at most 1 rows that cannot be used, got .*: line 6: .*; line 10: "):
        pool(tmp_path / "r.jsonl", 1, bad_rows=1)


@pytest.mark.parametrize("named", [{}, {"prompt": "question", "answer": "answer"}])
def test_a_row_without_the_columns_of_the_others_is_left_out(named: dict[str, Any], tmp_path: Path) -> None:
    rows = FORMS["question"][:4]
    source = str(lines(tmp_path / "r.jsonl", [{"foo": 1}, *rows, {}]))
    part = Conversations(source=source, **named)
    assert part.told()["samples"] == 4
    assert [bad.partition(": ")[::2] for bad in part.told()["bad_rows"]] == [
        ("line 1", "has no column to read a dialogue from, only foo"),
        ("line 6", "has no column to read a dialogue from, only nothing"),
    ]
    with pytest.raises(UsageError, match=r"at most 1 rows that cannot be used, got .*: line 1: has no column"):
        Conversations(source=source, bad_rows=1, **named).check()
    lines(tmp_path / "none.jsonl", [{"foo": 1}, {}])
    with pytest.raises(UsageError, match=r"columns? .*foo"):
        Conversations(source=str(tmp_path / "none.jsonl"), **named).check()


@pytest.mark.parametrize("value", ["mine.jsonl", "./mine", "data/mine.csv.gz", "~/x.parquet", "$DATA/a.json"])
def test_a_path_means_that_file(value: str) -> None:
    assert registry.build("contamination", value) == Conversations(source=value)


def test_a_name_stays_a_name() -> None:
    assert registry.build("contamination", "worked_answers") == WorkedAnswers()
    with pytest.raises(UsageError, match="did you mean 'conversations'"):
        registry.build("contamination", "conversation")


GOOD = message("user", "a"), message("assistant", "b")
# What is in the file (bytes, text, or rows), its name, and what the line says.
WRONG: list[tuple[str, Any, str]] = [
    ("empty.jsonl", b"", "is empty"),
    ("blank.jsonl", b" \n\n \n", "is empty"),
    ("empty.json", b"", "is empty"),
    ("empty.csv", b"", "is empty"),
    ("empty.txt", b"", "is empty"),
    ("empty.parquet", b"", "is no Parquet file"),
    ("binary.jsonl", bytes(range(256)) * 8, "is binary, no text"),
    ("utf16.jsonl", '{"text": "a"}\n'.encode("utf-16"), "is text in UTF-16; save it as UTF-8"),
    ("utf16le.jsonl", '{"text": "a"}\n'.encode("utf-16-le"), "is text in UTF-16"),
    ("utf16.csv", "text\na\n".encode("utf-16"), "is text in UTF-16"),
    ("latin.jsonl", '{"text": "für"}\n'.encode("latin-1"), "is no UTF-8 text"),
    ("text.parquet", b"not parquet at all", "is no Parquet file"),
    ("text.jsonl.gz", b'{"text": "a"}\n', "cannot be read"),
    ("cut.jsonl.gz", gzip.compress(b'{"text": "a"}\n' * 999)[:40], "cannot be read"),
    ("empty.jsonl.gz", gzip.compress(b""), "is empty"),
    ("broken.jsonl", '{"messages": [\n' * 11, "line 1: is no JSON"),
    ("prose.jsonl", "Dear all,\nthis is no JSON.\n" * 11, "line 1: is no JSON"),
    ("broken.json", '[{"text": "a"},', "is no JSON"),
    ("broken2.json", '{"text": ', "is no JSON"),
    ("number.json", "[1, 2, 3]", "row 1: is no object, but a number"),
    ("nothing.json", "[]", "it has no rows"),
    ("two.json", '{"train": [{"text": "a"}], "test": [{"text": "b"}]}', "holds several lists of rows"),
    ("by_column.json", '{"question": ["a", "b"], "answer": ["c", "d"]}', "holds columns, not rows"),
    (
        "by_number.json",
        '{"prompt": {"0": "a", "1": "b"}, "completion": {"0": "c", "1": "d"}}',
        "holds columns, not rows",
    ),
    ("half.jsonl", '{"text": "\\udc80 tea"}\n' * 11, "line 1: has half a character"),
    ("half.json", '[{"text": "\\uD83D tea"}]', "row 1: has half a character"),
    ("lists.jsonl", [[1, 2]], "line 1: is no object, but a list"),
    ("texts.jsonl", ["a", "b"], "line 1: is no object, but a text"),
    ("twice.csv", "text,text\na,b\n", "must begin with the names of its columns, each once"),
    ("ragged.csv", "question,answer\n" + "a\n" * 11, "line 2: has another number of fields than the 2 columns"),
    ("quotes.csv", 'question,answer\n"a"b,c\n', "is no table: line 2"),
    ("headless.csv", "What is it?,It is tea.\nWhy?,Because.\n", "must be the column of messages"),
    ("columns.jsonl", [{"a": "x", "b": "y"}], "there are a, b"),
    ("ids.parquet", [{"id": 1}], "there are id"),
    ("null.jsonl", [messages(message("user", "a"), message("assistant", None))], "message 2 has null as its content"),
    ("number.jsonl", [messages(message("user", 3), GOOD[1])], "message 1 has a number as its content"),
    ("image.jsonl", [messages(message("user", [{"type": "image_url"}]), GOOD[1])], "a part of type 'image_url'"),
    ("calls.jsonl", [messages(GOOD[0], message("assistant", "", tool_calls=[{}]))], "message 2 has tool_calls"),
    ("tool.jsonl", [messages(GOOD[0], message("tool", "3"), GOOD[1])], "message 2 is of the role 'tool'"),
    ("role.jsonl", [messages(message("bob", "a"), GOOD[1])], "message 1 is of the role 'bob'"),
    ("roleless.jsonl", [{"messages": [{"content": "a"}]}], "message 1 is of the role None"),
    ("weight.jsonl", [messages(GOOD[0], message("assistant", "b", weight=0.5))], "message 2 has the weight 0.5"),
    ("train.jsonl", [messages(GOOD[0], message("assistant", "b", train="no"))], "message 2 has train: 'no'"),
    ("string.jsonl", [{"messages": "hello"}], "'messages' is a text, and a list of messages is wanted"),
    ("object.jsonl", [{"messages": {"role": "user"}}], "'messages' is an object"),
    ("strings.jsonl", [{"messages": ["hello", "hi"]}], "message 1 is a text, and an object is wanted"),
    ("none.jsonl", [{"messages": None}], "'messages' is null"),
    ("unanswered.jsonl", [messages(GOOD[0])] * 3, "3 rows: no answer to learn"),
    ("silent.jsonl", [messages(GOOD[0], message("assistant", " "))], "1 rows: no answer to learn"),
    ("nobody.jsonl", [{"messages": []}], "1 rows: no answer to learn"),
    ("long.jsonl", [messages(message("user", "a" * 5000), GOOD[1])], "1 rows: longer than most_characters"),
    ("completion.jsonl", [{"prompt": "a", "completion": None}], "'completion' is null, and a text is wanted"),
    ("question.jsonl", [{"question": "", "answer": "b"}], "'question' is empty"),
    ("notes.docx", b"PK", "must end with one of"),
]


def written(path: Path, content: Any) -> Path:
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, str):
        path.write_text(content)
    elif path.suffix == ".parquet":
        datasets.Dataset.from_list(content).to_parquet(path)
    else:
        lines(path, content)
    return path


@pytest.mark.parametrize(("name", "content", "said"), WRONG, ids=[name for name, _, _ in WRONG])
def test_what_is_wrong_with_a_file_is_one_line(name: str, content: Any, said: str, tmp_path: Path) -> None:
    part = Conversations(source=str(written(tmp_path / name, content)), bad_rows=0 if "line 1" not in said else 10)
    with pytest.raises(UsageError) as caught:
        part.check()
    line = str(caught.value)
    assert said in line and "\n" not in line
    assert line.startswith("contamination.conversations.")


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = byte_level_bpe(["one two"], 300)
    return fresh_checkpoint(tmp_path_factory.mktemp("models") / "tiny", architecture("10k"), words, 0)


THREE = [messages(message("user", f"a{n}"), message("assistant", "b")) for n in range(3)]
STRICT = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('alternate!') }}"
)
STRICT += "{% endif %}{{ m.content }}<|im_end|>{% endfor %}"


@pytest.mark.parametrize(
    ("contamination", "said"),
    [
        ("{here}/empty.jsonl", "is empty"),
        ("{here}/missing.jsonl", "there is no file or folder"),
        ("{here}/nowhere/", "there is no file or folder"),
        ("three.jsonl", "must be of more distinct samples, best 90 or more"),
        ("{{name: conversations, source: rows.jsonl, prompt: a, answer: z}}", "must be columns among messages"),
        ("{{name: conversations, source: rows.jsonl, prompt: a}}", "both or neither"),
        ("{{name: conversations, source: rows.jsonl, bad_rows: -1}}", "a whole number, 0 or more"),
        ("rows.jsn", "cannot import 'rows.jsn'"),
        ("nulls.jsonl", "message 2 has null"),
        ("system.jsonl", "the chat template refuses the dialogue: alternate!"),
    ],
)
def test_nothing_is_made_of_what_is_wrong(
    contamination: str, said: str, student: Path, here: Path, command: Callable[..., Outcome]
) -> None:
    (here / "empty.jsonl").write_text("")
    (here / "strict.jinja").write_text(STRICT)
    lines(here / "three.jsonl", THREE)
    lines(here / "rows.jsonl", FORMS["messages"])
    lines(here / "nulls.jsonl", [messages(message("user", str(n)), message("assistant", None)) for n in range(40)])
    lines(
        here / "system.jsonl",
        [messages(message("system", "Be."), *GOOD[:1], message("assistant", str(n))) for n in range(200)],
    )
    outcome = command(
        "simulate", "--ladder.students", f"[{{source: '{student}', chat_template: '{here}/strict.jinja'}}]",
        "--ladder.original", f"{{name: worked_answers, source: '{DATA}/gsm8k-train.jsonl'}}",
        "--contaminations", f"[{contamination.format(here=here)}]", "--evaluation.benchmarks",
        f"[{{name: gsm8k, source: '{DATA}/gsm8k-{{split}}.jsonl'}}]", "--doses.dose", "10000",
        "--evaluation.probe_items", "4", "--workers", "0", "--quiet",
    )  # fmt: skip
    assert outcome.status == 2 and outcome.err.count("\n") == 1 and said in outcome.err, outcome.err
    assert not list(here.glob("runs/*"))


@pytest.mark.parametrize("value", [None, 3, "", ["a"]])
def test_a_worked_answer_that_is_no_text_is_named_by_its_row(value: Any, tmp_path: Path) -> None:
    from forgetting.benchmarks.gsm8k import GSM8K

    rows = [{"question": f"What is {n} + 1?", "answer": f"{n + 1}\n#### {n + 1}"} for n in range(4)]
    file = lines(tmp_path / "r.jsonl", [*rows, {"question": "What?", "answer": value}])
    with pytest.raises(UsageError, match=r"r\.jsonl', line 5: 'answer' must be a text, got"):
        WorkedAnswers(source=str(file)).check()
    if value != "":
        with pytest.raises(UsageError, match=r"row 5 of .*r\.jsonl': 'answer' must be a text, got"):
            GSM8K(source=str(file)).items()


def test_what_was_left_out_is_a_line_for_each_source(tmp_path: Path) -> None:
    whole = Conversations(source=str(lines(tmp_path / "whole.jsonl", FORMS["messages"])))
    rows = [*FORMS["messages"], FORMS["messages"][0], messages(message("user", "alone")), {"messages": None}]
    partly = Conversations(source=str(lines(tmp_path / "partly.jsonl", rows)))
    both = Mixture(parts=(whole.settings(), partly.settings()), shares=(0.5, 0.5))
    study: Any = SimpleNamespace(arms=[SimpleNamespace(contamination=part) for part in (whole, partly, both, partly)])
    alone, mixed = left_out(study)
    expected = "30 samples of 33 rows; 1 said before, 1 no answer to learn, 1 of no use (line 33: "
    assert alone.startswith(f"conversations {partly.source!r}: {expected}")
    assert mixed.startswith(f"mixture, conversations 2: {expected}")


@pytest.mark.parametrize("name", ["r.jsonl", "r.jsonl.gz", "r.csv", "r.txt", "r.json"])
def test_rows_and_files_without_bounds_are_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forgetting.record.reading.MOST_LINE", 500)
    monkeypatch.setattr("forgetting.natural.local_rows.MOST_JSON", 500)
    text = json.dumps([{"text": "x" * 1000}]).encode()
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    with pytest.raises(UsageError, match="which is the limit"):
        Conversations(source=str(tmp_path / name)).check()

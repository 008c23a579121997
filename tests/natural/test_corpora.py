"""Rows from every local form, and one line for what cannot be read."""

from __future__ import annotations

import gzip
import http.server
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import datasets
import pytest

from forgetting.errors import UsageError
from forgetting.natural.corpora import in_cache, rows, told_offline

ROWS = [{"text": "a", "number": 1}, {"text": "ä b", "number": 2}]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    (tmp_path / "r.jsonl").write_text(lines)
    (tmp_path / "r-test.json").write_text(lines)
    with gzip.open(tmp_path / "r.jsonl.gz", "wt") as file:
        file.write(lines)
    made = datasets.Dataset.from_list(ROWS)
    made.to_parquet(tmp_path / "r.parquet")
    made.to_csv(tmp_path / "r.csv")
    made.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"test": made}).save_to_disk(tmp_path / "split")
    (tmp_path / "clone").mkdir()
    made.to_parquet(tmp_path / "clone" / "test-00000.parquet")
    return tmp_path


@pytest.mark.parametrize("stream", ["", "stream:"])
@pytest.mark.parametrize(
    "name", ["r.jsonl", "r-{split}.json", "r.jsonl.gz", "r.parquet", "r.csv", "one", "split", "clone"]
)
def test_local_forms(files: Path, name: str, stream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert list(rows(f"{stream}{files / name}", split="test")) == ROWS


def test_the_folder_one_stands_in(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(files / "clone")
    assert list(rows(".", split="test")) == ROWS
    with pytest.raises(UsageError, match=r"^data: '\.' has the splits test, not 'train_sft'; name a file in it$"):
        list(rows("./", split="train_sft", field="data"))


def test_streamed_rows_are_read_as_they_are_asked_for(tmp_path: Path) -> None:
    """The first row is there although the file is broken further on; without streaming nothing is."""
    lines = [json.dumps({"text": "x" * 1000, "number": n}) + "\n" for n in range(20_000)]
    (tmp_path / "r.jsonl").write_text("".join([*lines, "{broken"]))
    streamed = rows(f"stream:{tmp_path / 'r.jsonl'}", split="test")
    assert next(streamed)["number"] == 0 and next(streamed)["number"] == 1
    with pytest.raises(UsageError, match=r"^source: cannot read"):
        rows(str(tmp_path / "r.jsonl"), split="test")


class Hub(http.server.BaseHTTPRequestHandler):
    """What the hub answers for a data set that is gated, private, or not there."""

    def do_GET(self) -> None:
        gated = "/gated" in self.path
        self.send_response(403 if gated else 401)
        self.send_header("X-Error-Code", "GatedRepo" if gated else "RepoNotFound")
        self.send_header("X-Error-Message", "Access to dataset is restricted." if gated else "Repository not found.")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        return


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "offline", "message"),
    [
        ("owner/gated", "", "it is gated; accept its terms at https://huggingface.co/datasets/owner/gated and log in"),
        ("owner/missing", "", "look at its name, log in if it is private (`hf auth login`), or give a local file"),
        ("owner/missing", "1", "HF_HUB_OFFLINE is set: give a local file, or go online once"),
    ],
)
def test_what_the_hub_does_not_give(name: str, offline: str, message: str, tmp_path: Path) -> None:
    """A server on this machine that answers as the hub does; where it is, is read when the libraries are imported."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        code = "from forgetting.natural.corpora import rows\nfrom forgetting.errors import UsageError\n"
        code += f"try: rows({name!r}, split='test', field='aime.source')\nexcept UsageError as error: print(error)"
        where = f"http://127.0.0.1:{server.server_address[1]}"
        keep = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and "proxy" not in k.lower()}
        hub = {
            "HF_ENDPOINT": where,
            "HF_HOME": str(tmp_path),
            "HF_HUB_OFFLINE": offline,
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }
        done = subprocess.run(
            [sys.executable, "-c", code], env={**keep, **hub}, capture_output=True, text=True, timeout=90
        )
        server.shutdown()
    assert done.stdout.startswith(f"aime.source: cannot load data set {name!r}: "), done.stderr
    assert message in done.stdout and done.stdout.count("\n") == 1


def test_the_cache_has_names_as_datasets_writes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))
    for folder in ("HuggingFaceH4___math-500", "openai_humaneval"):
        (tmp_path / folder).mkdir()
    assert in_cache("HuggingFaceH4/MATH-500") and in_cache("openai_humaneval") and not in_cache("openai/gsm8k")


@pytest.mark.parametrize(("value", "offline"), [("1", True), ("on", True), ("0", False), ("", False)])
def test_offline_is_what_the_hubs_library_takes_for_it(
    value: str, offline: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    monkeypatch.delenv("HF_DATASETS_OFFLINE", raising=False)
    assert told_offline() == offline


def test_what_cannot_be_read(files: Path) -> None:
    (files / "bad.jsonl.gz").write_bytes(gzip.compress(b"{"))
    (files / "notes.txt").write_text("x")
    for name, message in [
        ("bad.jsonl.gz", "cannot read"),
        ("notes.txt", "must end with one of .jsonl"),
        ("missing.jsonl", "there is no file or folder"),
        ("split", ".* has the splits test, not 'train'; name a file in it"),
    ]:
        with pytest.raises(UsageError, match=f"^gsm8k.source: {message}") as caught:
            list(rows(str(files / name), split="train" if name == "split" else "test", field="gsm8k.source"))
        assert "\n" not in str(caught.value)


def test_a_broken_line_is_told_when_it_is_reached(tmp_path: Path) -> None:
    (tmp_path / "broken.jsonl").write_text('{"a": 1}\n{"a": \n')
    with gzip.open(tmp_path / "list.jsonl.gz", "wt") as file:
        file.write('{"a": 1}\n[1, 2]\n')
    for source in (f"stream:{tmp_path / 'broken.jsonl'}", str(tmp_path / "list.jsonl.gz")):
        with pytest.raises(UsageError, match="data: cannot read") as error:
            list(rows(source, split="train", field="data"))
        assert len(str(error.value).splitlines()) == 1

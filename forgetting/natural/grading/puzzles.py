"""The process that asks ``reasoning-gym``'s verifiers: dataset, options, seed, index, answer in, scores out.

Some verifiers evaluate the answer's text, so this process confines itself as the one of ``math-verify`` does.
"""

from __future__ import annotations

import importlib
import json
import signal
from functools import lru_cache
from typing import Any

from forgetting.natural.grading.expression_worker import confine, serve

SECONDS = 10  # for one answer
SIZE = 20_000  # indices of a generator


@lru_cache(maxsize=64)
def made(name: str, options: str, seed: int) -> Any:
    """The generator of that name: ``SIZE`` puzzles, each a pure function of options, seed and index."""
    return importlib.import_module("reasoning_gym").create_dataset(name, seed=seed, size=SIZE, **json.loads(options))


def score(name: str, options: str, seed: int, index: int, answer: str) -> float:
    """The verifier's score of an answer, 0 to 1; 0 where it fails or takes too long."""
    generator = made(name, options, seed)
    entry = generator[index]
    signal.alarm(SECONDS)
    try:
        return float(generator.score_answer(answer, entry))
    except Exception:  # noqa: BLE001 (whatever the answer's text makes of a verifier)
        return 0.0
    finally:
        signal.alarm(0)


def _late(*_: object) -> None:
    raise TimeoutError


def main() -> None:
    """Import, confine, serve."""
    importlib.import_module("reasoning_gym")  # before reading is narrowed
    confine()
    signal.signal(signal.SIGALRM, _late)
    serve(score)


if __name__ == "__main__":
    main()

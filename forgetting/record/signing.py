"""Whether a folder was laid out on this machine by this user: a key in the user's state folder signs its spec.

The key never leaves the machine. A folder from elsewhere, or one whose spec was changed, is read like any other, but
nothing that it names is imported, started or connected to unless the user says so.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from forgetting.errors import UsageError
from forgetting.record.places import clean

SIGNATURE = "signed"
KEY_BYTES = 32


def key_file() -> Path:
    """``forgetting/key`` in ``$XDG_STATE_HOME``, else in ``.local/state`` of the user's home."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "forgetting" / "key"


def signature(value: Any) -> str:
    """Stands for a value that was laid out here; empty where no key can be kept, and such folders are not known."""
    key = _key(make=True)
    return _signed(key, value) if key else ""


def is_ours(value: Any, signed: object) -> bool:
    """Whether ``signature`` gave this for the value, on this machine."""
    key = _key(make=False)
    return bool(key) and isinstance(signed, str) and hmac.compare_digest(_signed(key, value).encode(), signed.encode())


def check_trusted(folder: Path, needs: Iterable[str], *, ours: bool, trust: bool) -> None:
    """``UsageError`` for a folder from elsewhere that names things which would be run or reached; it names them."""
    named = list(needs)
    if named and not (ours or trust):
        raise UsageError(
            f"{folder}: was not laid out on this machine by you, and to go on would {'; '.join(named)}. "
            "If you would run what its author wrote, add --trust; report, claims and load need nothing of it"
        )


def _signed(key: bytes, value: Any) -> str:
    return hmac.new(key, json.dumps(value, sort_keys=True, allow_nan=False).encode(), hashlib.sha256).hexdigest()


def _key(*, make: bool) -> bytes:
    """The key, made when it is first needed; nothing where there is none."""
    file = key_file()
    if make:
        clean(file.parent)
    if make and not file.is_file():
        with suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            own = file.with_name(f".{file.name}.{os.getpid()}.tmp")
            number = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(number, "wb") as new:
                new.write(secrets.token_bytes(KEY_BYTES))
            with suppress(FileExistsError):  # another process was first
                os.link(own, file)
            own.unlink()
    try:
        key = file.read_bytes()
    except OSError:
        return b""
    return key if len(key) == KEY_BYTES else b""

"""The pictures of docs/screenshots: reports, TensorBoard and the terminal as a user sees them, by a headless Chromium.

    python validation/screenshots.py                        # of the studies named below, which are committed
    python validation/screenshots.py --only report-500

It needs ``chromium`` on the path (Debian: ``apt-get install chromium``) and takes half a minute. Nothing is fetched
from outside of this machine: pages are files, and TensorBoard is started on a free port.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError

from rich.console import Console

from forgetting import load
from forgetting.report.tensorboard import write_events
from forgetting.report.tensorboard_link import tensorboard_link

ROOT = Path(__file__).parent.parent
STUDY = ROOT / "results" / "section_4_1-6afa3498"
SWEEP = ROOT / "results" / "section_4_2-e1f15cb5"
SMALL = next((ROOT / "results").glob("quick_grid-*"))  # few runs, so that TensorBoard's lists can be read
PLACE = ROOT / "docs" / "screenshots"
TABS = {"timeseries": "timeseries", "hparams": "hparams", "custom-scalars": "custom_scalars"}


def main() -> int:
    """Take them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="the beginning of the names of those to be taken")
    only = parser.parse_args().only
    if (browser := shutil.which("chromium") or shutil.which("google-chrome")) is None:
        print("no chromium and no google-chrome on the path: nothing was taken, nothing checked")
        return 1
    PLACE.mkdir(exist_ok=True)
    pages = {
        "report-1200": (STUDY / "report.html", (1200, 1300)),
        "report-500": (STUDY / "report.html", (500, 1500)),
        "sweep-1200": (SWEEP / "report.html", (1200, 1300)),
    }
    for name, (page, size) in pages.items():
        if name.startswith(only):
            take(browser, page.as_uri(), PLACE / f"{name}.png", size)
    if "terminal-80".startswith(only):
        terminal(browser)
    if any(f"tensorboard-{name}".startswith(only) for name in TABS):
        tensorboard(browser, only)
    return 0


def take(browser: str, address: str, place: Path, size: tuple[int, int], wait_ms: int = 0) -> None:
    """One picture of a page, in 128 colours where ImageMagick is there."""
    with tempfile.TemporaryDirectory() as profile:
        words = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        words += [f"--user-data-dir={profile}", f"--window-size={size[0]},{size[1]}", f"--screenshot={place}"]
        words += [f"--virtual-time-budget={wait_ms}"] if wait_ms else []
        subprocess.run([*words, address], check=True, capture_output=True, timeout=180)
    if (tool := shutil.which("pngquant")) is not None:
        subprocess.run([tool, "--force", "--output", str(place), "128", str(place)], check=False)
    print(place.relative_to(ROOT), f"{place.stat().st_size:,} bytes")


def terminal(browser: str) -> None:
    """What ``forgetting`` prints at the end of a sweep, at 80 columns."""
    console = Console(width=80, record=True, markup=False, emoji=False, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(load(SMALL).summary())
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "terminal.svg"
        console.save_svg(str(page), title="forgetting sweep sweeps/agreement.yaml --search.method grid")
        take(browser, page.as_uri(), PLACE / "terminal-80.png", (1000, 1500))


def tensorboard(browser: str, only: str) -> None:
    """TensorBoard's tabs with the settings of the link that a summary prints."""
    study = load(SMALL)
    with tempfile.TemporaryDirectory() as folder:
        write_events(study, Path(folder))
        with served(Path(folder)) as address:
            for name, tab in TABS.items():
                if f"tensorboard-{name}".startswith(only):
                    link = tensorboard_link(study, address).replace("#timeseries", f"#{tab}")
                    link = link.replace("/?", "/?forceSVG=true&")  # a worker's canvas is not there in virtual time
                    take(browser, link, PLACE / f"tensorboard-{name}.png", (1400, 1000), 25_000)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """TensorBoard over a folder, on a free port of this machine, until it is left."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--port", str(port)]
    words += ["--host", "127.0.0.1", "--load_fast", "false"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        address = f"http://127.0.0.1:{port}"
        for _ in range(60):
            try:
                with urllib.request.urlopen(f"{address}/data/runs", timeout=5) as answer:
                    if b"study" in answer.read():
                        break
            except (URLError, OSError):
                pass
            time.sleep(1)
        yield address
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    sys.exit(main())

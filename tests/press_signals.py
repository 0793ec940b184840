"""Press Ctrl+C, or send SIGTERM or SIGHUP, at random times: python tests/press_signals.py [PRESSES] [SEED]

The times count from the moment that the program answers signals. After a press the process must have
ended within `LIMIT_S` seconds with the signal's exit code, or with 0 if the press came too late. It
must leave no traceback, no unfinished file, and only outputs that can be read. Half of the presses are
followed by a second one. All times are those of an idle machine: they are longer by as much as a small
process takes longer than it computes.
"""

import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

LIMIT_S = 6.0
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
COMMANDS = {
    "upscale a.png out/a.png --scale 7": 3.0,
    "upscale a.png out/a.jpg --scale 5": 3.0,
    "upscale pictures out --scale 6": 5.0,
    "upscale pictures out --scale 6 --device cpu,cpu": 9.0,
    "warp a.png out/a.tif --rotate 3 --scale 4": 7.0,
    "zoom a.png -o out/film --to 10%,10%,50%,50% --seconds 1 --fps 8 --size 320x240": 7.0,
    "zoom a.png -o out/a.gif --to 10%,10%,50%,50% --seconds 1 --fps 8 --size 320x240": 7.0,
    "reconstruct a.png out/a.webp --save-field out/a.safetensors": 7.0,
    "evaluate small pictures --scales 2 --csv out/scores.csv": 5.0,
    "train pictures --run out/run --steps 3000 --set save_minutes=0.01": 10.0,
}
"""Each with about the seconds that it takes."""


def main(n_press: int = 1000, seed: int = 0) -> int:
    """Print every fault, and how the processes ended; returns the number of faults."""
    numbers, faults, ends = random.Random(seed), 0, Counter[str]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _make_pictures(folder)
        for n in range(n_press):
            line, seconds = numbers.choice(list(COMMANDS.items()))
            number = numbers.choice(SIGNALS)
            first = numbers.uniform(0, 1.1 * seconds)
            second = numbers.choice([None, numbers.uniform(0.0, 1.0)])
            (folder / "out").mkdir()
            end, problems = _press(line, folder, number, first, second)
            ends[end] += 1
            for problem in problems:
                faults += 1
                what = f"{number.name} after {first:.3f} s, {second}: {line}"
                print(f"press {n}, {what}: {problem}", flush=True)
            shutil.rmtree(folder / "out")
            if n % 50 == 49:
                print(f"{n + 1} presses, {faults} faults", flush=True)
    print(f"{n_press} presses, {faults} faults; ended with: {dict(sorted(ends.items()))}")
    return faults


def _press(
    line: str, folder: Path, number: signal.Signals, first: float, second: float | None
) -> tuple[str, list[str]]:
    """How the process ended, and what was wrong."""
    # A shell starts what runs in the background with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    slowness, problems = _slowness(), []
    process = subprocess.Popen(
        [sys.executable, "-X", "faulthandler", "-m", "ginr_cli", *line.split()],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
    )  # fmt: skip
    while process.poll() is None and not _has_started(process.pid):
        time.sleep(0.002)
    _wait(process, slowness * first)
    if process.poll() is None:
        process.send_signal(number)
        if second is not None:
            _wait(process, slowness * second)
            if process.poll() is None:
                process.send_signal(number)
    words = _last_words(process, slowness)
    if words is None:
        process.send_signal(signal.SIGABRT)  # prints where its threads are
        _, words = process.communicate()
        problems.append(f"still running after {LIMIT_S} s of an idle machine: {words[-5000:]}")
    elif process.returncode not in (0, 128 + number, -number):
        problems.append(f"exit code {process.returncode}: {words[-300:]}")
    if "Traceback" in words or "Exception ignored" in words:
        problems.append(f"a traceback: {words[-600:]}")
    return str(process.returncode), problems + list(_leftovers(folder / "out"))


def _last_words(process: "subprocess.Popen[str]", slowness: float) -> str | None:
    """What it printed to stderr until its end; None if that does not come in time."""
    waited = 0.0
    while waited < (limit := LIMIT_S * slowness):
        try:
            return process.communicate(timeout=limit - waited)[1]
        except subprocess.TimeoutExpired:
            waited, slowness = limit, _slowness()  # others may have started meanwhile
    return None


def _slowness() -> float:
    """How many times as long as on an idle machine a process takes now, at least 1."""
    start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", "import numpy"], check=True)
    seconds, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    computing = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return max(1.0, seconds / computing)


def _has_started(process: int) -> bool:
    """Whether it is more than Python itself, which answers Ctrl+C with a traceback."""
    status = Path(f"/proc/{process}/status")
    if not status.exists():
        time.sleep(0.5)
        return True
    (caught,) = re.findall(r"SigCgt:\s*([0-9a-f]+)", status.read_text())
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def _wait(process: "subprocess.Popen[str]", seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        time.sleep(0.005)


def _leftovers(folder: Path) -> Iterator[str]:
    from ginr.checkpoints.checkpoint import load_checkpoint
    from ginr.checkpoints.tensors_file import read_tensors
    from ginr.errors import CheckpointError

    for path in sorted(folder.rglob("*")):
        if path.name.startswith(".ginr"):
            yield f"left {path.name}"
        elif path.suffix in (".png", ".jpg", ".tif", ".webp", ".gif"):
            try:
                with Image.open(path) as image:
                    image.load()
            except OSError as error:
                yield f"{path.name}: {error}"
        elif path.suffix == ".safetensors":
            try:
                if path.name == "model.safetensors":
                    load_checkpoint(path).build()
                else:
                    read_tensors(path, "numpy")
            except CheckpointError as error:
                yield str(error)


def _make_pictures(folder: Path) -> None:
    (folder / "pictures").mkdir()
    noise = np.random.default_rng(0)
    for name in ("a", "pictures/a", "pictures/b", "pictures/c"):
        pixels = noise.integers(0, 256, (15, 20, 3), np.uint8)
        Image.fromarray(pixels).resize((160, 120)).save(folder / f"{name}.png")


if __name__ == "__main__":
    sys.exit(bool(main(*(int(argument) for argument in sys.argv[1:]))))

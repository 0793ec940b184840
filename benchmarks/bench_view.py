"""How soon a view of `ginr view` is sharp: python benchmarks/bench_view.py PHOTO

Opens a photo in Chromium (without a GPU, 1280x800 pixels of picture), waits until it is encoded, turns
the wheel step by step to x30 and back, and takes the time from each turn to the last pixel. Needs
`pip install playwright` and Debian's Chromium, and a machine with nothing else to do.
"""

import statistics
import subprocess
import sys

from playwright.sync_api import sync_playwright
from rich.console import Console

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run"]
PANEL = 300  # CSS pixels beside the picture
N_TURN = 45  # there and back


def main(path: str) -> None:
    command = [sys.executable, "-m", "ginr_cli", "view", "--no-browser", path]
    out = Console(highlight=False).print
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server,
        sync_playwright() as playwright,
    ):
        assert server.stdout is not None
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1280 + PANEL, "height": 800})
        page.goto(server.stdout.readline().strip())
        page.wait_for_selector("#canvas[data-state=sharp]")
        page.wait_for_selector("#entries progress[value='1']", state="attached")
        page.mouse.move(640, 400)
        times = []
        for turn in range(2 * N_TURN):
            page.mouse.wheel(0, -60 if turn < N_TURN else 60)
            page.wait_for_timeout(5)  # for the browser to hand it on
            page.wait_for_selector("#canvas[data-state=sharp]")
            time = int(page.get_attribute("#canvas", "data-ms") or 0)
            times.append(time)
            out(page.inner_text("#zoom"), f"{time} ms")
        browser.close()
        server.terminate()
    most = sorted(times)
    out(f"median {statistics.median(times):.0f} ms, longest {', '.join(map(str, most[-5:]))} ms")


if __name__ == "__main__":
    main(sys.argv[1])

"""Shared by the tests of `ginr view`: a server in this process, and a page as a browser sees it."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import uvicorn

from ginr.pictures import ReadRules
from ginr_cli.commands.view import _bound
from ginr_cli.view.entry import Settings
from ginr_cli.view.server import Viewer

PATIENCE_S = 120.0


@contextmanager
def served(
    folder: Path,
    *given: Path,
    checkpoint: str | None = None,
    host: str | None = None,
    token: str | None = None,
) -> Iterator[tuple[str, Viewer]]:
    """Yields the address of a server, and what it serves."""  # fmt: skip
    viewer = Viewer(Settings(ReadRules(), checkpoint), list(given), folder)
    bound = _bound("127.0.0.1", 0)
    config = uvicorn.Config(
        viewer.app(host, token), log_level="warning", lifespan="off", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([bound],))
    thread.start()
    try:
        yield f"http://127.0.0.1:{bound.getsockname()[1]}", viewer
    finally:
        server.should_exit = True
        thread.join()


class Page:
    """A page: its stream of events, and requests in its name."""

    def __init__(self, address: str, session: str = "s" * 32) -> None:
        self.client = httpx.Client(base_url=address, timeout=PATIENCE_S)
        self.session, self.events = session, list[tuple[str, dict[str, Any]]]()
        self._stream = self.client.stream("GET", "/events", params={"session": session})
        self._response = self._stream.__enter__()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        event = ""
        try:
            for line in self._response.iter_lines():
                name, _, value = line.partition(": ")
                if name == "event":
                    event = value
                elif name == "data":
                    self.events.append((event, json.loads(value)))
        except (httpx.HTTPError, httpx.StreamError):  # closed
            pass

    def close(self) -> None:
        stream = self._response.extensions["network_stream"]
        stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)  # the other thread waits for it
        self._thread.join()
        self._stream.__exit__(None, None, None)
        self.client.close()

    def wait(self, event: str, fits: Callable[[dict[str, Any]], bool] = lambda v: True) -> Any:
        """The values of the first event that fits."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            for name, values in list(self.events):
                if name == event and fits(values):
                    return values
            time.sleep(0.02)
        raise AssertionError(f"no {event} that fits: {self.events}")

    def get(self, path: str, **values: Any) -> httpx.Response:
        return self.client.get(path, params={"session": self.session, **values})

    def post(self, path: str, content: bytes = b"", **values: Any) -> httpx.Response:
        return self.client.post(path, params={"session": self.session, **values}, content=content)

    def open(self, name: str, content: bytes) -> int:
        answer = self.post("/open", content, name=name)
        assert answer.status_code == 200, answer.text
        return int(answer.json()["id"])

    def part(self, number: int, box: tuple[int, int, int, int], **values: Any) -> np.ndarray:
        """Pixels (h, w, 4) of a box (left, top, width, height)."""
        answer = self.get("/part", id=number, box=",".join(map(str, box)), **values)
        assert answer.status_code == 200, answer.text
        return np.frombuffer(answer.content, np.uint8).reshape(box[3], box[2], 4)

    def save(self, *numbers: int, **values: Any) -> dict[str, Any]:
        """Save pictures; the last event of the first."""
        order = {"entries": numbers, "size_by": "scale", "size": "2", "format": "png", **values}
        answer = self.post("/save", json.dumps(order).encode())
        assert answer.status_code == 200, answer.text
        (first, *_) = answer.json()["ids"]
        ended = ("done", "failed")
        found: dict[str, Any] = self.wait(
            "saving", lambda v: v["id"] == first and v["state"] in ended
        )
        return found

    def error(self, answer: httpx.Response) -> str:
        """The line of a refusal."""
        assert answer.status_code >= 400
        line: str = answer.json()["error"]
        assert "\n" not in line and "Traceback" not in line and "uploads" not in line
        return line

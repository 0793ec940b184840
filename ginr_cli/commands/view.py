"""`ginr view`: pictures and their fields in a browser, at any depth."""

import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from ginr_cli import console, options
from ginr_cli.load_network import NetworkChoice, check_network
from ginr_cli.options import argument, option
from ginr_cli.signals import cleaned_up_by, end_if_asked

if TYPE_CHECKING:
    import socket

LOOPBACK = "127.0.0.1"


def view(
    paths: Annotated[
        list[Path] | None,
        argument("PICTURE|FIELD", "Pictures and saved fields (.safetensors) to open."),
    ] = None,
    port: Annotated[
        int, option("--port N", "Port of the page; 0 takes a free one.", between=(0, 65535))
    ] = 0,
    host: Annotated[
        str | None,
        option(
            "--host ADDRESS",
            "Address at which other machines can open the page, such as 0.0.0.0 for all addresses of this "
            "one. The page then needs the token in the printed address. Default: this machine only.",
        ),
    ] = None,
    no_browser: Annotated[bool, option("--no-browser", "Only print the address.")] = False,
    checkpoint: options.ChosenCheckpoint = None,
    device: options.Device = "auto",
    strict: options.Strict = False,
    allow_truncated: options.AllowTruncated = False,
    allow_large: options.AllowLarge = False,
) -> None:
    """View pictures in a browser, enlarged as far as you zoom in.

    The page shows bicubic interpolation and ginr side by side, and saves what
    it shows. It runs on this machine; nothing is sent elsewhere.
    """
    import secrets

    from ginr.pictures import ReadRules

    try:
        import uvicorn

        from ginr_cli.view.entry import Entry, Settings
        from ginr_cli.view.server import Viewer
    except ImportError:
        raise console.UsageError('ginr view needs its packages: pip install "ginr[view]"') from None
    if checkpoint is not None:
        check_network(NetworkChoice(checkpoint, device))
    settings = Settings(ReadRules(strict, allow_truncated, allow_large), checkpoint, device)
    given = paths or []
    for number, path in enumerate(given):
        Entry(number, path.name, path, settings)  # raises for what cannot be read
    token = None if host is None else secrets.token_urlsafe(24)
    with _bound(host or LOOPBACK, port) as bound, _temporary() as folder:
        app = Viewer(settings, given, folder).app(host, token)
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, lifespan="off", ws="none", server_header=False
        )  # fmt: skip
        thread = _started(partial(uvicorn.Server(config).run, [bound]))
        address = _address(host, bound.getsockname()[1], token)
        console.result(address)
        console.say("Ctrl+C to stop")
        if not no_browser:
            _open(address)
        while thread.is_alive():
            end_if_asked()
            thread.join(0.1)


def _started(work: Callable[[], None]) -> threading.Thread:
    """A thread that does the work, while the main thread waits for signals."""
    thread = threading.Thread(target=work, name="server", daemon=True)
    thread.start()
    return thread


@contextmanager
def _temporary() -> Iterator[Path]:
    """Yields a folder that is removed at the end, also after a signal."""
    folder = Path(tempfile.mkdtemp(prefix="ginr-view-"))
    with cleaned_up_by(partial(shutil.rmtree, folder, ignore_errors=True)):
        yield folder


def _bound(host: str, port: int) -> "socket.socket":
    """A socket that waits for connections. Raises `UsageError` where it cannot."""
    import socket

    with ExitStack() as closing:
        try:
            family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            bound = closing.enter_context(socket.socket(family, socket.SOCK_STREAM))
            if os.name != "nt":  # there it would let others take the port
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
            bound.listen()
        except OSError as problem:
            raise console.UsageError(
                f"port {port} of {host} cannot be served ({problem.strerror}): try another --port "
                "or --host"
            ) from None
        closing.pop_all()
    return bound


def _address(host: str | None, port: int, token: str | None) -> str:
    """What to open in a browser."""
    import socket

    name = LOOPBACK if host is None else host
    if name in ("0.0.0.0", "::"):
        name = socket.gethostname()
    if ":" in name:
        name = f"[{name}]"
    return f"http://{name}:{port}/" + ("" if token is None else f"?token={token}")


def _open(address: str) -> None:
    import webbrowser

    if not webbrowser.open(address):
        console.say("no browser was found: open the address yourself")

"""The cluster: connecting to it, and which workers its machines have room for."""

import os
import signal
import socket
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ginr_cli.cluster.tasks import Try
from ginr_cli.cluster.worker import Sent, Setup, Worker
from ginr_cli.console import UsageError, say
from ginr_cli.load_network import NetworkChoice

_WORKER_BYTES = 1 << 30
"""Memory of a worker that enlarges usual pictures; 0.7 GiB were measured."""


def the_ray() -> Any:
    """Ray. Raises `UsageError` without it."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
    try:
        import ray
    except ImportError:
        raise UsageError('--cluster needs Ray: pip install "ginr[ray]"') from None
    return ray


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Within the block, this process is a driver of the cluster; `auto` starts one if there is none.

    Raises `UsageError` if no cluster answers.
    """
    ray = the_ray()
    if address.startswith("ray://"):
        raise UsageError(
            f"--cluster {address}: Ray's client streams no results: run ginr in the cluster"
        )
    if ray.is_initialized():  # by whoever calls us from Python
        with _silent():
            yield
        return
    is_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        _connect(ray, address, options)
    finally:
        if is_main:  # Ray has put its own in place
            signal.signal(signal.SIGTERM, handler)
    try:
        with _silent():
            yield
    finally:
        ray.shutdown()


@contextmanager
def _silent() -> Iterator[None]:
    """Within the block, Ray prints nothing to standard output, where results go: it would when machines die."""
    from ray._private import worker

    prints = getattr(worker, "print_to_stdstream", None)
    worker.print_to_stdstream = lambda *arguments, **options: None
    try:
        yield
    finally:
        worker.print_to_stdstream = prints


def _connect(ray: Any, address: str, options: dict[str, Any]) -> None:
    host, _, port = address.rpartition(":")
    try:
        if port.isdecimal():  # Ray would try for minutes
            socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
        ray.init(address=address, **options)
    except (ConnectionError, ValueError, RuntimeError, OSError, OverflowError) as error:
        if address == "auto" and not os.environ.get("RAY_ADDRESS"):
            say("no cluster runs here: starting Ray on this machine")
            ray.init(address="local", include_dashboard=False, **options)
            return
        reason = " ".join(str(error).split())[:200]
        raise UsageError(
            f"--cluster {address}: no cluster answers ({reason}): start one by ray start --head"
        ) from error


@dataclass(frozen=True)
class Machine:
    """A node of the cluster."""

    id: str
    name: str
    n_cpu: int
    n_gpu: int
    n_bytes: int

    def room(self, device: str) -> int:
        """Workers that fit: one for each GPU, or each core if there is none or `device` is cpu."""
        if self.n_gpu and device != "cpu":
            return self.n_gpu
        if device == "cuda":
            return 0
        return max(1, min(self.n_cpu, self.n_bytes // _WORKER_BYTES)) if self.n_cpu else 0


def machines() -> list[Machine]:
    """The nodes that are alive."""
    found = []
    for node in the_ray().nodes():
        if node["Alive"]:
            has = node["Resources"]
            counts = (int(has.get(name, 0)) for name in ("CPU", "GPU", "memory"))
            found.append(Machine(node["NodeID"], node["NodeManagerAddress"], *counts))
    return found


def hired(setup: Setup, machine: Machine | None) -> Any:
    """A worker on a machine, or wherever there is room, also on machines that are to come."""
    ray = the_ray()
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    device = setup.choice.device
    is_gpu = device != "cpu" and (machine.n_gpu > 0 if machine else device == "cuda")
    actor = ray.remote(concurrency_groups={"cancelling": 1})(Worker).options(
        num_cpus=1,
        num_gpus=int(is_gpu),
        memory=min(_WORKER_BYTES, machine.n_bytes) if machine else _WORKER_BYTES,
        max_concurrency=1,
        max_restarts=0,
        max_task_retries=0,
        scheduling_strategy=NodeAffinitySchedulingStrategy(machine.id, soft=False)
        if machine
        else "DEFAULT",
    )
    return actor.remote(setup, 1)


@dataclass
class Hired:
    """A worker as the driver sees it."""

    actor: Any
    node: str | None
    hello: Any
    """The promise of its first words."""
    is_ready: bool = False
    given: deque[tuple[deque[Try], Any]] = field(default_factory=deque)
    """Groups less what has been reported, each with the stream of its reports; it does the first."""

    def kill(self) -> None:
        with suppress(Exception):  # it is dead already
            the_ray().kill(self.actor)


def files_of(choice: NetworkChoice) -> dict[str, Sent]:
    """The checkpoints and banks of a choice that workers may lack: those that do not come with ginr."""
    from ginr.checkpoints.checkpoint import find_checkpoint, shipped_checkpoints

    sent = dict[str, Sent]()
    for name in {choice.checkpoint, choice.restorer} - {None, *shipped_checkpoints()}:
        assert name is not None
        path = find_checkpoint(name).absolute()
        sent[name] = Sent(path.parts[-2:], path.read_bytes())
    if choice.bank is not None and os.path.isfile(choice.bank):
        path = Path(choice.bank).absolute()
        sent[choice.bank] = Sent(path.parts[-2:], path.read_bytes())
    return sent

"""`ginr upscale --cluster`: the results of one machine, whatever happens to workers.

Run: pytest tests/cli/test_cluster.py
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from ginr.part_files import remove_left_over
from ginr_cli.cluster.machines import _connect
from ginr_cli.console import UsageError
from ginr_cli.reports.pictures import Outcome

from .support import Run, files, picture


@pytest.fixture
def album() -> Path:
    """Five pictures, one of them with broken pixels."""
    for name, side in zip(("a", "b", "c", "sub/d", "e"), (300, 8, 12, 20, 9), strict=True):
        picture(f"in/{name}.png", side, side)
    broken = bytearray(Path("in/c.png").read_bytes())
    broken[broken.index(b"IDAT") + 6] ^= 255
    Path("in/c.png").write_bytes(broken)
    return Path("in")


def told(records: list[dict[str, Any]], source: str, output: str) -> list[str]:
    """Records in any order, without what differs from run to run and from place to place."""
    lines = sorted(json.dumps(record | {"seconds": None}) for record in records)
    return [line.replace(f"{source}/", "in/").replace(f"{output}/", "out/") for line in lines]


def test_a_cluster_gives_the_results_of_one_machine(
    cluster: Any, run: Run, tiny_checkpoint: Path, album: Path
) -> None:
    arguments = ("upscale", "in", "--scale", "2", "-c", tiny_checkpoint, "--json", "-o")
    one = run(*arguments, "one").records
    code, last = run.code, run.err.splitlines()[-1]
    many = run(*arguments, "many", "--cluster", "auto").records
    assert run.code == code == 1 and run.err.splitlines()[-1] == last == "4 done, 1 failed"
    assert told(many, "in", "many") == told(one, "in", "one")
    assert files("one") == files("many") == ["a.png", "b.png", "e.png", "sub/d.png"]
    assert all(Path("one", n).read_bytes() == Path("many", n).read_bytes() for n in files("one"))
    assert "2 workers on 2 machines" in run.err
    Path("many/b.png").unlink()
    run(*arguments, "many", "--cluster", "auto")
    assert run.err.splitlines()[-1] == "1 done, 3 skipped, 1 failed"


def test_a_store_is_read_and_written_by_the_workers(
    cluster: Any, run: Run, tiny_checkpoint: Path, album: Path, bucket: str
) -> None:
    import s3fs

    fs = s3fs.S3FileSystem()
    fs.put("in", f"{bucket}/in", recursive=True)
    here = run(
        "upscale", "in", "-o", "one", "--scale", "2", "-c", tiny_checkpoint, "--json"
    ).records
    arguments = ("upscale", f"{bucket}/in/", "-o", f"{bucket}/out/", "--scale", "2")
    more = ("-c", tiny_checkpoint, "--json", "--cluster", "auto")
    there = run(*arguments, *more).records
    assert run.code == 1 and run.err.splitlines()[-1] == "4 done, 1 failed"
    assert told(there, f"{bucket}/in", f"{bucket}/out") == told(here, "in", "one")
    for name in files("one"):
        assert fs.cat(f"{bucket}/out/{name}") == Path("one", name).read_bytes()
    run(*arguments, *more)
    assert run.err.splitlines()[-1] == "4 skipped, 1 failed"


@dataclass(frozen=True)
class Deed:
    """A task of a test: sleeps, or kills its worker as often as there are lives in a file."""

    name: str
    seconds: float = 0.0
    lives: str = ""
    cost: int = 1

    def do(self, work_of: Any, *, again: bool = False) -> Outcome:
        import os
        import time
        from pathlib import Path

        time.sleep(self.seconds)
        if self.lives and (left := Path(self.lives).read_text()):
            Path(self.lives).write_text(left[1:])
            os.kill(os.getpid(), 9)
        return Outcome(self.name, "done")


@pytest.fixture
def share(cluster: Any) -> Iterator[Callable[..., dict[str, Outcome]]]:
    """Does deeds on the cluster; returns what became of each."""
    import ray

    from ginr_cli.cluster.pool import Pool
    from ginr_cli.cluster.tasks import grouped
    from ginr_cli.cluster.worker import Setup
    from ginr_cli.files import Writing
    from ginr_cli.load_network import NetworkChoice

    module = sys.modules[__name__]
    ray.cloudpickle.register_pickle_by_value(module)

    def share_out(deeds: list[Deed], most: int = 2) -> dict[str, Outcome]:
        done = dict[str, Outcome]()
        setup = Setup(NetworkChoice("small", "auto"), Writing(None, False), "/", {})

        def report(task: Any, outcome: Outcome) -> None:
            assert task.name not in done
            done[task.name] = outcome

        pool = Pool(setup, most)
        pool.run(grouped(deeds, 4), report)
        pool.kill()
        return done

    yield share_out
    ray.cloudpickle.unregister_pickle_by_value(module)


def test_a_picture_that_kills_its_worker_twice_is_left(
    share: Callable[..., dict[str, Outcome]], capfd: pytest.CaptureFixture[str]
) -> None:
    Path("nine").write_text("x" * 9)
    Path("one").write_text("x")
    here = os.getcwd()
    deeds = [Deed(str(number)) for number in range(12)]
    # what a worker has just finished must reach the pool before the worker dies
    deeds[2] = Deed("killer", seconds=0.5, lives=f"{here}/nine")
    deeds[5] = Deed("unlucky", seconds=0.5, lives=f"{here}/one")
    done = share(deeds)
    assert len(done) == 12 and len(Path("nine").read_text()) == 7
    failed = {name: outcome.error for name, outcome in done.items() if outcome.status != "done"}
    assert failed == {"killer": "killer: its worker died during this picture, 2 times: left"}
    assert "a worker died at unlucky: another one takes over" in capfd.readouterr().err


def test_a_removed_machine_costs_no_picture(
    cluster: Any, share: Callable[..., dict[str, Outcome]]
) -> None:
    node = cluster.add_node(num_cpus=1, object_store_memory=100 << 20)
    remover = threading.Timer(3, lambda: cluster.remove_node(node, allow_graceful=False))
    remover.start()
    done = share([Deed(str(number), seconds=0.3, cost=4) for number in range(24)], most=3)
    remover.join()
    assert len(done) == 24 and {outcome.status for outcome in done.values()} == {"done"}


def ginr(*arguments: str | Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "ginr_cli", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def workers() -> list[psutil.Process]:
    """The processes on the cluster that enlarge something."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if "ray::Worker" in " ".join(process.info["cmdline"] or ()):
            found.append(process)
    return found


def wait_for(condition: Callable[[], Any], seconds: float = 90) -> Any:
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def test_ctrl_c_leaves_no_half_file_and_a_second_run_goes_on(
    cluster: Any, run: Run, tiny_checkpoint: Path
) -> None:
    for number in range(6):
        picture(f"in/{number}.png", 400, 400)
    arguments = (
        "upscale",
        "in",
        "-o",
        "out",
        "-c",
        tiny_checkpoint,
        "--scale",
        "4",
        "--tile",
        "32",
    )
    process = ginr(*arguments, "--cluster", cluster.address, "--json")
    wait_for(lambda: list(Path("out").glob("*.png")))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "interrupted" in err
    assert not remove_left_over(Path("out"))
    finished = [json.loads(line) for line in out.splitlines()]
    assert files("out") == sorted(Path(row["output"]).name for row in finished)
    assert len(finished) < 6 and all(row["status"] == "done" for row in finished)
    # Again, with a worker killed in the middle.
    killer = threading.Thread(target=lambda: wait_for(workers)[0].kill())
    killer.start()
    run(*arguments, "--cluster", "auto")
    killer.join()
    assert run.code == 0 and len(files("out")) == 6
    assert run.err.splitlines()[-1] == f"{6 - len(finished)} done, {len(finished)} skipped"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--cluster", "ray://localhost:1"), "Ray's client streams no results"),
        (("--cluster", "auto", "--device", "cuda:1"), "with --cluster use auto, cpu or cuda"),
        (("--cluster", "auto", "--device", "cuda"), "no machine of the cluster has a GPU"),
        (("--cluster", "auto", "--watch"), "--cluster goes neither with --watch nor with -"),
    ],
)
def test_what_a_cluster_cannot_do_is_refused(
    cluster: Any, run: Run, arguments: tuple[str, ...], words: str
) -> None:
    picture("in/a.png")
    run("upscale", "in", "-o", "out", *arguments)
    assert run.code == 2 and words in run.err


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.0.0.1:99999"])
def test_an_address_where_nothing_answers_is_refused_at_once(address: str) -> None:
    with pytest.raises(UsageError, match=f"--cluster {address}: no cluster answers"):
        _connect(None, address, {})

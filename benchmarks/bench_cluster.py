"""What --cluster costs and gains: python benchmarks/bench_cluster.py [--pictures 10000] [--side 16]

Enlarges tiny pictures x2 by one process and by a Ray cluster of this machine, with one and with two
workers of one thread each, and prints for each the seconds and CPU seconds of a picture, between the
first and the last result, and the most memory of the command. Needs two idle cores.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from rich.console import Console

from ginr.pictures import Picture, write_picture

ROOT = Path(__file__).parents[1]
say = Console(soft_wrap=True, markup=False, highlight=False).print


def cpu_seconds(processes: list[psutil.Process]) -> float:
    """CPU time of processes and of all below them."""
    total = 0.0
    for process in processes:
        for one in [process, *process.children(recursive=True)]:
            try:
                times = one.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system
    return total


def measured(album: Path, output: Path, more: list[str], others: list[psutil.Process]) -> Any:
    """Seconds and CPU seconds of a picture, and the peak memory of the command in MiB."""
    command = [sys.executable, "-m", "ginr_cli", "upscale", album, "-o", output, "--scale", "2"]
    command += ["-c", "small", "--json", "--quiet", *more]
    with subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True) as process:
        seen = psutil.Process(process.pid)
        marks, peak = list[tuple[float, float, float]](), 0
        assert process.stdout is not None
        for number, line in enumerate(process.stdout):
            assert json.loads(line)["status"] == "done", line
            if number % 50 == 0:
                own = seen.cpu_times()
                used = cpu_seconds([seen, *others])
                marks.append((time.perf_counter(), used, own.user + own.system))
                peak = max(peak, seen.memory_info().rss)
    n = 50 * (len(marks) - 2)  # the first ones hold the start of the workers
    seconds, cpu, own_cpu = (
        (last - first) / n for first, last in zip(marks[1], marks[-1], strict=True)
    )
    return {
        "seconds": seconds,
        "cpu_seconds": cpu,
        "command_cpu_seconds": own_cpu,
        "driver_mib": peak / 2**20,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--side", type=int, default=16)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2])
    given = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "models")])
    from ray.cluster_utils import Cluster

    with tempfile.TemporaryDirectory() as place:
        album, random = Path(place, "in"), np.random.default_rng(0)
        album.mkdir()
        for number in range(given.pictures):
            samples = random.integers(0, 255, (given.side, given.side, 3), np.uint8)
            write_picture(Picture(samples), album / f"{number:05}.png")
        one = measured(album, Path(place, "one"), [], [])
        say(f"one process {json.dumps(one)}")
        for n in given.workers:
            head = {"num_cpus": n, "include_dashboard": False}
            cluster = Cluster(initialize_head=True, head_node_args=head)
            ours = psutil.Process().children(recursive=True)
            roots = [process for process in ours if process.ppid() == os.getpid()]
            many = measured(album, Path(place, f"by{n}"), ["--cluster", cluster.address], roots)
            cluster.shutdown()
            overhead = many["cpu_seconds"] - one["cpu_seconds"]
            say(
                f"{n} workers {json.dumps(many)}, overhead {1e3 * overhead:.2f} ms of CPU a picture, "
                f"{one['seconds'] / many['seconds']:.2f} times one process"
            )


if __name__ == "__main__":
    main()

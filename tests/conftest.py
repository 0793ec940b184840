"""Fixtures for every test: fixed seeds, a tiny network and its checkpoint, the sample images."""

import os
import random
import signal
import warnings
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ginr.architecture.config import GinrConfig
from ginr.checkpoints.checkpoint import save_checkpoint
from ginr.measuring.perceptual_weights import save_weights, weight_shapes
from ginr.network.model import Ginr


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason="needs a CUDA device, none was found")
    for item in items:
        if "cuda" in item.keywords:
            item.add_marker(skip)


# As in a terminal, whatever starts the tests: nohup and background jobs of a shell ignore some of them.
signal.signal(signal.SIGINT, signal.default_int_handler)
for name in ("SIGHUP", "SIGTERM"):
    if hasattr(signal, name):  # Windows has no SIGHUP
        signal.signal(getattr(signal, name), signal.SIG_DFL)


@pytest.fixture(autouse=True)
def _seed() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def tiny_config() -> GinrConfig:
    """16 tokens of 2x2 pixels per window and 64 LPs, four after every token; every block scans."""
    return GinrConfig(
        patch=2,
        window=8,
        n_lp=64,
        group=4,
        width=16,
        n_blocks=2,
        scan_every=1,
        head_dim=8,
        n_state=4,
        hidden=16,
        n_frequency=4,
    )


@pytest.fixture(scope="session")
def make_model() -> Callable[[GinrConfig], Ginr]:
    """Random networks whose small initial layers are enlarged: their fields are far from zero."""

    def make(config: GinrConfig) -> Ginr:
        model = Ginr(config).eval()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name == "lps":
                    parameter.normal_(std=1 if config.bank == "window" else config.width**-0.5)
                elif name.startswith(("decoder.head", "decoder.footprint.2")):
                    parameter.normal_(std=0.25)
                elif name.endswith(("out.weight", "content.value.weight")):
                    parameter.mul_(5)
        return model

    return make


@pytest.fixture
def tiny_model(make_model: Callable[[GinrConfig], Ginr], tiny_config: GinrConfig) -> Ginr:
    return make_model(tiny_config)


@pytest.fixture
def tiny_checkpoint(tiny_model: Ginr, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    facts = {"steps": 12, "minutes": 0.5, "held_out_gain_over_bicubic_db": {"x2": 0.1}}
    save_checkpoint(path, tiny_model.config, tiny_model.state_dict(), facts)
    return path


@pytest.fixture(scope="session")
def sample_images() -> Path:
    return Path(__file__).parent.parent / "sample_images"


@pytest.fixture(scope="session")
def perceptual_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of random weights of LPIPS and DISTS whose maps keep their size from layer to layer."""
    random = torch.Generator().manual_seed(0)
    weights = {}
    for name, shape in weight_shapes().items():
        values = torch.randn(shape, generator=random)
        if name.endswith("weight"):
            weights[name] = values * (2 / values[0].numel()) ** 0.5
        else:
            weights[name] = 0.1 * values if name.endswith("bias") else values.abs()
    path: Path = tmp_path_factory.mktemp("perceptual") / "weights.safetensors"
    save_weights(path, weights)
    return path


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of a server that speaks S3; where it is and its keys are in the environment."""
    pytest.importorskip("s3fs", reason="needs the extra stores")
    server = pytest.importorskip("moto.server", reason="needs moto, of the extra dev")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield f"http://{host}:{port}"
    running.stop()


_buckets = count()


@pytest.fixture
def bucket(s3_server: str) -> str:
    """The URL of an empty bucket."""
    import s3fs

    name = f"bucket-{next(_buckets)}"
    s3fs.S3FileSystem().mkdir(name)
    return f"s3://{name}"


@pytest.fixture(scope="session")
def cluster(s3_server: str) -> Iterator[Any]:
    """One Ray cluster of two nodes with a core each, which this process is a driver of; its workers know the S3 server."""
    pytest.importorskip("ray", reason="needs the extra ray")
    root = Path(__file__).parents[1]
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setenv("PYTHONPATH", os.pathsep.join([str(root), str(root / "models")]))
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        import ray
        from ray.cluster_utils import Cluster

        # A driver prints to standard output, up to minutes later, that a node is gone: into other tests.
        patch.setattr("ray._private.worker.print_to_stdstream", lambda *values, **options: None)
        head = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 200 << 20}
        nodes = Cluster(initialize_head=True, head_node_args=head)
        nodes.add_node(num_cpus=1, object_store_memory=100 << 20)
        ray.init(address=nodes.address, log_to_driver=False, logging_level="ERROR")
        yield nodes
        ray.shutdown()
        nodes.shutdown()

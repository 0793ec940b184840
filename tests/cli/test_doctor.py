"""`ginr doctor`: working and broken parts.

Run: pytest tests/cli/test_doctor.py
"""

import importlib.metadata
import sys
from types import SimpleNamespace

import pytest
import torch

from .support import Core, Run


def test_the_doctor_names_what_is_broken(
    run: Run, core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(name: str) -> tuple[str, str]:
        raise OSError("libcuda is odd")

    monkeypatch.setattr(sys.modules["ginr.device"], "choose_device", broken)
    (record,) = run("doctor", "--json").records
    assert run.code == 0
    assert record["devices"]["broken"].startswith("OSError: libcuda is odd")
    assert record["versions"]["ginr"] == importlib.metadata.version("ginr")
    assert record["scan_backends"]["reference"] == "available"
    assert "PNG" in record["formats"]
    assert "scan backends\n  reference      available\n" in run("doctor").out


def test_extras_and_how_to_install_them(
    run: Run, core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(package: str) -> str:
        if package in ("av", "s3fs"):
            raise importlib.metadata.PackageNotFoundError(package)
        return "1.0"

    stated = ["numpy>=1", "av>=18; extra == 'video'", "ray[data]>=2; extra == 'ray'"]
    stated += ["fsspec; extra == 'stores'", "s3fs; extra == 'stores'", "x; extra == 'dev'"]
    monkeypatch.setattr("ginr_cli.commands.doctor.requires", lambda name: stated)
    monkeypatch.setattr("ginr_cli.commands.doctor.version", version)
    extras = run("doctor", "--json").records[0]["extras"]
    assert extras == {
        "ray": "available",
        "stores": 'not installed: s3fs: pip install "ginr[stores]"',
        "video": 'not installed: av: pip install "ginr[video]"',
    }


def test_a_gpu_and_missing_packages(run: Run, core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("doctor", "--json").records[0]["to_install"] == {} or torch.cuda.is_available()
    facts = SimpleNamespace(name="NVIDIA H100", total_memory=80 * 2**30, major=9, minor=0)
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: facts)
    for place in ("kernels.available", "network.scan"):
        monkeypatch.setattr(
            f"ginr.{place}.missing", lambda name: "" if name == "mamba_ssm" else "why"
        )
    (record,) = run("doctor", "--json").records
    assert record["devices"]["cuda:0"] == "NVIDIA H100, 80.0 GiB, compute capability 9.0"
    assert record["scan_backends"]["mamba_ssm"] == "available"
    assert record["scan_backends"]["causal_conv1d"] == "why"
    line = 'pip install --no-build-isolation "causal-conv1d>=1.5"'
    assert record["to_install"] == {"causal_conv1d": line}
    assert f"to install\n  causal_conv1d  {line}\n" in run("doctor").out


def test_a_gpu_with_an_old_driver(run: Run, core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("The NVIDIA driver on your system is too old")

    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "init", broken)
    devices = run("doctor", "--json").records[0]["devices"]
    assert "driver on your system is too old" in devices["cuda"]
    assert devices["auto"].startswith("cpu")


def test_a_gpu_and_a_torch_that_cannot_use_it(
    run: Run, core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    assert "built without CUDA" in run("doctor", "--json").records[0]["to_install"]["torch"]


def test_a_format_without_its_plug_in(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import ginr.pictures

    without = ginr.pictures.WRITABLE - {".jxl", ".avif"}
    monkeypatch.setattr(ginr.pictures, "WRITABLE", without)
    formats = run("doctor", "--json").records[0]["formats"]
    assert formats["JXL"] == '.jxl needs a plug-in: pip install "ginr[formats]"'
    assert formats["AVIF"] == ".avif is not supported by this Pillow: update Pillow"

"""`ginr doctor`: parts that work and parts that are broken.

Run: pytest tests/cli/test_doctor.py
"""

import importlib.metadata
import sys

import pytest

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

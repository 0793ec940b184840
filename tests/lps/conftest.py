"""Networks for tests of what is said of LPs: with a vector for each LP of a window."""

import dataclasses

import pytest

from ginr.architecture.config import GinrConfig


@pytest.fixture
def tiny_config(tiny_config: GinrConfig) -> GinrConfig:
    return dataclasses.replace(tiny_config, bank="window")

"""LPs without content, as in the preset `plain`, learn more than bicubic: pytest tests/training/test_plain_lps.py"""

from dataclasses import replace

from ginr.architecture.config import PRESETS, GinrConfig
from ginr.training.config import TrainConfig
from ginr.training.loop import train

from .support import Log

OLD = {"order": "hilbert", "bank": "window", "values": "normalised"}
NEW = {name: getattr(PRESETS["plain"], name) for name in OLD}


def test_plain_lps_learn_more_than_in_the_old_form(
    tiny_config: GinrConfig, settings: TrainConfig
) -> None:
    plain = replace(tiny_config, content="none")
    longer = replace(settings, steps=300, batch=4, rate=4e-3, ema=0.95, scales=(2.0,))
    gains = []
    for form in (NEW, OLD):
        log = Log()
        train(replace(plain, **form), replace(longer, run=longer.run / form["values"]), log)
        gains.append(log.scores[-1].gain["x2"])  # dB over bicubic, on other stripes
    assert gains[0] > 1.5
    assert gains[1] < gains[0] - 0.5

"""Parse the values of options; raises `UsageError`."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from ginr.errors import GinrError
from ginr.geometry.size import Target, parse_scale, parse_size
from ginr_cli.console import UsageError


@contextmanager
def usage(option: str = "") -> Iterator[None]:
    """Turn a `GinrError` raised in the block into a `UsageError` about the option."""
    try:
        yield
    except GinrError as error:
        raise UsageError(f"{option}: {error}" if option else str(error)) from None


def only_one(options: Mapping[str, object]) -> None:
    """Raises `UsageError` if more than one of the options is given (not None)."""
    names = [name for name, value in options.items() if value is not None]
    if len(names) > 1:
        raise UsageError(f"{' and '.join(names)} cannot be combined: give only one")


def parse_target(scale: str | None, size: str | None, default: str = "1") -> Target:
    """The output's size by --scale or --size; the scale `default` without either."""
    only_one({"--scale": scale, "--size": size})
    with usage():
        return (
            parse_size(size)
            if size is not None
            else parse_scale(default if scale is None else scale)
        )


def parse_pairs(texts: list[str]) -> tuple[tuple[str, str], ...]:
    """Keys and values of `--encoder-option KEY=VALUE`."""
    pairs = [text.partition("=") for text in texts]
    for text, (key, equals, value) in zip(texts, pairs, strict=True):
        if not (key and equals and value):
            raise UsageError(f"--encoder-option {text!r}: write KEY=VALUE, as in preset=slow")
    return tuple((key, value) for key, _, value in pairs)


def parse_numbers(option: str, text: str, count: int, example: str) -> list[float]:
    """`count` finite numbers, separated by commas or spaces."""
    try:
        numbers = [float(part) for part in text.replace(",", " ").split()]
    except ValueError:
        numbers = []
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise UsageError(f"{option} {text!r}: expected {count} numbers, as in {example}")
    return numbers

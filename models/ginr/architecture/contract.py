"""What rendering needs from a network; `ginr.network` provides it in torch, `ginr.engine` in NumPy."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from numpy.typing import NDArray

from ginr.architecture.config import GinrConfig
from ginr.array_types import Planes
from ginr.device import Device, Precision


class EncodedField(Protocol):
    """A picture, or a tile of one, as a field that renders any box of it at any size."""

    @property
    def codes(self) -> Any:
        """The decoder's codes of all of it, computed once."""

    def begin_render(
        self, size: tuple[int, int], box: tuple[int, int, int, int], out: NDArray[Any] | None = None
    ) -> Callable[[], NDArray[Any]]:
        """Start to render a box (top, left, bottom, right) of the picture at `size` (H', W').

        Call the returned function to wait for the result: planes (B, 3, h', w') within limits but not
        clipped to [0, 1], or `out` (h', w', C), integer samples of the only picture in the batch. Its
        first three channels are then set, clipped and rounded half up.
        """


F_co = TypeVar("F_co", bound=EncodedField, covariant=True)


class Encoder(Protocol[F_co]):
    """A network that encodes pictures."""

    @property
    def config(self) -> GinrConfig: ...

    @property
    def device(self) -> Device: ...

    @property
    def n_view(self) -> int:
        """How often it encodes each picture: the features per pixel grow by this factor."""

    def encode_planes(
        self,
        layers: Sequence[Planes],
        *,
        origin: tuple[int, int],
        size: tuple[int, int],
        precision: Precision = "auto",
    ) -> F_co:
        """The field of planes (1 or 3, H, W) in [0, 1], each a picture of its own in the batch.

        One plane stands for three. A tile starts at `origin` (LR pixels) of a picture of `size`
        (H, W), and its field uses that picture's coordinates.
        """

"""Which networks enlarge a picture, and how far they restore it: what its damage asks for."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ginr.array_types import Floats
    from ginr.assessing.assessment import Assessment
    from ginr.pictures.samples import Picture

PLAIN, RESTORER, CRISP = "small", "photo", "crisp"
"""The checkpoints for undamaged and for damaged pictures, and the one that is mixed into the second
where detail is invented."""
MOST_DETAIL = 0.6
"""The detail of a badly damaged photograph, if nobody says how much."""


@dataclass(frozen=True)
class Restoration:
    """What was found in a picture and what is done about it."""

    assessment: "Assessment"
    strength: float
    """How damaged the picture is taken to be, from 0 to 1."""
    detail: float = 0.0
    """The share of `CRISP`, from 0 to 1."""

    @property
    def is_needed(self) -> bool:
        """Whether the network for undamaged pictures will not do."""
        return self.strength > 0 or self.detail > 0

    @property
    def traits(self) -> "Floats":
        """What networks that restore are told of the damage, (K,)."""
        return self.assessment.traits_for(self.strength)

    def record(self) -> dict[str, Any]:
        """For `--json`."""
        seen = self.assessment
        return {
            "strength": round(self.strength, 3),
            "needed": round(seen.strength, 3),
            "noise": round(seen.noise, 2),
            "compression": round(seen.compression, 2),
            "jpeg_quality": seen.jpeg_quality,
            "blur": round(seen.blur, 2),
            "is_drawn": seen.is_drawn,
            "detail": self.detail,
        }

    def __str__(self) -> str:
        done = (
            f"restored with strength {self.strength:.2f}" if self.strength else "enlarged as it is"
        )
        return f"{self.assessment}: {done}" + (f", detail {self.detail:g}" if self.detail else "")


def restoration_of(
    picture: "Picture", strength: float | None, detail: float | None, *, is_moving: bool = False
) -> Restoration:
    """What to do about a picture, at a strength and with a detail from 0 to 1; None is by its damage.

    No detail is invented for drawings, where it would be wrong. Frames that move get it on request only:
    invented texture does not move with the scene.
    """
    from ginr.assessing.assessment import assess

    seen = assess(picture)
    strength = seen.strength if strength is None else strength
    if seen.is_drawn:
        detail = 0.0
    elif detail is None:
        detail = 0.0 if is_moving else round(min(MOST_DETAIL, strength), 1)
    return Restoration(seen, strength, detail)

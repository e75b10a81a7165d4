"""What a coding needs of a stream's sections."""

import pytest

from icm_jax.bitstream.container import Section, SectionType
from icm_jax.bitstream.errors import DamagedSection
from icm_jax.coding.latents import required

Z, Y, GUARD = (
    Section(kind, kind.name.encode()) for kind in (SectionType.Z, SectionType.Y, SectionType.GUARD)
)


def test_payloads_in_the_order_asked_for() -> None:
    assert required([Y, GUARD, Z], SectionType.Z, SectionType.Y) == [b"Z", b"Y"]


@pytest.mark.parametrize(("sections", "count"), [([Z], "not at all"), ([Z, Y, Y], "2 times, not once")])
def test_missing_and_repeated_sections_are_refused(sections: list[Section], count: str) -> None:
    with pytest.raises(DamagedSection, match=f"section Y: the stream has it {count}"):
        required(sections, SectionType.Z, SectionType.Y)

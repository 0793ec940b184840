"""What a picture says of how it was made: pytest tests/pictures/test_provenance.py"""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from ginr.pictures import WRITABLE, Picture, probe_picture, write_picture
from ginr.pictures.provenance import provenance, with_provenance

FACTS = {"source": 'a"<&>\n\udcff.png', "checkpoint": "small 1234", "box": ""}
SPELLED = {**FACTS, "source": 'a"<&>\\n\\udcff.png'}
CAMERA = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="uuid:1" xmlns:dc="http://purl.org/dc/elements/1.1/" dc:format="x"/>'
    b"</rdf:RDF></x:xmpmeta>"
)


@pytest.mark.parametrize("packet", [None, CAMERA])
def test_facts_are_read_as_written_and_replaced(packet: bytes | None) -> None:
    once = with_provenance(packet, {"source": "first", "old": "gone"})
    twice = with_provenance(once, FACTS)
    assert provenance(packet) == {} and provenance(twice) == SPELLED
    assert twice is not None and twice == with_provenance(packet, FACTS)
    ElementTree.fromstring(twice.replace(b"\xef\xbb\xbf", b""))  # is XML


def test_the_rest_of_a_packet_keeps_its_bytes_and_its_subject() -> None:
    packet = with_provenance(CAMERA, FACTS)
    assert packet is not None
    start, end = CAMERA.split(b"</rdf:RDF>")
    assert packet.startswith(start) and packet.endswith(end)
    assert packet.count(b'rdf:about="uuid:1"') == 2


def test_an_unusual_packet_stays_as_it_is() -> None:
    assert with_provenance(b"<other/>", FACTS) == b"<other/>"
    assert provenance(b'ginr:source="a"') == {}


@pytest.mark.parametrize("suffix", sorted(WRITABLE - {".bmp", ".jp2"}))
def test_files_keep_it(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"a{suffix}"
    samples = np.zeros((8, 8, 3), np.uint8)
    write_picture(Picture(samples, xmp=with_provenance(None, FACTS)), file)
    assert provenance(probe_picture(file).xmp) == SPELLED

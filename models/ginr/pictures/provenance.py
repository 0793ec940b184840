"""How a picture was made, as a description of its own in the XMP packet: `ginr:checkpoint="small"`.

The rest of a packet keeps its bytes. Formats without XMP, such as BMP, say nothing.
"""

import html
import re
from collections.abc import Mapping

from ginr.errors import visible

_NAMESPACE = b"urn:ginr:result#"
_OWN = re.compile(rb"<rdf:Description [^<>]*xmlns:ginr=\"" + _NAMESPACE + rb"\"[^<>]*/>\n?")
_FACT = re.compile(rb" ginr:([a-z_]{1,40})=\"([^\"<>]{0,2000})\"")
_ABOUT = re.compile(rb"<rdf:Description\b[^<>]*?(\srdf:about=(?:\"[^\"<>]*\"|'[^'<>]*'))")
_END = b"</rdf:RDF>"
_EMPTY = (
    b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n'
    b'</rdf:RDF>\n</x:xmpmeta>\n<?xpacket end="w"?>'
)


def with_provenance(xmp: bytes | None, facts: Mapping[str, str]) -> bytes | None:
    """The packet with these facts in place of earlier ones.

    A packet of an unusual form, which cannot be extended as text, is returned as it is. Names of
    facts are lower-case letters and underscores.
    """
    packet = _OWN.sub(b"", xmp or _EMPTY)
    end = packet.rfind(_END)
    if end < 0:
        return xmp
    about = _ABOUT.search(packet)  # all descriptions of a packet must be about the same thing
    words = b"".join(
        b' ginr:%s="%s"' % (name.encode(), html.escape(visible(text)).encode())
        for name, text in facts.items()
    )
    description = b'<rdf:Description%s xmlns:ginr="%s"%s/>\n' % (
        about[1] if about else b' rdf:about=""',
        _NAMESPACE,
        words,
    )
    return packet[:end] + description + packet[end:]


def provenance(xmp: bytes | None) -> dict[str, str]:
    """The facts that `with_provenance` has put into a packet; empty if there are none."""
    own = _OWN.search(xmp) if xmp is not None else None
    if own is None:
        return {}
    return {
        name.decode(): html.unescape(text.decode("utf-8", "replace"))
        for name, text in _FACT.findall(own[0])
    }

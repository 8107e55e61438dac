"""XML that nobody vouches for: no document type, so no entities to expand or fetch."""

from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from bitwright.reports.text import printable


def parse_xml(data: bytes, where: str) -> Element:
    """Return the root of a report.

    Reports of the tools carry no DOCTYPE. One that does is refused before anything in it is read, which leaves no way
    for entities that grow without end and for those that name other files.

    Args:
        data: The file's bytes.
        where: Its path, for the error.

    Raises:
        ValueError: If it is not whole XML, or has a document type.

    >>> parse_xml(b"<profile><LUT>3</LUT></profile>", "csynth.xml").findtext("LUT")
    '3'
    """
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True

    refused: list[str] = []

    def doctype(name: str, *_: object) -> None:
        refused.append(name)
        raise expat.ExpatError("DOCTYPE")

    parser.StartDoctypeDeclHandler = doctype
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(data, True)  # noqa: FBT003 - expat takes no keyword
    except (expat.ExpatError, LookupError, ValueError) as error:  # the last two for an encoding that it names
        if refused:
            name = printable(refused[0])
            raise ValueError(
                f"{where}: report must have no DOCTYPE, not {name!r}; no tool writes one, so do not trust the file"
            ) from error
        raise ValueError(
            f"{where}: report must be whole XML, not {len(data)} bytes that end or break off ({error}); "
            "run the tool again"
        ) from error
    return builder.close()


def text_of(root: Element, path: str, where: str) -> str:
    """Return an element's text.

    Raises:
        ValueError: If it is not there.

    >>> text_of(parse_xml(b"<profile><LUT>3</LUT></profile>", "csynth.xml"), "LUT", "csynth.xml")
    '3'
    """
    found = root.findtext(path)
    if found is None:
        raise ValueError(f"{where}: report must hold {path}, not leave it out; the file is of another kind")
    return found.strip()

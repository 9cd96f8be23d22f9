"""An XML document whose untouched parts stay as they are, to the byte.

A tree that is parsed and written again loses quoting, blanks inside tags and the form of empty elements, so
edits are made in the text: the parser only tells where each element stands. libexpat reports byte offsets,
libxml2 does not; it also costs a twentieth of lxml's 6 MB.
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

from sidecar.domain.errors import DomainError

MAX_SIZE = 4 * 1024 * 1024
"""Bytes; virt-launcher's gRPC client takes no longer message."""
MAX_DEPTH = 256
"""libxml2's own limit, and so libvirt's."""
MAX_ELEMENTS = 65_536
"""Real domains have some hundred; one with 128 NUMA nodes has 17 thousand."""

_KEPT_DEPTH = 4
"""Deepest level that an edit needs: domain, devices, graphics, audio."""

_NAMESPACE_SEPARATOR = "\x1f"
"""No XML document can hold it."""

_ENCODINGS = frozenset({"utf-8", "ascii", "cp1252", "iso8859-1", "iso8859-2", "iso8859-15"})
"""Python's names of the encodings that are taken: libvirt reads C strings, so never UTF-16."""
_DECLARED_ENCODING = re.compile(rb"""<\?xml[^>]*?\sencoding\s*=\s*["']([A-Za-z0-9._-]+)["']""")
_BYTE_ORDER_MARK = codecs.BOM_UTF8

_ATTRIBUTE = re.compile(rb"""\s+([^\s=/>"']+)\s*=\s*("[^"]*"|'[^']*')""")
_START_TAG = re.compile(rb"""<[^\s/>]+((?:\s+[^\s=/>"']+\s*=\s*(?:"[^"]*"|'[^']*'))*)\s*(/?)>""")
_INDENT = re.compile(rb"\r?\n[ \t]*\Z")
_MAX_INDENT = 256


@dataclass(slots=True, eq=False)
class Element:
    """An element of the text, down to the fourth level. Offsets are bytes of the UTF-8 text."""

    name: str
    """`name` without a namespace, `{uri}name` with one."""
    prefix: str
    """As written; empty: none."""
    attributes: dict[str, str]
    start: int
    tag_end: int
    """Just behind the start tag."""
    empty: bool
    """Whether it is written as one `<name/>`."""
    content_end: int = 0
    end: int = 0
    children: list["Element"] = field(default_factory=list)

    def named(self, name: str) -> Iterator["Element"]:
        """The children of that name, in their order."""
        return (child for child in self.children if child.name == name)


@dataclass(frozen=True, slots=True)
class New:
    """An element to be put into a document. `name` is written as it is, with its prefix."""

    name: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: tuple["New", ...] = ()


class Document:
    """The text of one XML document, its elements, and the edits that `to_bytes` applies.

    Elements show the text as it was received: an edit does not change them. One place is edited once.
    Raises DomainError for everything that is too big, too deep, not XML, or has a document type.
    """

    def __init__(self, data: bytes) -> None:
        self._received = data
        self._text, self._encoding = _in_utf8(data)
        reader = _Reader(self._text)
        self.root = reader.root
        self.prefixes = reader.root_prefixes
        """Namespace URI to prefix (empty: the default), as declared on the root."""
        self._edits: list[tuple[int, int, bytes]] = []
        self._appended: dict[Element, list[New]] = {}
        self._quote = self._usual_quote()
        self._indent_unit = self._usual_indent()

    def has_content(self, element: Element) -> bool:
        """Whether there is anything inside of an element but blanks."""
        return bool(self._text[element.tag_end : element.content_end].strip()) and not element.empty

    def set_attribute(self, element: Element, name: str, value: str) -> None:
        """Gives `element` that attribute, with the quotes that the tag uses."""
        if element.attributes.get(name) == value:
            return
        at = element.start + len(self._tag_name(element)) + 1
        quote = self._quote
        for match in self._attributes(element):
            quote = match[2][:1].decode()
            if match[1] == name.encode():
                self._edits.append((*match.span(2), _quoted(value, quote)))
                return
            at = match.end()
        self._edits.append((at, at, b" " + name.encode() + b"=" + _quoted(value, quote)))

    def remove_attribute(self, element: Element, name: str) -> None:
        """Takes the attribute away if it is there."""
        for match in self._attributes(element):
            if match[1] == name.encode():
                self._edits.append((*match.span(), b""))

    def remove(self, element: Element) -> None:
        """Takes the element away, with its line if it has one of its own."""
        indent = self._indent(element)
        start = element.start - (len(indent) if indent is not None else 0)
        self._edits.append((start, element.end, b""))

    def replace(self, element: Element, new: New) -> None:
        """Puts `new` where `element` stands."""
        self._edits.append((element.start, element.end, self._write(new, self._indent(element))))

    def insert_after(self, element: Element, new: New) -> None:
        """Puts `new` behind `element`, on a line of its own if `element` is on one."""
        indent = self._indent(element)
        self._edits.append((element.end, element.end, (indent or b"") + self._write(new, indent)))

    def append(self, element: Element, new: New) -> None:
        """Puts `new` behind the last child of `element`."""
        self._appended.setdefault(element, []).append(new)

    def to_bytes(self) -> bytes:
        """The document with all edits, in the encoding in which it came."""
        if not self._edits and not self._appended:
            return self._received
        edits = [*self._edits, *(edit for item in self._appended.items() for edit in self._appending(*item))]
        edits.sort(key=lambda edit: edit[:2])
        parts = []
        done = 0
        for start, end, replacement in edits:
            parts += [self._text[done:start], replacement]
            done = end
        parts.append(self._text[done:])
        text = b"".join(parts)
        if self._encoding == "utf-8":
            return text
        # what the encoding lacks can only come from a character reference, and becomes one again
        return text.decode().encode(self._encoding, "xmlcharrefreplace")

    def _appending(self, parent: Element, news: list[New]) -> Iterator[tuple[int, int, bytes]]:
        outer = self._indent(parent)
        if parent.children:
            last = parent.children[-1]
            at, indent = last.end, self._indent(last)
        else:
            content = self._text[parent.tag_end : parent.content_end]
            at = parent.tag_end + len(content.rstrip(b" \t\r\n"))
            indent = None if outer is None else outer + self._indent_unit
        written = b"".join((indent or b"") + self._write(new, indent) for new in news)
        if parent.empty:
            close = (outer or b"") + b"</" + self._tag_name(parent) + b">"
            slash = self._text.rindex(b"/", parent.start, parent.end)
            yield slash, parent.end, b">" + written + close
        elif parent.children or b"\n" in self._text[at : parent.content_end]:
            yield at, at, written
        else:
            yield at, at, written + (outer or b"")

    def _write(self, new: New, indent: bytes | None) -> bytes:
        """`indent`: line break and blanks before the element; None: everything on one line."""
        tag = b"<" + new.name.encode()
        for name, value in new.attributes.items():
            tag += b" " + name.encode() + b"=" + _quoted(value, self._quote)
        if not new.children:
            return tag + b"/>"
        inner = None if indent is None else indent + self._indent_unit
        content = b"".join((inner or b"") + self._write(child, inner) for child in new.children)
        return tag + b">" + content + (indent or b"") + b"</" + new.name.encode() + b">"

    def _indent(self, element: Element) -> bytes | None:
        """The line break and the blanks before the element; None: something else is on its line."""
        match = _INDENT.search(self._text[max(0, element.start - _MAX_INDENT) : element.start])
        return match[0] if match else None

    def _tag_name(self, element: Element) -> bytes:
        name = element.name.rpartition("}")[2]
        return (f"{element.prefix}:{name}" if element.prefix else name).encode()

    def _attributes(self, element: Element) -> Iterator[re.Match[bytes]]:
        return _ATTRIBUTE.finditer(
            self._text, element.start + 1 + len(self._tag_name(element)), element.tag_end
        )

    def _usual_quote(self) -> str:
        for element in (self.root, *self.root.children):
            for match in self._attributes(element):
                return match[2][:1].decode()
        return "'"

    def _usual_indent(self) -> bytes:
        for child in self.root.children:
            indent = self._indent(child)
            if indent is not None and indent.strip(b"\r\n"):
                return indent.strip(b"\r\n")
        return b"  "


class _Reader:
    """Finds the elements of a UTF-8 text."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._open: list[Element] = []
        self._depth = 0
        self._count = 0
        self.root_prefixes: dict[str, str] = {}
        parser = expat.ParserCreate("utf-8", _NAMESPACE_SEPARATOR)
        parser.namespace_prefixes = True
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartNamespaceDeclHandler = self._namespace
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        self._parser = parser
        try:
            parser.Parse(text, True)
        except expat.ExpatError as error:
            raise DomainError(
                f"the domain XML is not well formed: {expat.ErrorString(error.code)}, "
                f"line {error.lineno}, column {error.offset + 1}"
            ) from error
        finally:
            del self._parser  # its handlers are methods of this object

    def _doctype(self, *_: object) -> None:
        raise DomainError("the domain XML has a document type declaration (DOCTYPE), which is never taken")

    def _namespace(self, prefix: str | None, uri: str | None) -> None:
        if self._depth == 0 and uri is not None:
            self.root_prefixes[uri] = prefix or ""

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        self._count += 1
        if self._depth > MAX_DEPTH:
            raise DomainError(f"the domain XML is nested more than {MAX_DEPTH} levels deep")
        if self._count > MAX_ELEMENTS:
            raise DomainError(f"the domain XML has more than {MAX_ELEMENTS} elements")
        if self._depth > _KEPT_DEPTH:
            return
        uri, local, prefix = _expanded(name)
        start = self._parser.CurrentByteIndex
        tag = _START_TAG.match(self._text, start)
        if tag is None:
            raise DomainError(f"the domain XML has a tag that cannot be read, at byte {start}")
        element = Element(
            name=f"{{{uri}}}{local}" if uri else local,
            prefix=prefix,
            attributes=attributes,
            start=start,
            tag_end=tag.end(),
            empty=bool(tag[2]),
        )
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)

    def _end(self, _name: str) -> None:
        self._depth -= 1
        if self._depth >= _KEPT_DEPTH:
            return
        element = self._open.pop()
        if element.empty:
            element.content_end = element.end = element.tag_end
        else:
            element.content_end = self._parser.CurrentByteIndex
            element.end = self._text.index(b">", element.content_end) + 1


def _expanded(name: str) -> tuple[str, str, str]:
    """URI, local name and prefix of what libexpat calls an element."""
    parts = name.split(_NAMESPACE_SEPARATOR)
    if len(parts) == 1:
        return "", name, ""
    return parts[0], parts[1], parts[2] if len(parts) > 2 else ""


# not by xml.sax.saxutils, which loads Python's HTTP and mail packages: 3 MB
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\n": "&#10;", "\r": "&#13;", "\t": "&#9;"})
_QUOTES = {'"': "&quot;", "'": "&apos;"}


def _quoted(value: str, quote: str) -> bytes:
    return f"{quote}{value.translate(_ESCAPES).replace(quote, _QUOTES[quote])}{quote}".encode()


def _in_utf8(data: bytes) -> tuple[bytes, str]:
    """The text in UTF-8, and the name of the encoding in which it came."""
    if len(data) > MAX_SIZE:
        raise DomainError(
            f"the domain XML is {len(data)} bytes long, more than the {MAX_SIZE} that are taken"
        )
    if not data.strip():
        raise DomainError("the domain XML is empty")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in data[:4]:
        raise DomainError(
            "the domain XML is in UTF-16 or UTF-32, which libvirt cannot read: write it in UTF-8"
        )
    if b"\0" in data:
        raise DomainError("the domain XML holds a NUL byte")
    encoding = "utf-8"
    marked = data.startswith(_BYTE_ORDER_MARK)
    if declared := _DECLARED_ENCODING.match(data, len(_BYTE_ORDER_MARK) if marked else 0):
        encoding = _codec(declared[1].decode())
        if marked and encoding != "utf-8":
            raise DomainError(f"the domain XML is marked as UTF-8 and says that it is {declared[1].decode()}")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise DomainError(f"the domain XML is not {encoding}: byte {error.start} is wrong") from error
    return (data if encoding == "utf-8" else text.encode()), encoding


def _codec(name: str) -> str:
    try:
        encoding = codecs.lookup(name).name
    except LookupError:
        encoding = ""
    if encoding not in _ENCODINGS:
        raise DomainError(f"the domain XML says that it is in {name[:40]}: write it in UTF-8")
    return encoding

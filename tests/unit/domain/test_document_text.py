"""Edits leave the rest of a document as it is."""

import codecs

import pytest

from sidecar.domain.document import Document, New


def appended(text: str, new: New | None = None) -> str:
    """With a child `<b/>` more in the first child of the root."""
    document = Document(text.encode())
    document.append(document.root.children[0], new or New("b"))
    return document.to_bytes().decode()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("<r><a/></r>", "<r><a><b/></a></r>"),
        ("<r><a x='1' /></r>", "<r><a x='1' ><b/></a></r>"),
        ("<r><a></a></r>", "<r><a><b/></a></r>"),
        ("<r><a><c/></a></r>", "<r><a><c/><b/></a></r>"),
        ("<r><a>/></a></r>", "<r><a>/><b/></a></r>"),
        ("<r><a x='/'></a></r>", "<r><a x='/'><b/></a></r>"),
        ("<r><a x='>'></a></r>", "<r><a x='>'><b/></a></r>"),
        ("<r><a\n x = '1'\n></a\n></r>", "<r><a\n x = '1'\n><b/></a\n></r>"),
        ("<r><a><a/></a></r>", "<r><a><a/><b/></a></r>"),
        ("<r><a><c>&lt;/a></c></a></r>", "<r><a><c>&lt;/a></c><b/></a></r>"),
        ("<r><a><c/><!-- </a> --></a></r>", "<r><a><c/><b/><!-- </a> --></a></r>"),
        ("<r><a><![CDATA[</a>]]></a></r>", "<r><a><![CDATA[</a>]]><b/></a></r>"),
        ("<r><a><?p </a>?></a></r>", "<r><a><?p </a>?><b/></a></r>"),
        ("<r>\n  <a/>\n</r>", "<r>\n  <a>\n    <b/>\n  </a>\n</r>"),
        ("<r>\n\t<a></a>\n</r>", "<r>\n\t<a>\n\t\t<b/>\n\t</a>\n</r>"),
        ("<r>\r\n <a>\r\n  <c/>\r\n </a>\r\n</r>", "<r>\r\n <a>\r\n  <c/>\r\n  <b/>\r\n </a>\r\n</r>"),
        ("<r>\n  <a>\n  </a>\n</r>", "<r>\n  <a>\n    <b/>\n  </a>\n</r>"),
        (
            "<?xml version='1.0'?>\n<!-- c -->\n<r><a/></r>\n",
            "<?xml version='1.0'?>\n<!-- c -->\n<r><a><b/></a></r>\n",
        ),
        ("\ufeff<r><a/>ü</r>", "\ufeff<r><a><b/></a>ü</r>"),
    ],
)
def test_a_child_joins_in_the_style_of_the_text(before: str, after: str) -> None:
    assert appended(before) == after


def test_a_document_without_edits_is_what_was_received() -> None:
    received = b"<?xml version='1.0' encoding='iso-8859-1'?><r  a = '1'>\xe4</r>"
    assert Document(received).to_bytes() is received


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("<r><a/></r>", "<r><a x='1'/></r>"),
        ('<r><a y="2"/></r>', '<r><a y="2" x="1"/></r>'),
        ("<r><a x='0' y='2'/></r>", "<r><a x='1' y='2'/></r>"),
        ("<r q=\"\"><a x = '0'/></r>", "<r q=\"\"><a x = '1'/></r>"),
        ("<r><a x='1'/></r>", "<r><a x='1'/></r>"),
        ("<r><a x='&#49;'/></r>", "<r><a x='&#49;'/></r>"),
        ("<r><a p:x='0' xmlns:p='urn:p'/></r>", "<r><a p:x='0' xmlns:p='urn:p' x='1'/></r>"),
        ("<r><a y='x=\"0\"'/></r>", "<r><a y='x=\"0\"' x='1'/></r>"),
        ("<r><a y='2'></a></r>", "<r><a y='2' x='1'></a></r>"),
        ("<r><p:a xmlns:p='urn:p'/></r>", "<r><p:a xmlns:p='urn:p' x='1'/></r>"),
    ],
)
def test_an_attribute_is_set_in_its_place(before: str, after: str) -> None:
    document = Document(before.encode())
    document.set_attribute(document.root.children[0], "x", "1")
    assert document.to_bytes().decode() == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("<r><c/><a/><c/></r>", "<r><c/><c/></r>"),
        ("<r>\n  <c/>\n  <a>\n  </a>\n  <c/>\n</r>", "<r>\n  <c/>\n  <c/>\n</r>"),
        ("<r>\r\n  <a/>\r\n</r>", "<r>\r\n</r>"),
        ("<r>text <a/> text</r>", "<r>text  text</r>"),
    ],
)
def test_an_element_goes_with_its_line(before: str, after: str) -> None:
    document = Document(before.encode())
    for element in document.root.named("a"):
        document.remove(element)
    assert document.to_bytes().decode() == after


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("utf-8", "äß€"),
        ("iso-8859-1", "äß"),
        ("ISO-8859-15", "äß€"),
        ("windows-1252", "äß€"),
        ("us-ascii", "a"),
    ],
)
def test_the_encoding_stays(encoding: str, text: str) -> None:
    before = f"<?xml version='1.0' encoding='{encoding}'?><r t='{text}'><a/>{text}</r>"
    document = Document(before.encode(encoding))
    document.append(document.root.children[0], New("b"))
    assert document.to_bytes() == before.replace("<a/>", "<a><b/></a>").encode(encoding)


def test_what_the_encoding_lacks_is_written_as_a_reference() -> None:
    document = Document(b"<?xml version='1.0' encoding='us-ascii'?><r><a x='&#8364;'/></r>")
    copied = document.root.children[0].attributes["x"]
    document.append(document.root, New("b", {"y": copied}))
    assert document.to_bytes().endswith(b"<r><a x='&#8364;'/><b y='&#8364;'/></r>")


def test_a_byte_order_mark_stays() -> None:
    document = Document(codecs.BOM_UTF8 + b"<r/>")
    document.append(document.root, New("b"))
    assert document.to_bytes() == codecs.BOM_UTF8 + b"<r><b/></r>"


@pytest.mark.parametrize("quote", ["'", '"'])
def test_values_are_escaped_for_their_quotes(quote: str) -> None:
    value = "a'b\"c<d>e&f\n\r\tg"
    document = Document(f"<r q={quote}{quote}><a/></r>".encode())
    document.append(document.root, New("b", {"x": value}))
    assert Document(document.to_bytes()).root.children[1].attributes["x"] == value


def test_nested_new_elements_are_indented() -> None:
    new = New("b", {"x": "1"}, (New("c", {}, (New("d"),)),))
    after = appended("<r>\n <a>\n  <e/>\n </a>\n</r>", new)
    assert after == "<r>\n <a>\n  <e/>\n  <b x='1'>\n   <c>\n    <d/>\n   </c>\n  </b>\n </a>\n</r>"

"""Whatever comes in place of a domain, the answer is a clear error, soon."""

import codecs

import pytest
from support.domain_samples import options

from sidecar.domain.document import MAX_DEPTH, MAX_ELEMENTS, MAX_SIZE
from sidecar.domain.errors import DomainError
from sidecar.domain.rewrite import rewrite

LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
DEVICES = "<devices><graphics type='vnc'/></devices>"


@pytest.mark.parametrize(
    ("xml", "reason"),
    [
        pytest.param(b"", "is empty", id="nothing"),
        pytest.param(b" \n\t", "is empty", id="blanks"),
        pytest.param(b"hello", "not well formed", id="no XML"),
        pytest.param(b'{"kind": "VirtualMachineInstance"}', "not well formed", id="JSON"),
        pytest.param(b"<domain>", "not well formed", id="cut off"),
        pytest.param(b"<domain></domain", "not well formed", id="cut off in a tag"),
        pytest.param(b"<domain/><domain/>", "not well formed", id="two roots"),
        pytest.param(b"<domain a='1' a='2'/>", "not well formed", id="an attribute twice"),
        pytest.param(b"<domain><q:arg/></domain>", "not well formed", id="undeclared prefix"),
        pytest.param(b"<domain>&nope;</domain>", "not well formed", id="undeclared entity"),
        pytest.param(b"<domain>&#0;</domain>", "not well formed", id="reference to NUL"),
        pytest.param(b"<domain>\x01</domain>", "not well formed", id="control character"),
        pytest.param(b"<domain>\0</domain>", "NUL byte", id="NUL"),
        pytest.param(b"\0\0\0\0", "UTF-16 or UTF-32", id="NULs only"),
        pytest.param(b"<!DOCTYPE domain><domain/>", "DOCTYPE", id="document type"),
        pytest.param(
            b'<!DOCTYPE domain SYSTEM "http://127.0.0.1:9/d.dtd"><domain/>',
            "DOCTYPE",
            id="external document type",
        ),
        pytest.param(
            b'<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]><domain>&x;</domain>',
            "DOCTYPE",
            id="file entity",
        ),
        pytest.param(
            f'<!DOCTYPE d [<!ENTITY l0 "ha">{LAUGHS}]><domain>&l9;</domain>'.encode(),
            "DOCTYPE",
            id="billion laughs",
        ),
        pytest.param(
            f'<!DOCTYPE d [<!ENTITY x "{"x" * 100_000}">]><domain>{"&x;" * 10_000}</domain>'.encode(),
            "DOCTYPE",
            id="quadratic blow-up",
        ),
        pytest.param(
            b'<!DOCTYPE d [<!ENTITY % x SYSTEM "file:///dev/zero">%x;]><domain/>',
            "DOCTYPE",
            id="parameter entity",
        ),
        pytest.param(b"<devices/>", "root is <devices>", id="not a domain"),
        pytest.param(
            b"<domainsnapshot><domain/></domainsnapshot>", "root is <domainsnapshot>", id="a snapshot"
        ),
        pytest.param(b"<domain xmlns='urn:x'/>", "root is <{urn:x}domain>", id="another namespace"),
        pytest.param(b"<domain xmlns='a&#10;b'/>", "root is <{a b}domain>", id="a namespace of two lines"),
        pytest.param(b"<x:domain xmlns:x='urn:x'/>", "root is <{urn:x}domain>", id="another prefix"),
        pytest.param("<domain>ä</domain>".encode("latin-1"), "not utf-8: byte 8", id="Latin-1 as UTF-8"),
        pytest.param(b"<domain>\xed\xa0\x80</domain>", "not utf-8", id="surrogate"),
        pytest.param(b"<domain>\xc0\xbc</domain>", "not utf-8", id="overlong"),
        pytest.param("<domain/>".encode("utf-16"), "UTF-16 or UTF-32", id="UTF-16"),
        pytest.param("<domain/>".encode("utf-16-be"), "UTF-16 or UTF-32", id="UTF-16 without mark"),
        pytest.param("<domain/>".encode("utf-32"), "UTF-16 or UTF-32", id="UTF-32"),
        pytest.param(b"<?xml version='1.0' encoding='utf-16'?><domain/>", "is in utf-16", id="says UTF-16"),
        pytest.param(b"<?xml version='1.0' encoding='utf-7'?><domain/>", "is in utf-7", id="says UTF-7"),
        pytest.param(b"<?xml version='1.0' encoding='zip'?><domain/>", "is in zip", id="says zip"),
        pytest.param(
            b"<?xml version='1.0' encoding='nonsense'?><domain/>", "is in nonsense", id="says nonsense"
        ),
        pytest.param(
            b"<?xml version='1.0' encoding='ascii'?><domain>\xc3\xa4</domain>",
            "not ascii",
            id="ASCII that is not",
        ),
        pytest.param(
            codecs.BOM_UTF8 + b"<?xml version='1.0' encoding='latin1'?><domain/>",
            "marked as UTF-8",
            id="two encodings",
        ),
        pytest.param(b"<domain>" + b" " * 10_000_000 + b"</domain>", "more than the 4194304", id="10 MB"),
        pytest.param(
            b"<domain a='" + b"x" * MAX_SIZE + b"'/>", "more than the 4194304", id="a huge attribute"
        ),
        pytest.param(b"<domain>" + b"<a>" * 500_000, f"more than {MAX_DEPTH} levels", id="depth"),
        pytest.param(
            b"<domain>" + b"<a/>" * 500_000 + b"</domain>", f"more than {MAX_ELEMENTS}", id="elements"
        ),
    ],
)
def test_the_reason_is_told(xml: bytes, reason: str) -> None:
    with pytest.raises(DomainError, match=r"^the (domain )?XML") as caught:
        rewrite(xml, options(screen=True))
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250


def test_what_stands_in_the_domain_is_not_told() -> None:
    with pytest.raises(DomainError) as caught:
        rewrite(b"<domain><password>secret</password>&secret;</domain>", options())
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "xml",
    [
        pytest.param(
            b"<domain>"
            + b"<a>" * (MAX_DEPTH - 1)
            + b"</a>" * (MAX_DEPTH - 1)
            + DEVICES.encode()
            + b"</domain>",
            id="the deepest",
        ),
        pytest.param(
            b"<domain><devices>" + b"<graphics type='vnc'/>" * (MAX_ELEMENTS - 2) + b"</devices></domain>",
            id="the most graphics",
        ),
        pytest.param(
            b"<domain><devices>"
            + b"<graphics type='dbus'><audio id='1'/></graphics>" * 30_000
            + b"</devices></domain>",
            id="the most D-Bus displays",
        ),
        pytest.param(
            b"<domain><devices><graphics type='vnc'/>"
            + b"".join(b"<audio id='%d' type='alsa'/>" % number for number in range(60_000))
            + b"</devices></domain>",
            id="the most audio",
        ),
        pytest.param(
            b"<domain "
            + b" ".join(b"a%d=''" % n for n in range(100_000))
            + b">"
            + DEVICES.encode()
            + b"</domain>",
            id="the most attributes",
        ),
        pytest.param(
            b"<domain "
            + b" ".join(b"xmlns:a%d='urn:%d'" % (n, n) for n in range(20_000))
            + b">"
            + DEVICES.encode()
            + b"</domain>",
            id="the most namespaces",
        ),
        pytest.param(
            b"<domain>" + b" " * (MAX_SIZE - 100) + DEVICES.encode() + b"</domain>", id="the longest blanks"
        ),
        pytest.param(
            b"<domain><!--" + b"-<" * (MAX_SIZE // 2 - 100) + b"-->" + DEVICES.encode() + b"</domain>",
            id="the longest comment",
        ),
    ],
)
def test_what_is_just_within_the_bounds_is_rewritten(xml: bytes) -> None:
    once = rewrite(xml, options())
    assert once.count(b'type="dbus" address=') + once.count(b"type='dbus' address=") == 1

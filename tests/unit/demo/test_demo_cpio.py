"""An archive is what the kernel documents; the kernel itself reads one in tests/interop/test_demo.py."""

from sidecar.demo.cpio import archive, directory, file, link


def _header(number: int, mode: int, links: int, size: int, name: int) -> bytes:
    fields = (number, mode, 0, 0, links, 0, size, 0, 0, 0, 0, name, 0)
    return b"070701" + "".join(f"{field:08X}" for field in fields).encode()


def test_every_entry_is_a_header_a_name_and_data_each_filled_up_to_four_bytes() -> None:
    written = archive((directory("bin"), file("bin/say", b"hello", 0o755), link("sh", "bin/say")))
    assert written == b"".join(
        (
            *(_header(1, 0o040755, 2, 0, 4), b"bin\0\0\0"),
            *(_header(2, 0o100755, 1, 5, 8), b"bin/say\0\0\0", b"hello\0\0\0"),
            *(_header(3, 0o120777, 1, 7, 3), b"sh\0\0\0\0", b"bin/say\0"),
            *(_header(0, 0, 1, 0, 11), b"TRAILER!!!\0\0\0\0"),
        )
    )


def test_an_archive_ends_where_another_may_begin() -> None:
    for size in range(8):
        assert len(archive([file("x", bytes(size))])) % 4 == 0

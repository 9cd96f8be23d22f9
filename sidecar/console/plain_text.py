"""Text from a peer, made fit for a person's terminal."""


def plain_text(data: bytes | str) -> str:
    """UTF-8 (or text) without anything that a terminal would obey: question marks stand for it."""
    text = data.decode("utf-8", "replace") if isinstance(data, bytes) else data
    return "".join(character if character.isprintable() else "?" for character in text)

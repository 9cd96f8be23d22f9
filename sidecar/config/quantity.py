"""Times and sizes, as people write them."""

import re

from sidecar.errors import UsageError

SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
MEBIBYTES = {"M": 1, "MiB": 1, "G": 1024, "GiB": 1024}

_PART = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?", re.ASCII)
_SIZE = re.compile(r"([0-9]{1,9})(M|MiB|G|GiB)?", re.ASCII)


def parse_seconds(text: str) -> float:
    """Seconds from `30`, `1.5`, `500ms`, `30s`, `5m`, `1h30m`. Raises UsageError."""
    text = text.strip()
    if _NUMBER.fullmatch(text):
        return float(text)
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise UsageError(f"{text!r} is not a time: write seconds (30) or units (500ms, 30s, 5m, 1h30m)")
    return sum(float(number) * SECONDS[unit] for number, unit in parts)


def parse_mebibytes(text: str) -> int:
    """MiB from `512`, `512M`, `2G`. Raises UsageError."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is not a size: write MiB (512) or units (512M, 2G)")
    number, unit = match.groups()
    return int(number) * MEBIBYTES[unit or "M"]

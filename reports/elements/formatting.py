"""How names and numbers are shown: whatever a user may call a thing, a reader sees it, literally, and no more."""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
from datetime import datetime

MISSING = "–"
"""What stands where there is no number."""


def printable(text: str) -> str:
    """`text` in which what cannot be seen, or would upset a page, is replaced by a sign for it.

    Control characters become their pictures (a line break is ``␊``), lone surrogates and noncharacters ``�``, and
    marks that turn the direction of writing around their code point. Letters of every script stay as they are.
    """
    return "".join(map(_sign, text))


def _sign(char: str) -> str:
    code = ord(char)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    if char in _DIRECTIONS or 0x80 <= code < 0xA0 or char in "\u2028\u2029":
        return f"[U+{code:04X}]"
    if 0xD800 <= code <= 0xDFFF or code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF:
        return "�"
    return char


_DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")


def truncate(text: str, most: int) -> str:
    """`printable(text)`, cut to `most` characters with an ellipsis."""
    seen = printable(text)
    return seen if len(seen) <= most else seen[: most - 1] + "…"


def slug(text: str) -> str:
    """A name for files and addresses: lower-case ASCII, digits and hyphens, at most 40 characters.

    A name that had to be changed gets eight digits of its hash, so that no two names share a slug.
    """
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^a-z0-9]+", "-", ascii_text.lower()).strip("-")[:40].strip("-")
    if plain and plain == text:
        return plain
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{plain}-{digest}" if plain else digest


def points(value: float | None, digits: int = 1) -> str:
    """A fraction in points of a hundred: 0.341 is ``34.1``."""
    if value is None or not math.isfinite(value):
        return MISSING
    text = f"{100 * value:.{digits}f}"
    return (text.removeprefix("-") if float(text) == 0 else text).replace("-", "−")


def signed_points(value: float | None, digits: int = 1) -> str:
    """Like `points`, with a sign: ``+0.3``, ``−6.8``."""
    if value is None or not math.isfinite(value):
        return MISSING
    text = f"{100 * value:+.{digits}f}"
    return ("0" + text[2:] if float(text) == 0 else text).replace("-", "−")


def points_interval(low: float, high: float) -> str:
    """An interval of a fraction, in points: ``[36.6, 45.8]``; empty where it is not known."""
    return f"[{points(low)}, {points(high)}]" if math.isfinite(low) and math.isfinite(high) else ""


def fraction_interval(low: float, high: float) -> str:
    """An interval of a fraction as it is: ``[0.366, 0.458]``; empty where it is not known."""
    return f"[{low:.3f}, {high:.3f}]" if math.isfinite(low) and math.isfinite(high) else ""


def p_value(p: float) -> str:
    """A p-value: ``< .001``, ``.034``."""
    if not math.isfinite(p):
        return MISSING
    return "< .001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def count(value: float | None) -> str:
    """A whole number in groups of three, parted by a thin space: ``1 234 567``."""
    if value is None or not math.isfinite(value):
        return MISSING
    return f"{round(value):,}".replace(",", "\u202f")


def large_number(value: float | None) -> str:
    """A large number in three digits: ``3.07 M``."""
    if value is None or not math.isfinite(value):
        return MISSING
    if value:  # rounded first: 999.6 is 1 k
        value = round(value, 2 - math.floor(math.log10(abs(value))))
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:.3g} {unit}" if abs(value) < 1000 * size else f"{value / size:.0f} {unit}"
    return f"{value:.3g}"


def duration(seconds: float | None) -> str:
    """``48 s``, ``12 min 5 s``, ``3 h 20 min``."""
    if seconds is None or not math.isfinite(seconds):
        return MISSING
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def milliseconds(value: float | None) -> str:
    """Three digits that count, and their unit: ``0.82 ms``, ``16.2 ms``, ``1 240 ms``."""
    if value is None or not math.isfinite(value):
        return MISSING
    return f"{three_digits(value)} ms"


def three_digits(value: float | None) -> str:
    """Three digits that count before and after the point: ``0.82``, ``16.2``, ``1 240``."""
    if value is None or not math.isfinite(value):
        return MISSING
    if value >= 99.95:
        return count(value)
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def byte_size(bytes_: float | None) -> str:
    """``918 MB``; a megabyte is 10**6 bytes."""
    return MISSING if bytes_ is None or not math.isfinite(bytes_) else f"{large_number(bytes_)}B"


def timestamp(when: datetime | None) -> str:
    """``2026-03-01 14:05 UTC``."""
    return MISSING if when is None else when.strftime("%Y-%m-%d %H:%M UTC")


def join_words(words: list[str], most: int = 6) -> str:
    """``a``, ``a and b``, ``a, b and c``; past `most`, ``a, b, ... and 4 more``."""
    if len(words) > most:
        return ", ".join(words[:most]) + f" and {len(words) - most} more"
    if len(words) < 2:
        return "".join(words)
    return ", ".join(words[:-1]) + f" and {words[-1]}"


def plural(number: int, one: str, many: str = "") -> str:
    """``1 image``, ``2 images``; `many` where an s is not enough."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


_QUOTED = re.compile(r"""(['"])(?:~|[A-Za-z]:)?[/\\][^'"]*[/\\]([^'"/\\]*)\1""")
_PATH = re.compile(r"""(?<![\w./\\:-])(?:~|[A-Za-z]:)?[/\\](?:[^\s/\\'",;:]+[/\\])+([^\s/\\'",;:]*)""")
_WHOLE = re.compile(r"(?:~|[A-Za-z]:)?[/\\][^\n]*[/\\]([^/\\\n]*)")


def hide_paths(text: str) -> str:
    """`text` in which an absolute path, which may hold a user's name, is only its last part: ``…/coco.json``.

    A path with spaces is known as one where it is the whole text or stands in quotes.
    """
    whole = _WHOLE.fullmatch(text)
    if whole and " -" not in text:
        return f"…/{whole[1]}"
    text = _QUOTED.sub(lambda path: f"{path[1]}…/{path[2]}{path[1]}", text)
    return _PATH.sub(lambda path: f"…/{path[1]}", text)

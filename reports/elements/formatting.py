"""Names and numbers as text: names literally, whatever characters they hold; numbers with the digits that matter."""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime

from metrics.compare.percent import difference_interval as difference_interval
from metrics.compare.percent import points as points
from metrics.compare.percent import points_interval as points_interval
from metrics.messages import printable as printable
from metrics.number_text import MISSING as MISSING
from metrics.number_text import fixed as fixed
from metrics.number_text import with_minus_sign as with_minus_sign
from metrics.plurals import agree


def sentence(text: str) -> str:
    """Format the text of a note, which has neither a capital letter nor a full stop, as a sentence."""
    return f"{printable(text[:1].upper() + text[1:])}."


def truncate(text: str, most: int) -> str:
    """Return `printable(text)`, cut to `most` characters with an ellipsis."""
    text = printable(text)
    return text if len(text) <= most else text[: most - 1] + "…"


def short_names(names: Sequence[str], most: int) -> list[str]:
    """Return each name in at most `most` characters, different names differently.

    Names are cut at the end; names that would then look the same are cut at the beginning, or on both sides of the place where
    they begin to differ, or else numbered.
    """
    shown = {name: truncate(name, most) for name in names}
    for group in _same(shown):
        texts = [printable(name) for name in group]
        first, last = min(texts), max(texts)
        common = next(
            (at for at, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), len(first)
        )
        tails = [f"…{text[1 - most :]}" for text in texts]
        middles = [f"…{truncate(text[max(common - 4, 0) :], most - 1)}" for text in texts]
        chosen = tails if len(set(tails)) == len(texts) else middles
        shown |= dict(zip(group, chosen, strict=True))
    for group in _same(shown):
        for number, name in enumerate(group, 1):
            mark = f" {number}"
            shown[name] = f"{truncate(name, most - len(mark))}{mark}"
    return [shown[name] for name in names]


def _same(shown: Mapping[str, str]) -> list[list[str]]:
    """Groups of names that look the same."""
    return [
        group
        for text in dict.fromkeys(shown.values())
        if len(group := [name for name, other in shown.items() if other == text]) > 1
    ]


def difference_label(first: str, second: str, most: int = 30) -> str:
    """Return ``first − second`` in at most `most` characters; each name has at least half of them, if it needs it.

    Names are cut at the end, or at the beginning if they would look the same otherwise.
    """
    first, second = printable(first), printable(second)
    room = most - len(" − ")
    half = room // 2
    left, right = max(half, room - len(second)), max(half, room - len(first))
    shown = truncate(first, left), truncate(second, right)
    if shown[0] == shown[1] != first:
        shown = f"…{first[1 - left :]}", f"…{second[1 - right :]}"
    return " − ".join(shown)


def slug(text: str) -> str:
    """Convert a name for use in file names and URLs: lower-case ASCII, digits and hyphens, at most 40 characters.

    A name that had to be changed ends with eight digits of its hash, so that different names have different slugs.
    """
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^a-z0-9]+", "-", ascii_text.lower()).strip("-")[:40].strip("-")
    if plain and plain == text:
        return plain
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{plain}-{digest}" if plain else digest


def signed_points(value: float | None, digits: int = 1) -> str:
    """Format like `points`, with a sign: ``+0.3``, ``−6.8``."""
    if value is None or not math.isfinite(value):
        return MISSING
    return with_minus_sign(f"{100 * value:+.{digits}f}")


def fraction_interval(low: float, high: float) -> str:
    """Format an interval of fractions: ``[0.366, 0.458]``; empty if it is not known."""
    return f"[{fixed(low)}, {fixed(high)}]" if math.isfinite(low) and math.isfinite(high) else ""


def p_value(p: float) -> str:
    """Format a p-value: ``< .001``, ``.034``."""
    if not math.isfinite(p):
        return MISSING
    return "< .001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def count(value: float | None) -> str:
    """Format an integer with a thin space every three digits: ``1 234 567``."""
    if value is None or not math.isfinite(value):
        return MISSING
    return f"{round(value):,}".replace(",", "\u202f")


def large_number(value: float | None) -> str:
    """Format a large number with three significant digits: ``3.07 M``."""
    if value is None or not math.isfinite(value):
        return MISSING
    if value:  # rounded first: 999.6 is 1 k
        value = round(value, 2 - math.floor(math.log10(abs(value))))
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:.3g} {unit}" if abs(value) < 1000 * size else f"{value / size:.0f} {unit}"
    return f"{value:.3g}"


def duration(seconds: float | None) -> str:
    """Format a duration: ``48 s``, ``12 min 5 s``, ``3 h 20 min``."""
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
    """Format a time with three significant digits: ``0.82 ms``, ``16.2 ms``, ``1 240 ms``."""
    if value is None or not math.isfinite(value):
        return MISSING
    return f"{three_digits(value)} ms"


def three_digits(value: float | None) -> str:
    """Format with three significant digits, at most two decimals: ``0.82``, ``16.2``, ``1 240``."""
    if value is None or not math.isfinite(value):
        return MISSING
    if value >= 99.95:
        return count(value)
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def byte_size(bytes_: float | None) -> str:
    """Format a size: ``918 MB``; a megabyte is 10**6 bytes."""
    return MISSING if bytes_ is None or not math.isfinite(bytes_) else f"{large_number(bytes_)}B"


def timestamp(when: datetime | None) -> str:
    """Format a time: ``2026-03-01 14:05 UTC``."""
    return MISSING if when is None else when.strftime("%Y-%m-%d %H:%M UTC")


def join_words(words: list[str], most: int = 6) -> str:
    """Join words: ``a``, ``a and b``, ``a, b and c``; more than `most` as ``a, b, ... and 4 more``."""
    if len(words) > most:
        return ", ".join(words[:most]) + f" and {len(words) - most} more"
    if len(words) < 2:
        return "".join(words)
    return ", ".join(words[:-1]) + f" and {words[-1]}"


def plural(number: int, one: str, many: str = "") -> str:
    """Format a count like `metrics.plurals.plural`, with thin spaces: ``1 image``, ``1 200 images``."""
    return f"{count(number)} {agree(number, one, many)}"


def images_left_out(number: int) -> str:
    """Say that images of a gallery are left out."""
    return (
        f"{plural(number, 'chosen image was', 'chosen images were')} left out to limit the size of this page."
    )


_QUOTED = re.compile(r"""(['"])(?:~|[A-Za-z]:)?[/\\][^'"]*[/\\]([^'"/\\]*)\1""")
_PATH = re.compile(r"""(?<![\w./\\:-])(?:~|[A-Za-z]:)?[/\\](?:[^\s/\\'",;:]+[/\\])+([^\s/\\'",;:]*)""")
_WHOLE = re.compile(r"(?:~|[A-Za-z]:)?[/\\][^\n]*[/\\]([^/\\\n]*)")


def hide_paths(text: str) -> str:
    """Shorten absolute paths, which may contain a user's name, to their last part: ``…/coco.json``.

    A path with spaces is recognised only if it is the whole text or quoted.
    """
    whole = _WHOLE.fullmatch(text)
    if whole and " -" not in text:
        return f"…/{whole[1]}"
    text = _QUOTED.sub(lambda path: f"{path[1]}…/{path[2]}{path[1]}", text)
    return _PATH.sub(lambda path: f"…/{path[1]}", text)

"""Messages for a terminal: one line each, of bounded length, without characters that a terminal or an editor acts on."""

from __future__ import annotations

import re

from metrics.errors import DetbenchError, InputWarning, exit_code, is_out_of_memory, of_system, of_vanished
from metrics.plurals import plural

MAX_LENGTH = 1000
"""Characters of a line; a longer one is cut in its middle, because the place stands first and the remedy last."""

MAX_LINES = 20
"""Mistakes that are listed; the others are counted."""


def printable(text: str) -> str:
    """Replace characters that are invisible or would break a page by visible symbols.

    Control characters become their pictures (a line break is ``␊``), lone surrogates and noncharacters ``�``, and
    marks that change the writing direction their code point. Letters of all scripts are kept.
    """
    return "".join(map(_visible, text))


def message_line(text: object) -> str:
    """Any text, which may quote input, as one line for a terminal; see `printable` and `MAX_LENGTH`."""
    line = printable(str(text))
    if len(line) <= MAX_LENGTH:
        return line
    half = (MAX_LENGTH - 3) // 2
    return f"{line[:half]} … {line[-half:]}"


def ascii_controls(json_text: str) -> str:
    """A JSON text with marks of the writing direction and C1 controls escaped, which `json` leaves as they are."""
    return "".join(
        f"\\u{ord(char):04x}" if char in _DIRECTIONS or 0x7F <= ord(char) < 0xA0 else char
        for char in json_text
    )


def error_lines(error: BaseException) -> list[str]:
    """What was wrong and how to fix it, one line per mistake; for bugs, how to see the traceback."""
    if isinstance(error, KeyboardInterrupt):
        return ["stopped"]
    if isinstance(error, OSError):
        error = of_system(error) or of_vanished(error) or error
    if isinstance(error, DetbenchError):
        lines = [message_line(line) for line in error.lines]
        more = len(lines) - MAX_LINES
        return lines if more <= 0 else [*lines[:MAX_LINES], f"and {plural(more, 'more mistake')}"]
    if isinstance(error, InputWarning):
        return [message_line(f"{error} (--strict)")]
    if is_out_of_memory(error):
        return [
            "out of memory; use smaller batches (train.batch, evaluate.batch), smaller images or less input"
        ]
    if exit_code(error) != DetbenchError.exit_code:  # an error of another library with an exit code of ours
        return [message_line(" ".join(str(error).split()))]
    return [
        message_line(f"internal error: {type(error).__name__}: {reason(error)}; --debug prints the traceback")
    ]


_OWN_PLACE = re.compile(r"(?:^Exception from|failed at) \S+:\d+:?\s*$")


def reason(error: BaseException, most: int = 200) -> str:
    """The cause that another library gives, for a message of ours: its first line, of at most `most` characters.

    Lines with the place in the library's own source (``Exception from src/cpp/core.cpp:117:``) are passed over if another one follows.
    """
    lines = [line for line in str(error).splitlines() if line.strip()]
    lines = [line for line in lines if not _OWN_PLACE.search(line)] or lines
    text = printable(lines[0].strip().rstrip(".:")) if lines else type(error).__name__
    return text if len(text) <= most else f"{text[: most - 1]}…"


_DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")


def _visible(char: str) -> str:
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

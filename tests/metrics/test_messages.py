"""Messages for a terminal: one line, bounded, without characters that a terminal or an editor acts on."""

from __future__ import annotations

import errno
import unicodedata
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics import errors
from metrics.atomic_files import require_writable
from metrics.errors import (
    DetbenchError,
    InputError,
    InputNote,
    InputWarning,
    MachineError,
    exit_code,
    of_system,
)
from metrics.messages import MAX_LENGTH, MAX_LINES, error_lines, message_line, printable, reason
from metrics.standard_streams import printed_warnings, run_to_end


@given(st.text(max_size=3 * MAX_LENGTH))
def test_fault_72_a_line_has_no_characters_that_control_a_terminal(text):
    line = message_line(text)
    assert len(line) <= MAX_LENGTH
    assert not {unicodedata.category(char) for char in line} & {"Cc", "Zl", "Zp", "Cs"}
    directions = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    assert not {unicodedata.bidirectional(char) for char in line} & directions
    if len(printable(text)) <= MAX_LENGTH:
        assert line == printable(text)


def test_a_long_line_keeps_the_place_and_the_remedy():
    line = message_line(f"gt.json: {'x' * 10_000}; remove it")
    assert line.startswith("gt.json: xxx")
    assert line.endswith("xxx; remove it")
    assert " … " in line


class Mistakes(InputError):
    """An error with many lines."""

    @property
    def lines(self) -> tuple[str, ...]:
        return tuple(str(number) for number in range(50))


@pytest.mark.parametrize(
    ("error", "lines"),
    [
        (InputError("a\x1b[31mb\nerror: forged"), ["a␛[31mb␊error: forged"]),
        (InputError("\u202eabc"), ["[U+202E]abc"]),
        (InputWarning("odd"), ["odd (--strict)"]),
        (Mistakes(), [*map(str, range(MAX_LINES)), "and 30 more mistakes"]),
        (KeyboardInterrupt(), ["stopped"]),
        (
            RuntimeError("one\ntwo\nthree"),
            ["internal error: RuntimeError: one; --debug prints the traceback"],
        ),
        (OSError(errno.ENOSPC, "full", "/x"), ["/x: full; free some space or choose another folder"]),
    ],
)
def test_fault_72_errors_as_lines(error, lines):
    assert error_lines(error) == lines


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (errno.ENOSPC, MachineError),
        (errno.EDQUOT, MachineError),
        (errno.EROFS, MachineError),
        (errno.EACCES, MachineError),
        (errno.EIO, MachineError),
        (errno.EMFILE, MachineError),
        (errno.ENAMETOOLONG, InputError),
        (errno.ENOTDIR, InputError),
        (errno.EISDIR, InputError),
        (errno.ELOOP, InputError),
        (errno.EEXIST, None),
    ],
)
def test_fault_73_who_is_to_blame_for_an_error_of_the_system(code, kind):
    error = OSError(code, "text", "/x")
    known = of_system(error)
    assert (None if known is None else type(known)) is kind
    assert exit_code(error) == (DetbenchError if kind is None else kind).exit_code


def test_fault_120_a_file_that_vanishes_is_named_and_one_of_ours_is_a_bug():
    gone = FileNotFoundError(errno.ENOENT, "No such file", "/data/a.xml")
    assert of_system(gone) is None  # its meaning is known where it is raised
    assert exit_code(gone) == 2
    assert error_lines(gone)[0].startswith("/data/a.xml: no such file or folder any more; ")
    for ours in (
        FileNotFoundError("text"),
        FileNotFoundError(errno.ENOENT, "no", str(Path(errors.__file__))),
    ):
        assert exit_code(ours) == 1
        assert error_lines(ours)[0].startswith("internal error: ")


def test_a_reason_of_another_library_is_one_short_line():
    assert reason(RuntimeError(f"{'x' * 1283}.\nsecond line")) == "x" * 199 + "…"
    assert reason(ValueError("Wrong.")) == "Wrong"
    places = "Exception from src/cpp/core.cpp:117:\nCheck 'a' failed at src/b.hpp:11:\n"
    assert reason(RuntimeError(places + "No suitable implementations.\n\n")) == "No suitable implementations"
    assert (
        reason(RuntimeError("Exception from src/cpp/core.cpp:117:")) == "Exception from src/cpp/core.cpp:117"
    )
    assert reason(ValueError()) == "ValueError"


def test_fault_72_a_warning_of_another_library_is_one_line_with_its_name(capsys):
    def work() -> int:
        for _ in range(3):
            warnings.warn(InputWarning("odd\x1b[0m"), stacklevel=1)
        warnings.warn(InputNote("left out"), stacklevel=1)
        warnings.warn_explicit(
            "Mean of empty slice", RuntimeWarning, "/x/lib/site-packages/numpy/core/f.py", 3
        )
        return 0

    with warnings.catch_warnings(action="default"), printed_warnings(strict=False):
        assert run_to_end(work) == 0
    assert capsys.readouterr().err == ("warning: odd␛[0m\nnote: left out\nnote: numpy: Mean of empty slice\n")


def test_strict_raises_warnings_and_no_notes():
    with printed_warnings(strict=True):
        warnings.warn(InputNote("left out"), stacklevel=1)
        with pytest.raises(InputWarning):
            warnings.warn(InputWarning("odd"), stacklevel=1)


@pytest.mark.parametrize("folder", [False, True])
def test_fault_73_a_path_that_can_be_written_leaves_nothing_behind(tmp_path, folder):
    require_writable(tmp_path / "a" / "b", "--out", folder=folder)
    require_writable(tmp_path if folder else tmp_path / "new", "--out", folder=folder)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "folder", "kind", "text"),
    [
        ("file", True, InputError, "a part of this path is a file"),
        ("file/below", True, InputError, "a part of this path is a file"),
        ("file/below", False, InputError, "a part of this path is a file"),
        (".", False, InputError, "this is a folder; give a file"),
        ("é" * 128, False, InputError, "use a shorter name"),
        ("/".join(["a" * 250] * 17), True, InputError, "use a shorter name"),
        ("broken", True, InputError, "is a link to nothing"),
        ("circle/below", True, InputError, "in a circle; choose another folder"),
        ("broken/below", False, InputError, "is a link to nothing"),
    ],
)  # fmt: skip
def test_fault_73_a_path_that_cannot_be_written_is_refused_with_the_option(
    tmp_path, name, folder, kind, text
):
    (tmp_path / "file").write_text("x")
    (tmp_path / "broken").symlink_to("nowhere")
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(kind, match=text) as caught:
        require_writable(tmp_path / name, "--csv", folder=folder)
    assert str(caught.value).startswith("--csv ")


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EROFS, "choose another folder"),
        (errno.EACCES, "change the permissions"),
    ],
)
def test_fault_73_a_disk_that_refuses_is_the_machines_fault(tmp_path, monkeypatch, code, remedy):
    def fail(*args: object, **options: object) -> None:
        raise OSError(code, "refused", str(tmp_path))

    monkeypatch.setattr("tempfile.NamedTemporaryFile", fail)
    with pytest.raises(MachineError, match=remedy) as caught:
        require_writable(Path(tmp_path), "--out", folder=True)
    assert "--out" in str(caught.value)

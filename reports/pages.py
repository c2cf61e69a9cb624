"""Pages: the only module that writes them. A page is one file; the tables and figures it links to lie beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reports.analysis.report_data import ComparisonOptions, Images, ReportData
from reports.document import compose
from reports.records.atomic_files import atomic_write
from reports.records.run import RunFolder
from reports.records.study import StudyFolder
from reports.study_document import compose_study


def write_report(
    runs: Sequence[RunFolder],
    out: str | Path,
    images: Images | None = None,
    *,
    title: str = "",
    max_mb: float = 8.0,
    show_paths: bool = False,
    options: ComparisonOptions | None = None,
) -> Path:
    """Write the page `out`, and beside it the tables and figures that it is made of.

    Beside `out`: every table as CSV (``leaderboard.csv``, ``metrics.csv``, ``standings.csv``, ``pairwise.csv`` and more,
    each named where the page uses it) and every figure as ``figures/*.svg`` and ``*.png``. The same runs and images
    give the same bytes.

    Args:
        runs: all evaluated on the same truth; runs that differ only in their seed are one model.
        out: the page, or a folder, in which it is then called ``report.html``.
        images: where the gallery's pictures come from; without it, or where it raises, the page says so.
        title: the page's heading; made from the data set's name if empty.
        max_mb: the page stays below this many megabytes (10**6 bytes): the gallery is thinned, and says by how many.
        show_paths: show absolute paths, which may hold a user's name, in full.
        options: how the runs are compared: resamples, groups of images, limits.

    Returns:
        The path of the page.

    Raises:
        InputError: no run, two of the same name, or runs on different truth.
        MachineError: the files cannot be written; what stood there stands there still.
    """
    return write_comparison(
        ReportData.from_runs(runs, images, show_paths, options), out, title=title, max_mb=max_mb
    )


def write_comparison(
    report: ReportData,
    out: str | Path,
    *,
    title: str = "",
    max_mb: float = 8.0,
    studies: Sequence[StudyFolder] = (),
) -> Path:
    """Write the page about a comparison, and what lies beside it; arguments as in `write_report`.

    Args:
        report: the runs, read and scored.
        out: the page, or its folder.
        title: the page's heading.
        max_mb: the page stays below this.
        studies: in which settings of these runs were found; they get a section.

    Raises:
        InputError: limits that cannot be held against these runs.
        MachineError: the files cannot be written; what stood there stands there still.
    """
    out = Path(out)
    page = out if out.suffix.lower() in (".html", ".htm") else out / "report.html"
    document = compose(report, title=title, max_bytes=int(max_mb * 1e6), studies=studies)
    for name, content in document.files.items():
        atomic_write(page.parent / name, content)
    return atomic_write(page, document.html)


def write_study_page(
    folder: StudyFolder, out: str | Path | None = None, *, title: str = "", show_paths: bool = False
) -> Path:
    """Write the page about a study, and beside it its figures, its table of trials and its facts.

    The same study gives the same bytes.

    Args:
        folder: of the last stage; earlier ones are shown where their folders are still beside it.
        out: the page, or a folder, in which it is then called ``report.html``; the study's own folder by default.
        title: the page's heading; made from variant and data set if empty.
        show_paths: show absolute paths, which may hold a user's name, in full.

    Returns:
        The path of the page.

    Raises:
        MachineError: the files cannot be written; what stood there stands there still.
    """
    out = folder.path if out is None else Path(out)
    page = out if out.suffix.lower() in (".html", ".htm") else out / StudyFolder.PAGE
    document = compose_study(folder, title=title, show_paths=show_paths)
    for name, content in document.files.items():
        atomic_write(page.parent / name, content)
    return atomic_write(page, document.html)

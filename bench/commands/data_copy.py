"""``bench data --to`` and ``--fix``: write a data set in another format or without its defects, and print what changed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.convert.image_set import Link
from bench.convert.source import Splits
from bench.fix.changes import counts, summary
from bench.fix.written_copy import LOG, CopyPlan, WrittenCopy, write_copy
from bench.process.json_value import json_value, print_json
from bench.process.progress import Progress
from bench.settings.resolution import resolve
from metrics.atomic_files import require_writable
from metrics.errors import InputError
from metrics.notes import report
from metrics.plurals import plural


def copy_data(
    variant: str,
    sources: Mapping[str, Any],
    out: Path | None,
    to: str | None,
    fix: bool,
    link: Link,
    splits: Splits,
    decode: bool,
    json: bool,
    progress: Progress,
) -> None:
    """Write a data set and print what was written.

    Args:
        variant: any variant; its settings of the data apply.
        sources: as `bench.settings.resolution.resolve_entry` takes them.
        out: the new folder.
        to: format; None for that of the data set.
        fix: remove defects.
        link: how unchanged images are written.
        splits: which splits are written.
        decode: decode every image to find truncated ones, if defects are removed.
        json: print one JSON object.
        progress: display.

    Raises:
        InputError: the folder or what to do with it is missing; or as `write_copy`.
    """
    if out is None:
        option = f"--to {to}" if to else "--fix"
        raise InputError(f"{option}: OUT is missing: python -m bench data PATH {option} NEW_FOLDER")
    if to is None and not fix:
        raise InputError(
            f"{out}: is a second path; add --to coco, voc or yolo to write the data set there, or --fix to write a fixed copy"
        )
    require_writable(out, "OUT", folder=True)
    plan = CopyPlan(out, to, fix, link, splits, decode)
    copy = write_copy(resolve(variant, **sources), plan, progress)
    for note in copy.notes:
        report(note)
    if json:
        print_json(_as_json(copy, out))
    else:
        _show(copy, out)


def _show(copy: WrittenCopy, out: Path) -> None:
    if copy.changes is not None:
        for line in summary(copy.changes):
            print(line)
        print(f"changes: {out / LOG}")
    listed = ", ".join(
        f"{name} {plural(images, 'image')} with {plural(objects, 'object')}"
        for name, (images, objects) in copy.splits.items()
    )
    print(f"{copy.format}: {out}  ({listed})")


def _as_json(copy: WrittenCopy, out: Path) -> dict[str, Any]:
    splits = {name: {"images": images, "objects": objects} for name, (images, objects) in copy.splits.items()}
    written = {"folder": out, "format": copy.format, "splits": splits, "notes": json_value(copy.notes)}
    return written if copy.changes is None else written | {"changes": counts(copy.changes)}

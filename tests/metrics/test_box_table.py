"""Tables of boxes as CSV and Parquet: the same numbers as from JSON, ids as written, errors with file and line."""

from __future__ import annotations

import csv
import gzip
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics import evaluate, read_detections, read_truth
from metrics.errors import DetbenchError, InputError, InputNote, InputWarning
from metrics.tables import AnnotationTable, Catalog

NAMES = ("a/007.jpg", "b/7.jpg", "c/10.jpg")
CLASSES = ("cat", "NA", "true", "1e3")
CATALOG = Catalog.of([7, 8, 10], list(CLASSES), [(64, 64)] * 3, NAMES, [1, 3, 4, 9])
TRUTH = AnnotationTable.of(
    CATALOG, [0, 0, 1, 2], [0, 1, 2, 3], [[1, 2, 20, 20], [30, 3, 9, 9], [4, 4, 30, 30], [5, 5, 12, 8]]
)

Rows = list[dict[str, Any]]


def write(path: Path, rows: Rows, names: tuple[str, ...] | None = None) -> Path:
    """Rows as CSV with some of their keys."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names or tuple(rows[0]), extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


def results(image: Any, class_id: int, box: tuple[float, ...], score: float) -> dict[str, Any]:
    x, y, w, h = box
    return {"image_id": image, "class_id": class_id, "x": x, "y": y, "w": w, "h": h, "score": score}


def as_json(path: Path, rows: Rows) -> Path:
    document = [
        {
            "image_id": r["image_id"],
            "category_id": r["class_id"],
            "bbox": [r[k] for k in "xywh"],
            "score": r["score"],
        }
        for r in rows
    ]
    path.write_text(json.dumps(document))
    return path


def outcome(path: Path, **options: Any) -> tuple[Any, ...]:
    """What reading leads to: the table or the kind of error, and the warnings without the file's name."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            table = read_detections(path, TRUTH, **options)
            found = (table.fingerprint, table.image.tolist(), table.score.tolist())
        except InputError as error:
            found = (str(error).replace(str(path), "FILE"),)
    return (*found, [str(warning.message).replace(str(path), "FILE") for warning in caught])


numbers = st.floats(0, 60, width=32).map(lambda value: value + 0.0)
boxes = st.tuples(numbers, numbers, numbers, numbers)
# ids and names, plausible or not; classes of the ground truth, of indices from 0 and from 1, and unknown ones
rows_of = {
    "ids": st.builds(
        results, st.sampled_from([7, 8, 10]), st.sampled_from([1, 3, 4, 9]), boxes, st.floats(0, 1)
    ),
    "files": st.builds(
        results, st.sampled_from([*NAMES, "c/10", "10.jpg"]), st.just(1), boxes, st.floats(0, 1)
    ),
    "odd": st.builds(results, st.sampled_from([7, 8, 11]), st.integers(0, 5), boxes, st.floats(-1, 90)),
}


@pytest.mark.parametrize("kind", rows_of)
@given(
    data=st.data(),
    options=st.sampled_from(
        [{}, {"class_map": "from-0"}, {"class_map": "drop"}, {"class_map": {0: 1, 1: 3}}]
    ),
)
def test_csv_and_parquet_lead_to_what_json_leads_to(tmp_path_factory, kind, data, options):
    folder = tmp_path_factory.mktemp("rows")
    rows = data.draw(st.lists(rows_of[kind], min_size=1, max_size=6))
    expected = outcome(as_json(folder / "d.json", rows), **options)
    pandas.DataFrame(rows).to_parquet(folder / "d.parquet")
    for name in (write(folder / "d.csv", rows).name, "d.parquet"):
        assert outcome(folder / name, **options) == expected


def test_relative_coordinates_and_names_of_files_are_treated_as_in_json(tmp_path):
    rows = [results(7, 1, (0.1, 0.2, 0.3, 0.25), 0.5)] * 3
    assert outcome(write(tmp_path / "d.csv", rows)) == outcome(as_json(tmp_path / "d.json", rows))
    with pytest.raises(InputError, match="these are relative coordinates"):
        read_detections(tmp_path / "d.csv", TRUTH)
    rows = [results("a/007.jpg", 1, (1, 2, 20, 20), 0.5)]
    found = read_detections(write(tmp_path / "e.csv", rows), TRUTH)
    assert evaluate(TRUTH, found).headline["ap50"] == pytest.approx(1 / 4)


def test_fault_66_ids_and_names_stay_as_they_are_written(tmp_path):
    """Guessing of types joins images 007 and 7, reads the class NA as missing, true as a flag and 1e3 as a number."""
    rows = [
        {"image_id": image, "class": name, "x": 1, "y": 1, "w": 5 + i, "h": 5}
        for i, (image, name) in enumerate(zip(("007", "7", "7", "0"), CLASSES, strict=True))
    ]
    truth = read_truth(write(tmp_path / "gt.csv", rows))
    assert truth.catalog.image_ids == ("0", "007", "7")
    assert truth.catalog.classes == tuple(sorted(CLASSES))
    scored = [row | {"score": 0.5} for row in rows]
    found = read_detections(write(tmp_path / "dt.csv", scored), truth)
    assert evaluate(truth, found).headline["ap"] == pytest.approx(1.0)
    numbered = [row | {"image_id": i} for i, row in enumerate(rows)]
    assert read_truth(write(tmp_path / "n.csv", numbered)).catalog.image_ids == (0, 1, 2, 3)


def test_columns_of_truth_survive_csv_and_parquet(tmp_path):
    flags = np.array([True, False, False, True])
    table = AnnotationTable.of(
        CATALOG, [0, 0, 1, 2], [0, 1, 2, 3], TRUTH.xywh, crowd=flags, ignored=~flags, object_id=[5, 6, 7, 8]
    )
    table.to_frame().to_csv(tmp_path / "gt.csv", index=False)
    table.to_frame().to_parquet(tmp_path / "gt.parquet")
    for name in ("gt.csv", "gt.parquet"):
        read = read_truth(tmp_path / name)
        for column in ("xywh", "area", "crowd", "ignored", "object_id"):
            np.testing.assert_array_equal(getattr(read, column), getattr(table, column))
        assert read.catalog.class_ids == CATALOG.class_ids


@pytest.mark.parametrize(
    "names", ["Filename; XMIN ;ymin;xmax;ymax;class;confidence", "image\tx\ty\tw\th\tlabel\tscore"]
)
def test_other_programs_names_and_separators_are_read(tmp_path, names):
    separator = ";" if ";" in names else "\t"
    box = (1, 2, 21, 22) if ";" in names else (1, 2, 20, 20)
    values = ["007.jpg", *map(str, box), "cat", "0.5"]
    (tmp_path / "d.csv").write_text(f"{names}\n{separator.join(values)}\n")
    found = read_detections(tmp_path / "d.csv", TRUTH)
    assert (found.image.tolist(), found.label.tolist()) == ([0], [0])
    assert found.xywh.tolist() == [[1, 2, 20, 20]]


def test_class_ids_in_a_column_of_names_are_reported(tmp_path):
    (tmp_path / "d.csv").write_text("image_id,class,x,y,w,h,score\n7,3,1,1,5,5,0.5\n")
    with pytest.warns(
        InputNote, match="the column of class names has whole numbers, which are read as class ids"
    ):
        assert read_detections(tmp_path / "d.csv", TRUTH).label.tolist() == [1]


HEAD = "image_id,class,x,y,w,h,score\n7,cat,1,1,5,5,0.5\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"d\.csv: the file is empty"),
        ("\n\n", r"d\.csv: the file is empty"),
        ("image_id,score\n7,1\n", r"d\.csv: no column class \(or class_id\), x, y, w, h \(or .*\); it has image_id, score"),
        (HEAD + "7,cat,1,1,ten,5,0.5\n", r"d\.csv:3: w 'ten': expected a number"),
        (HEAD + "7,cat,1,1,,5,0.5\n", r"d\.csv:3: w '': expected a number"),
        (HEAD + "7,cat,1,1,nan,5,0.5\n", r"d\.csv:3: w 'nan': expected a finite number"),
        (HEAD + "7,cat,1,1,5,5,inf\n", r"d\.csv:3: score 'inf': expected a finite number"),
        (HEAD + "7,cat,1,1,5\n", r"d\.csv:3: has 5 values, expected 7: '7,cat,1,1,5'"),
        (HEAD + "7,cat,1,1,5,5,0.5,9\n", r"d\.csv:3: has 8 values, expected 7"),
        (HEAD + "7,cta,1,1,5,5,0.5\n", r"d\.csv:3: class 'cta': no class of the ground truth; did you mean 'cat'"),
        (HEAD + '"unclosed', r"d\.csv:3: has 1 value, expected 7"),
        (HEAD + "\0\0", r"d\.csv:3: has 1 value, expected 7"),
        ("image_id,class_id,x,y,w,h,score\n7,1.5,1,1,5,5,1\n", r"d\.csv:2: class_id '1.5': expected a whole number"),
    ],
)  # fmt: skip
def test_fault_66_an_invalid_table_is_refused_with_file_and_line(tmp_path, text, message):
    (tmp_path / "d.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_detections(tmp_path / "d.csv", TRUTH)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            HEAD.encode() + b"7,c\xe9t,1,1,5,5,0.5\n",
            r"d\.csv:3: byte \d+ is not UTF-8; save the file as UTF-8",
        ),
        (HEAD.encode("utf-16"), r"d\.csv: is UTF-16 text; save it as UTF-8"),
        (gzip.compress(b"x" * 10**8), r"d\.csv.*: (unpacks|is|expands|grows).*"),
    ],
    ids=["latin-1", "utf-16", "bomb"],
)
def test_bytes_that_are_no_text_are_refused(tmp_path, data, message):
    (tmp_path / "d.csv").write_bytes(data)
    with pytest.raises(InputError, match=message):
        read_detections(tmp_path / "d.csv", TRUTH)


@given(cut=st.integers(0, 200), place=st.integers(0, 200), noise=st.binary(max_size=6))
def test_damaged_tables_are_read_or_refused(tmp_path_factory, cut, place, noise):
    data = (HEAD + "8,NA,3,4,12,12,0.25\n10,1e3,5,5,6,7,1e-3\n").encode()
    path = tmp_path_factory.mktemp("damaged") / "d.csv"
    path.write_bytes((data[:place] + noise + data[place + len(noise) :])[: max(cut, 1)])
    messages = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        warnings.simplefilter("ignore", InputNote)
        for read in (lambda: read_detections(path, TRUTH), lambda: read_truth(path)):
            try:
                read()
            except DetbenchError as error:
                messages.append(str(error))
    assert all(str(path) in message and "\n" not in message for message in messages)

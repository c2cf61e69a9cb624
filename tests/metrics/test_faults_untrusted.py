"""Malicious files, by the rows of docs/faults.md: bombs, entities, code, paths."""

from __future__ import annotations

import gzip
import os
import zipfile
import zlib
from pathlib import Path

import pytest
from coco_files import truth, write

from metrics.errors import InputError
from metrics.formats import coco, voc, yolo_description
from metrics.formats.untrusted import read_bytes, resolve_under


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "nested deeper than 1024 levels"),
        ("[" + '{"a":' * 100_000, "nested deeper than 1024 levels"),
        ("[NaN, " + "[" * 200_000, "nested too deep|nested deeper"),
        ("[" + "1" * 5000 + "]", "number is infinity"),
        ('[{"image_id": ' + "1" * 5000 + "}]", "number is infinity"),
        ("", "the file is empty; copy or export it again, or write \\[\\] for an empty list"),
        ("[1,", "invalid JSON at line 1, column .*; the file is cut off: copy or export it again"),
        ('{"a": 1} x', "invalid JSON at line 1, column"),
    ],
)
def test_fault_18_depth_and_digits_are_limited_and_invalid_json_has_a_location(
    tmp_path: Path, text: str, message: str
) -> None:
    table = truth(tmp_path)
    with pytest.raises(InputError, match=message):
        coco.read_detections(write(tmp_path / "dt.json", text), table)
    with pytest.raises(InputError, match=message):
        coco.read_truth(tmp_path / "dt.json")


@pytest.mark.parametrize("digits", [310, 400, 2000])
@pytest.mark.parametrize("sign", ["", "-"])
def test_fault_18_integers_beyond_the_range_of_floats_are_refused(
    tmp_path: Path, digits: int, sign: str
) -> None:
    table = truth(tmp_path)
    row = '[{"image_id": 1, "category_id": 1, "bbox": [1, 2, %s, 4], "score": 0.5}]' % (sign + "9" * digits)
    with pytest.raises(InputError, match=r"infinit|finite"):
        coco.read_detections(write(tmp_path / "dt.json", row), table)


def test_fault_18_a_file_beyond_the_limit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    with path.open("wb") as file:
        os.truncate(file.fileno(), 5 * 2**30)  # takes no space
    with pytest.raises(
        InputError, match=r"has 5.0 GiB, more than the limit of 4.0 GiB; convert it to Parquet"
    ):
        coco.read_truth(path)
    with pytest.raises(InputError, match=r"5.0 GiB"):
        coco.read_detections(path, truth(tmp_path))


def test_fault_20_gzip_is_read_and_a_bomb_is_not(tmp_path: Path) -> None:
    plain = truth(tmp_path)
    packed = tmp_path / "gt.json.gz"
    packed.write_bytes(gzip.compress((tmp_path / "gt.json").read_bytes()))
    assert coco.read_truth(packed).fingerprint == plain.fingerprint
    packer = zlib.compressobj(9, wbits=31)
    zeros = b"0" * 2**20
    packed.write_bytes(b"".join([*(packer.compress(zeros) for _ in range(80)), packer.flush()]))
    with pytest.raises(InputError, match=r"unpacks to more than 64 MiB; if that is correct, unpack it first"):
        coco.read_truth(packed)


def test_fault_20_gzip_in_several_members_is_read_and_a_damaged_file_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"[1,") + gzip.compress(b"2]"))
    assert read_bytes(path) == b"[1,2]"
    path.write_bytes(gzip.compress(os.urandom(5000))[:-2000])
    with pytest.raises(InputError, match=r"the gzip file is incomplete"):
        read_bytes(path)
    path.write_bytes(b"\x1f\x8b" + b"\xff" * 50)
    with pytest.raises(InputError, match=r"the gzip file is damaged"):
        read_bytes(path)


def test_fault_20_archives_are_refused_with_advice(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("../../evil.json", "[]")
    for data, message in (
        ((tmp_path / "a.zip").read_bytes(), "is a zip archive; unpack it and give the file in it"),
        (b"\x80\x04\x95", "is a Python pickle, which could run code; it is not read"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer, not the file itself"),
        ("[]".encode("utf-16"), "is UTF-16 text; save it as UTF-8"),
    ):
        (tmp_path / "x.json").write_bytes(data)
        with pytest.raises(InputError, match=message):
            coco.read_truth(tmp_path / "x.json")
    assert [path.name for path in tmp_path.parent.glob("evil*")] == []


def test_fault_20_a_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    truth(tmp_path)
    text = (tmp_path / "gt.json").read_text()
    (tmp_path / "bom.json").write_text(text, encoding="utf-8-sig")
    assert (
        coco.read_truth(tmp_path / "bom.json").fingerprint
        == coco.read_truth(tmp_path / "gt.json").fingerprint
    )


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE annotation SYSTEM "http://example.com/a.dtd"><annotation/>',
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation><filename>&x;</filename></annotation>',
        '<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]><annotation>&b;</annotation>',
    ],
)
def test_fault_21_xml_with_a_document_type_or_entities_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(
        InputError, match=r"a.xml: has a document type or entities, .*remove the <!DOCTYPE ...>"
    ):
        voc.read_annotation(write(tmp_path / "a.xml", text))


def test_fault_24_yaml_that_would_make_objects_is_refused_and_scripts_are_never_run(tmp_path: Path) -> None:
    bad = write(tmp_path / "bad.yaml", f"names: !!python/object/apply:os.system ['touch {tmp_path}/ran']\n")
    with pytest.raises(
        InputError, match=r"bad.yaml:1: could not determine a constructor .*; only plain values are allowed"
    ):
        yolo_description.read_yaml(bad)
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").touch()
    script = f"import os; os.system('touch {tmp_path}/ran')"
    good = write(tmp_path / "good.yaml", f'train: images\nnames: [x]\ndownload: "{script}"\n')
    assert yolo_description.read_yaml(good).names == ("x",)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../../etc/passwd", "leads outside the folder"),
        ("..\\..\\windows\\win.ini", "leads outside the folder"),
        ("a/../../b.jpg", "leads outside the folder"),
        ("/etc/passwd", "is an absolute path; expected a path relative to"),
        ("\\\\server\\share", "is an absolute path"),
        ("C:\\a.jpg", "is an absolute path"),
        ("link/a.jpg", "leads outside the folder"),
        ("a\0.jpg", "is not a file name"),
        ("", "is not a file name"),
        ("x" * 300, r"is longer than a file name can be \(255 bytes\)"),
        (
            "http://example.com/a.jpg",
            "is a URL; images are read only from the folder of the data set",
        ),
        ("file:///etc/passwd", "is a URL"),
    ],
)
def test_fault_25_a_file_name_that_leads_outside_the_folder_is_refused(
    tmp_path: Path, name: str, message: str
) -> None:
    root = tmp_path / "data"
    root.mkdir()
    (root / "link").symlink_to("/etc")
    with pytest.raises(InputError, match=message):
        resolve_under(root, name)


def test_fault_25_a_file_name_within_the_folder_is_found(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for name, path in {
        "a.jpg": "a.jpg",
        "images\\a b.jpg": "images/a b.jpg",
        "x/../ä 💥.jpg": "ä 💥.jpg",
        "link/a.jpg": "real/a.jpg",
    }.items():
        assert resolve_under(tmp_path, name) == tmp_path.resolve() / path


def test_fault_25_a_split_that_leads_outside_the_folder_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "data.yaml", "train: list.txt\nnames: [x]\n")
    (tmp_path / "list.txt").write_text("images/a.jpg\n../../b.jpg\n")
    with pytest.raises(InputError, match=r"list.txt:2: '../../b.jpg': leads outside the folder"):
        yolo_description.read_yaml(path)
    write(path, "train: /etc\nnames: [x]\n")
    with pytest.raises(InputError, match=r"train: '/etc': is an absolute path"):
        yolo_description.read_yaml(path)

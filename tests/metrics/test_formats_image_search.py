"""Images are found by the names that annotations of any tool and machine give."""

from __future__ import annotations

import unicodedata
import warnings
from pathlib import Path, PurePosixPath

import pytest
from PIL import Image

from metrics import read_truth
from metrics.errors import InputError, InputNote, InputWarning
from metrics.formats.image_paths import find_annotated, find_image_files
from metrics.formats.image_search import IMAGE_SUFFIXES, ImageSearch, find_under, without_suffix
from metrics.notes import note_of


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


@pytest.mark.parametrize(
    ("written", "file"),
    [
        ("images\\1\\a.jpg", "images/a.jpg"),
        ("..\\..\\label-studio\\media\\upload\\4\\a.jpg", "images/a.jpg"),
        ("../data/a.jpg", "images/a.jpg"),
        ("/home/me/parts/images/a.jpg", "images/a.jpg"),
        ("C:\\Users\\me\\images\\a.jpg", "images/a.jpg"),
        ("images/my%20a.jpg", "images/my a.jpg"),
        ("my%20a.jpg", "my%20a.jpg"),
        ("/data/local-files/?d=parts%2Fimages%2Fa.jpg", "images/a.jpg"),
        ("/data/upload/1/0bd1-a.jpg", "0bd1-a.jpg"),
        ("/data/upload/1/0bd1f00d-a.jpg", "images/a.jpg"),
        ("0bd1f00d-b.jpg", "0bd1f00d-b.jpg"),
        ("http://images.cocodataset.org/train2017/a.jpg", "train2017/a.jpg"),
        ("https://host/bucket/a.jpg?token=x%2Fb.jpg", "images/a.jpg"),
        ("s3://bucket/deep/a.jpg", "a.jpg"),
        ("file:///home/me/a.jpg", "a.jpg"),
        ("a.jpg", "images/a.JPG"),
        ("Images/A.JPG", "images/a.jpg"),
        (" a.jpg ", "images/a.jpg"),
        ("./images/./a.jpg", "images/a.jpg"),
        (unicodedata.normalize("NFD", "schön.jpg"), unicodedata.normalize("NFC", "schön.jpg")),
    ],
)
def test_a_name_finds_its_file_and_this_is_reported(
    tmp_path: Path, written: str, file: str, recwarn: pytest.WarningsRecorder
) -> None:
    touch(tmp_path, file, "images/b.jpg", "labels/a.txt")
    assert find_image_files([written], [tmp_path], tmp_path, "gt.json") == (tmp_path / file,)
    notes = [note_of(one.message) for one in recwarn if one.category is InputNote]
    exact = (tmp_path / written).is_file() and "\\" not in written
    assert [note.kind for note in notes] == ([] if exact else ["found_elsewhere"])


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (["ab12cd34-x.png", "x.jpg"], "ab12cd34-x.png"),
        (["old/ab12cd34-x.JPG", "x.jpg"], "old/ab12cd34-x.JPG"),
        (["x.png", "y/x.jpg"], "y/x.jpg"),
        (["x.png"], "x.png"),
    ],
)
def test_an_image_of_the_whole_name_is_preferred_to_one_without_the_prefix_of_an_upload(
    tmp_path: Path, files: list[str], found: str
) -> None:
    touch(tmp_path, *files)
    with pytest.warns(InputNote, match="found by name"):
        assert find_image_files(["ab12cd34-x.jpg"], [tmp_path], tmp_path, "gt") == (tmp_path / found,)
    assert ImageSearch(tmp_path).find_likely("ab12cd34-x.jpg", "gt") == tmp_path / found
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputNote)
        assert find_annotated([("ab12cd34-x", "ab12cd34-x.jpg")], [tmp_path], "gt") == (tmp_path / found,)


@pytest.mark.parametrize("files", [["ab12cd34-x.png", "ab12cd34-x.bmp", "x.jpg"], ["a/x.jpg", "b/x.jpg"]])
def test_fault_157_two_images_of_equal_right_are_refused(tmp_path: Path, files: list[str]) -> None:
    touch(tmp_path, *files)
    with pytest.raises(InputError, match=f"may be .*{files[0]}|may be .*{files[1]}"):
        find_image_files(["ab12cd34-x.jpg"], [tmp_path], tmp_path, "gt")
    with pytest.raises(InputError, match="may be"):
        find_annotated([("ab12cd34-x", "ab12cd34-x.jpg")], [tmp_path], "gt")


def test_the_longest_end_of_a_path_decides(tmp_path: Path) -> None:
    touch(tmp_path, "x/cam1/a.jpg", "x/cam2/a.jpg", "y/cam2/b.jpg")
    search = ImageSearch(tmp_path)
    assert search.find("/old/cam2/a.jpg", "gt") == tmp_path / "x/cam2/a.jpg"
    assert search.find("CAM1\\A.jpg", "gt") == tmp_path / "x/cam1/a.jpg"
    assert search.find("b.jpg", "gt") == tmp_path / "y/cam2/b.jpg"
    assert search.find("c.jpg", "gt") is None


def test_an_exact_name_is_preferred_to_one_of_other_case(tmp_path: Path) -> None:
    touch(tmp_path, "p/a.jpg", "q/A.jpg")
    search = ImageSearch(tmp_path)
    assert search.find("z/a.jpg", "gt") == tmp_path / "p/a.jpg"
    assert search.find("z/A.jpg", "gt") == tmp_path / "q/A.jpg"


def test_a_name_of_two_files_is_refused_and_data_images_chooses(tmp_path: Path) -> None:
    touch(tmp_path, "cam1/a.jpg", "cam2/a.jpg")
    with pytest.raises(
        InputError,
        match=r"image 'a.jpg' may be cam1/a.jpg or cam2/a.jpg in .*; set data.images to the folder",
    ):
        find_image_files(["a.jpg"], [tmp_path], tmp_path, "gt.json")
    folder = tmp_path / "cam2"
    assert find_image_files(["a.jpg"], [folder], folder, "gt.json") == (folder / "a.jpg",)


def test_two_names_of_one_file_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.jpg", "images/b.jpg")
    with pytest.raises(
        InputError, match=r"images 'cam1/a.jpg' and 'cam2/a.jpg' are both found as .*images/a.jpg"
    ):
        find_image_files(["cam1/a.jpg", "cam2/a.jpg"], [tmp_path], tmp_path, "gt.json")
    with pytest.raises(InputError, match=r"images 'a.jpg' and '../a.jpg' are both found"):
        find_image_files(["a.jpg", "../a.jpg", "b.jpg"], [tmp_path / "images"], tmp_path, "gt.json")


def test_files_outside_the_root_and_hidden_files_are_never_found(tmp_path: Path) -> None:
    touch(tmp_path, "out.jpg", "root/.cache/out.jpg", "root/__MACOSX/out.jpg", "root/a.jpg")
    (tmp_path / "root" / "link.jpg").symlink_to(tmp_path / "out.jpg")
    root = tmp_path / "root"
    for name in ("../out.jpg", str(tmp_path / "out.jpg"), "link.jpg"):
        with pytest.raises(InputError):
            find_image_files([name, "a.jpg"], [root], root, "gt.json")


def test_a_missing_image_has_a_path_without_a_file(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.jpg")
    paths = find_image_files(["a.jpg", "lost.jpg"], [tmp_path / "images"], tmp_path, "gt.json")
    assert [path.name for path in paths if not path.is_file()] == ["lost.jpg"]


def test_an_end_of_a_path_finds_folders_in_any_case(tmp_path: Path) -> None:
    touch(tmp_path, "Train/images/a.jpg", "valid/images/b.jpg")
    for name in ("../train/images", "C:\\parts\\Train\\images", "/x/Train/images/", "Parts-1/Train/images"):
        assert find_under(tmp_path, name) == tmp_path / "Train" / "images"
    assert find_under(tmp_path, "../test/images") is None


def test_the_image_called_like_its_annotation_file_is_used(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.jpg", "images/b.png", "images/c.JPG")
    with pytest.warns(
        InputWarning, match=r"1 of 2 annotation files names another image .*: xml/a names 'b.png'"
    ):
        paths = find_annotated([("xml/a", "b.png"), ("xml/c", "c.jpg")], [tmp_path / "images"], "train")
    assert paths == (tmp_path / "images/a.jpg", tmp_path / "images/c.JPG")
    only = find_annotated(
        [("xml/1", "b.png"), ("xml/c", "")], [tmp_path / "none", tmp_path / "images"], "train"
    )
    assert only == (tmp_path / "images/b.png", tmp_path / "images/c.JPG")


def test_an_image_of_two_annotation_files_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    with pytest.raises(InputError, match=r"xml/a and xml/b are both annotations of .*a.jpg"):
        find_annotated([("xml/a", "a.jpg"), ("xml/b", "a.jpg")], [tmp_path], "train")
    touch(tmp_path, "a.png")
    with pytest.raises(InputError, match=r"image 'xml/a' may be a.jpg or a.png"):
        find_annotated([("xml/a", "")], [tmp_path], "train") and find_annotated(
            [("xml/a", "")], [tmp_path], "t"
        )


@pytest.mark.parametrize("name", ["\0004", ".", "..", "/", "\0/x\0"])
def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "a.jpg")
    with pytest.raises(InputError, match=r"train: no file can have the name of image"):
        find_annotated([("a", "a.jpg"), (name, "")], [tmp_path], "train")
    with pytest.raises(InputError, match=r"train: no file can have the name of image"):
        find_image_files(["a.jpg", name], [tmp_path], tmp_path, "train")


def test_suffixes_are_those_that_pillow_reads() -> None:
    Image.init()
    known = {suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    stubs = {
        ".bufr",
        ".emf",
        ".eps",
        ".grib",
        ".h5",
        ".hdf",
        ".iim",
        ".mpeg",
        ".mpg",
        ".ps",
        ".wmf",
    }  # other programs read them
    assert {*known, ".mpo"} - stubs == IMAGE_SUFFIXES - ({".avif", ".avifs"} - known)


@pytest.mark.parametrize("name", ["a/b.jpg", "a.b/c.JPG", "x", "é.png", "1.5.png", "a/b.tar.tiff"])
def test_the_suffix_of_an_image_is_that_of_pathlib(name):
    assert without_suffix(name) == str(PurePosixPath(name).with_suffix(""))


@pytest.mark.parametrize("name", ["1.0", "frame_1.5", "a/b.tar.gz", ".hidden", "a/.b", "a.png/b"])
def test_what_follows_another_full_stop_is_a_part_of_the_name(name):
    assert without_suffix(name) == name


def test_images_named_by_numbers_keep_their_names_as_ids(tmp_path: Path) -> None:
    """Cut after the full stop, the names would be 1 and 1, or that of another image of a results file."""
    rows = [
        "image_id,width,height,bbox,class",
        *(f'{name},64,48,"[1, 2, 8, 8]",cat' for name in ("1.0", "X", "2.5")),
    ]
    (tmp_path / "train.csv").write_text("\n".join(rows) + "\n")
    assert read_truth(tmp_path).catalog.image_ids == ("1.0", "2.5", "X")


@pytest.mark.parametrize("name", [".", "..", "/", "a/.."])
def test_a_path_without_a_name_has_no_suffix(name):
    assert without_suffix(name) == str(PurePosixPath(name))


def test_folders_of_a_name_decide_where_ends_of_paths_are_alike(tmp_path: Path) -> None:
    touch(tmp_path, "train/images/a.jpg", "val/images/a.jpg", "val/images/b.jpg")
    search = ImageSearch(tmp_path)
    assert search.find("train/a.jpg", "gt") == tmp_path / "train/images/a.jpg"
    assert search.find("val\\a", "gt", by_stem=True) == tmp_path / "val/images/a.jpg"
    assert search.find("train/b.jpg", "gt") == tmp_path / "val/images/b.jpg"  # of its name there is one
    for name in ("a.jpg", "images/a.jpg", "test/a.jpg", "old/train/a.jpg"):
        with pytest.raises(InputError, match="may be"):
            search.find(name, "gt")

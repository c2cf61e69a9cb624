"""Public layouts of annotations as their publications define them, one small file each: boxes, and what is ignored."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from layouts.registry import write_json, write_text
from PIL import Image

from metrics import AnnotationTable, read_detections, read_truth
from metrics.errors import InputError, InputNote
from metrics.notes import note_of

LANDMARKS = (
    "488.906 373.643 0.0 542.089 376.442 0.0 515.031 412.83 0.0 485.174 425.893 0.0 538.357 431.491 0.0"
)
"""Of the first face of WIDER FACE, whose box is [449, 330, 122, 149] in `wider_face_train_bbx_gt.txt`."""


def image(file: Path, size: tuple[int, int] = (64, 48)) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(file)


def objects(path: Path, **options: Any) -> list[tuple[Any, ...]]:
    """Image, class and corners of each object, and `crowd` or `ignored` if it is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputNote)
        return rows(read_truth(path, **options))


def rows(table: AnnotationTable) -> list[tuple[Any, ...]]:
    columns = (table.image, table.label, table.boxes.tolist(), table.crowd, table.ignored)
    return sorted(
        (table.catalog.image_ids[i], table.catalog.classes[label], *box)
        + (("crowd",) if crowd else ())
        + (("ignored",) if ignored else ())
        for i, label, box, crowd, ignored in zip(*columns, strict=True)
    )


def noted(path: Path) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read_truth(path)
    return [note_of(one.message).kind for one in caught if issubclass(one.category, InputNote)]


def test_regions_and_others_of_visdrone_vid_are_ignored_for_every_class(tmp_path: Path) -> None:
    lines = "1,0,10,8,20,16,1,4,0,0\n1,1,1,2,5,6,0,0,0,0\n2,0,12,8,20,16,1,1,0,1\n2,3,30,8,9,9,1,11,0,0\n3,4,7,7,9,9,0,4,0,0\n"
    write_text(tmp_path / "annotations" / "uav0000013_00000_v.txt", lines)
    write_text(tmp_path / "annotations" / "uav0000013_01073_v.txt", "1,0,3,4,20,16,1,4,0,0\n")
    first, second = "sequences/uav0000013_00000_v/000000", "sequences/uav0000013_01073_v/000000"
    everything = ("car", "pedestrian")
    assert objects(tmp_path) == sorted(
        [
            (f"{first}1", "car", 10, 8, 30, 24),
            *((f"{first}1", name, 1, 2, 6, 8, "crowd") for name in everything),
            (f"{first}2", "pedestrian", 12, 8, 32, 24),
            *((f"{first}2", name, 30, 8, 39, 17, "crowd") for name in everything),
            *((f"{first}3", name, 7, 7, 16, 16, "crowd") for name in everything),
            (f"{second}1", "car", 3, 4, 23, 20),
        ]
    )
    image(tmp_path / f"{second}1.jpg")
    image(tmp_path / f"{second}2.jpg")
    assert len(read_truth(tmp_path).catalog.image_ids) == 5  # a frame without objects has only an image


def test_retinaface_has_sizes_and_scrfd_has_corners(tmp_path: Path) -> None:
    name = "0--Parade/0_Parade_marchingband_1_849.jpg"
    write_text(tmp_path / "label.txt", f"# {name}\n449 330 122 149 {LANDMARKS} 0.82\n")
    write_text(tmp_path / "labelv2.txt", f"# {name} 1024 1385\n449.00 330.00 571.00 479.00 {LANDMARKS}\n")
    expected = ("0_Parade_marchingband_1_849", "face", 449, 330, 571, 479)
    assert objects(tmp_path / "label.txt") == objects(tmp_path / "labelv2.txt") == [expected]
    assert read_truth(tmp_path / "labelv2.txt").catalog.sizes.tolist() == [[1385, 1024]]


def test_ignored_regions_and_crowds_of_widerperson_are_ignored_for_every_class(tmp_path: Path) -> None:
    write_text(
        tmp_path / "Annotations/000040.jpg.txt", "4\n1 8 9 32 24\n3 5 5 9 9\n4 1 1 60 40\n5 2 2 50 30\n"
    )
    write_text(tmp_path / "Annotations/000041.jpg.txt", "0\n")
    write_text(tmp_path / "val.txt", "000040\n")
    write_text(tmp_path / "train.txt", "000041\n")
    persons = ("pedestrian", "partially-visible person")
    assert objects(tmp_path, split="val") == sorted(
        [
            ("000040", "pedestrian", 8, 9, 32, 24),
            ("000040", "partially-visible person", 5, 5, 9, 9),
            *(("000040", name, 1, 1, 60, 40, "crowd") for name in persons),
            *(("000040", name, 2, 2, 50, 30, "crowd") for name in persons),
        ]
    )
    assert read_truth(tmp_path, "train").catalog.image_ids == ("000041",)
    write_text(tmp_path / "Annotations/000040.jpg.txt", "3\n1 8 9 32 24\n")
    with pytest.raises(InputError, match=r"000040.jpg.txt:1: 3 as the number of boxes, but there is 1 line"):
        read_truth(tmp_path)


def test_boxes_without_class_of_bbox_label_tool_are_called_like_their_folder(tmp_path: Path) -> None:
    write_text(tmp_path / "Labels/001/a.txt", "2\n8 8 32 24\n1 2 20 30 n02 dog\n")
    assert objects(tmp_path) == [("a", "n02 dog", 1, 2, 20, 30), ("a", "object", 8, 8, 32, 24)]
    write_text(tmp_path / "Labels/002/b.txt", "1\n3 4 5 6\n")
    assert objects(tmp_path)[1:] == [("a", "n02 dog", 1, 2, 20, 30), ("b", "002", 3, 4, 5, 6)]
    assert noted(tmp_path) == ["one_class"]


def test_the_boxes_of_a_wheat_image_are_one_text(tmp_path: Path) -> None:
    """David et al. 2021: x_min y_min x_max y_max, boxes separated by semicolons, `no_box` without any."""
    text = "image_name,BoxesString,domain\na.png,99 692 160 764;641 27 697 115,Arvalis_1\nb.png,no_box,Arvalis_1\n"
    write_text(tmp_path / "competition_val.csv", text)
    assert objects(tmp_path) == [
        ("a", "wheat head", 99, 692, 160, 764),
        ("a", "wheat head", 641, 27, 697, 115),
    ]
    assert read_truth(tmp_path).catalog.image_ids == ("a", "b")
    write_text(tmp_path / "competition_val.csv", text.replace("115", ""))
    with pytest.raises(
        InputError, match=r"competition_val.csv:2: BoxesString: box 2: expected four numbers x1"
    ):
        read_truth(tmp_path)


def test_the_frames_of_the_reef_have_lists_of_python(tmp_path: Path) -> None:
    boxes = "\"[{'x': 559, 'y': 213, 'width': 50, 'height': 32}, {'x': 1, 'y': 2, 'width': 3, 'height': 4}]\""
    text = f"video_id,sequence,video_frame,sequence_frame,image_id,annotations\n0,40258,16,16,0-16,{boxes}\n1,8399,0,0,1-0,[]\n"
    write_text(tmp_path / "train.csv", text)
    star = "crown-of-thorns starfish"
    assert objects(tmp_path) == [("16", star, 1, 2, 4, 6), ("16", star, 559, 213, 609, 245)]
    assert read_truth(tmp_path).catalog.file_names == ("video_1/0.jpg", "video_0/16.jpg")
    write_text(tmp_path / "train.csv", text.replace("'x': 559", "'x': __import__('os')"))
    with pytest.raises(InputError, match=r"train.csv:2: annotations"):
        read_truth(tmp_path)


def test_the_garments_of_deepfashion2_are_corners_of_numbered_items(tmp_path: Path) -> None:
    item = {"bounding_box": [249, 423, 287, 549], "category_id": 8, "category_name": "trousers"}
    other = {"bounding_box": [222, 216, 319, 448], "category_name": "vest dress"}
    document = {"item2": item, "source": "user", "pair_id": 1, "item1": other}
    write_json(tmp_path / "train/annos/000002.json", document)
    assert objects(tmp_path) == [
        ("000002", "trousers", 249, 423, 287, 549),
        ("000002", "vest dress", 222, 216, 319, 448),
    ]


def test_xml_files_of_voc_without_suffix_are_read(tmp_path: Path) -> None:
    """Stanford Dogs; a few of its files have the name `%s`."""
    corners = "<xmin>25</xmin><ymin>10</ymin><xmax>276</xmax><ymax>498</ymax>"
    for name, written in (("n02085620_7", "n02085620_7"), ("n02085620_199", "%s")):
        write_text(
            tmp_path / "Annotation" / "n02085620-Chihuahua" / name,
            f"<annotation>\n<filename>{written}</filename><size><width>333</width><height>500</height></size>"
            f"<object><name>Chihuahua</name><bndbox>{corners}</bndbox></object></annotation>",
        )
    write_text(tmp_path / "README", "Dogs\n")
    assert objects(tmp_path) == [
        ("n02085620_199", "Chihuahua", 24, 9, 276, 498),
        ("n02085620_7", "Chihuahua", 24, 9, 276, 498),
    ]


def test_the_box_of_a_face_of_fddb_touches_its_ellipse(tmp_path: Path) -> None:
    """Jain and Learned-Miller 2010: major radius, minor radius, angle, centre; its extreme points are found among many."""
    text = "2002/08/11/big/img_591\n1\n123.583300 85.549500 1.265839 269.693400 161.781200  1\n"
    write_text(tmp_path / "FDDB-fold-01-ellipseList.txt", text)
    t = np.linspace(0, 2 * np.pi, 100_001)
    u, v = 123.583300 * np.cos(t), 85.549500 * np.sin(t)
    x = 269.693400 + u * np.cos(1.265839) - v * np.sin(1.265839)
    y = 161.781200 + u * np.sin(1.265839) + v * np.cos(1.265839)
    assert objects(tmp_path) == [
        ("img_591", "face", *(pytest.approx(side, abs=1e-5) for side in (x.min(), y.min(), x.max(), y.max())))
    ]


def test_words_of_icdar_have_corners_or_boxes_and_unreadable_ones_are_ignored(tmp_path: Path) -> None:
    """The first lines of ICDAR 2015, of the test set of 2013 and of its training set."""
    first = "377,117,463,117,465,130,378,130,Genaxis Theatre\n374,155,409,155,409,170,374,170,###\n"
    write_text(tmp_path / "gt_img_1.txt", "\ufeff" + first)
    write_text(tmp_path / "gt_img_2.txt", '38, 43, 920, 215, "Tiredness"\n')
    write_text(tmp_path / "gt_img_3.txt", '158 128 411 181 "Footpath, 12"\n')
    assert objects(tmp_path) == [
        ("img_1", "text", 374, 155, 409, 170, "ignored"),
        ("img_1", "text", 377, 117, 465, 130),
        ("img_2", "text", 38, 43, 920, 215),
        ("img_3", "text", 158, 128, 411, 181),
    ]


def test_vehicles_of_ua_detrac_are_those_of_numbered_frames_and_its_regions_are_ignored(
    tmp_path: Path,
) -> None:
    """The first vehicle of MVI_20011; of the images, every other one is there."""
    box = '<box left="592.75" top="378.8" width="160.05" height="162.2"/>'
    target = f'<target id="1">{box}<attribute vehicle_type="car" truncation_ratio="0.1"/></target>'
    frames = "".join(
        f'<frame density="1" num="{k}"><target_list>{target}</target_list></frame>' for k in (3,)
    )
    region = '<ignored_region><box left="778.75" top="24.75" width="181.75" height="63.5"/></ignored_region>'
    write_text(tmp_path / "xml" / "MVI_20011.xml", f'<sequence name="MVI_20011">{region}{frames}</sequence>')
    for frame in (1, 3):
        image(tmp_path / "images" / "MVI_20011" / f"img{frame:05d}.jpg", (960, 540))
    region_corners = (778.75, 24.75, 960.5, 88.25)
    assert objects(tmp_path) == [
        ("img00001", "car", *region_corners, "crowd"),
        ("img00003", "car", 592.75, 378.8, pytest.approx(752.8), pytest.approx(541)),
        ("img00003", "car", *region_corners, "crowd"),
    ]
    assert noted(tmp_path) == ["ignored_regions"]


def test_difficult_ships_of_hrsc2016_are_ignored(tmp_path: Path) -> None:
    side = "<box_xmin>{}</box_xmin><box_ymin>2</box_ymin><box_xmax>30</box_xmax><box_ymax>40</box_ymax>"
    ships = "".join(
        f"<HRSC_Object>{side.format(x)}<difficult>{flag}</difficult></HRSC_Object>"
        for x, flag in ((1, 0), (5, 1))
    )
    size = "<Img_SizeWidth>64</Img_SizeWidth><Img_SizeHeight>48</Img_SizeHeight>"
    text = f"<HRSC_Image>{size}<HRSC_Objects>{ships}</HRSC_Objects></HRSC_Image>"
    write_text(tmp_path / "Annotations" / "100000001.xml", text)
    assert objects(tmp_path) == [
        ("100000001", "ship", 1, 2, 30, 40),
        ("100000001", "ship", 5, 2, 30, 40, "ignored"),
    ]


def fair1m(names: str, points: str) -> str:
    objects = f"<object><coordinate>pixel</coordinate><type>rectangle</type>{names}<points>{points}</points></object>"
    return f"<annotation><source><filename>a.tif</filename></source><objects>{objects}</objects></annotation>"


def test_the_objects_of_fair1m_have_points_and_possible_results(tmp_path: Path) -> None:
    """Sun et al. 2022: a turned rectangle as five points, the first again at the end; coordinates are edges."""
    names = "<possibleresult><name>Boeing737</name></possibleresult>"
    points = "".join(
        f"<point>{x},{y}</point>" for x, y in ((20, 4.5), (32, 14), (20, 24), (8, 14), (20, 4.5))
    )
    file = write_text(tmp_path / "labelXml" / "0.xml", fair1m(names, points))
    assert objects(tmp_path) == [("0", "Boeing737", 8, 4.5, 32, 24)]
    file.write_text(fair1m(names, "<point>20 4</point>"))
    with pytest.raises(InputError, match=r"0.xml: object 1 \(Boeing737\): point: expected x,y, got '20 4'"):
        read_truth(tmp_path)


def test_fault_179_objects_of_voc_in_an_unknown_place_are_refused(tmp_path: Path) -> None:
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
    text = f"<annotation><items><object><name>cat</name>{box}</object></items></annotation>"
    file = write_text(tmp_path / "a.xml", text)
    with pytest.raises(
        InputError, match=r"a.xml: has <object> elsewhere than in <annotation> or <objects>; move it"
    ):
        read_truth(tmp_path)
    file.write_text(text.replace("items>", "objects>"))
    assert objects(tmp_path) == [("a", "cat", 0, 0, 9, 9)]


def ground_truth(folder: Path, *lines: str) -> Path:
    write_text(folder / "a.txt", "".join(f"{line}\n" for line in lines))
    write_text(folder / "b.txt", "")
    return folder.parent


AMBIGUOUS = "cat 8 8 32 24"
"""Corners, or a position and a size."""


@pytest.mark.parametrize(
    ("folder", "lines", "boxes"),
    [
        ("ground-truth", [AMBIGUOUS], [(8, 8, 32, 24)]),
        ("groundtruths", [AMBIGUOUS, "cat 2 2 9 9 difficult"], [(2, 2, 9, 9, "ignored"), (8, 8, 32, 24)]),
        ("groundtruths", [AMBIGUOUS, "cat 40 30 20 10"], [(8, 8, 40, 32), (40, 30, 60, 40)]),
        ("groundtruths", [AMBIGUOUS, "cat 40 30 60 40"], [(8, 8, 32, 24), (40, 30, 60, 40)]),
        ("groundtruths", ["cat 0.5 0.5 0.25 0.5"], [(24, 12, 40, 36)]),
    ],
    ids=["Cartucho's folder", "difficult", "x y w h", "x1 y1 x2 y2", "fractions"],
)
def test_the_order_of_numbers_of_evaluators_is_the_one_that_fits(
    tmp_path: Path, folder: str, lines: list[str], boxes: list[tuple[Any, ...]]
) -> None:
    for name in "ab":
        image(tmp_path / "images" / f"{name}.jpg")
    root = ground_truth(tmp_path / folder, *lines)
    assert objects(root) == [("a", "cat", *box) for box in boxes]
    assert noted(root) == ["guessed_layout"]
    assert read_truth(root).catalog.image_ids == ("a", "b")


def as_cartucho(folder: Path) -> Path:
    shutil.move(folder, folder.parent / "ground-truth")
    return folder.parent


def as_table(folder: Path) -> Path:
    return write_text(folder.parent / "boxes.csv", "image_id,class,x1,y1,x2,y2\na,cat,8,8,32,24\n")


@pytest.mark.parametrize("advised", [as_cartucho, as_table])
def test_fault_175_an_order_that_cannot_be_told_is_refused_and_the_advice_is_right(
    tmp_path: Path, advised: Callable[[Path], Path]
) -> None:
    root = ground_truth(tmp_path / "data" / "groundtruths", AMBIGUOUS)
    with pytest.raises(
        InputError,
        match=r"the boxes fit class x1 y1 x2 y2 and class x y w h; call the folder ground-truth if .*, add the images, or convert",
    ):
        read_truth(root)
    assert objects(advised(root / "groundtruths")) == [("a", "cat", 8, 8, 32, 24)]


def test_one_wrong_box_does_not_change_the_order_of_all_others(tmp_path: Path) -> None:
    """Ninety-nine corners and one box whose corners are swapped: neither order fits well enough to be chosen."""
    lines = [f"cat {x} {x} {2 * x} {2 * x}" for x in range(10, 109)]
    root = ground_truth(tmp_path / "groundtruths", *lines, "cat 50 50 40 40")
    with pytest.raises(InputError, match=r"the boxes fit class x1 y1 x2 y2 and class x y w h"):
        read_truth(root)


def test_detections_in_the_folder_of_an_evaluator_are_read_beside_the_ground_truth(tmp_path: Path) -> None:
    for name in "ab":
        image(tmp_path / "images-optional" / f"{name}.jpg")
    ground_truth(tmp_path / "ground-truth", AMBIGUOUS)
    write_text(tmp_path / "detection-results" / "a.txt", "cat 0.75 40 30 60 40\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputNote)
        found = read_detections(tmp_path, read_truth(tmp_path))
    assert (found.boxes.tolist(), found.score.tolist()) == ([[40, 30, 60, 40]], [0.75])


def test_detections_as_ground_truth_of_an_evaluator_are_refused(tmp_path: Path) -> None:
    root = ground_truth(tmp_path / "ground-truth", AMBIGUOUS, "cat 0.75 40 30 60 40")
    with pytest.raises(
        InputError, match=r"a.txt:2: .* has a score, as detections do; give the folder as detections"
    ):
        read_truth(root)


def test_results_of_visdrone_vid_have_the_category_in_the_eighth_value(tmp_path: Path) -> None:
    write_text(tmp_path / "annotations" / "uav.txt", "1,0,10,8,20,16,1,4,0,0\n2,0,12,8,20,16,1,1,0,1\n")
    truth = read_truth(tmp_path)
    results = write_text(
        tmp_path / "found" / "uav.txt", "1,3,10,8,20,16,0.5,4,-1,-1\n2,3,1,2,9,9,0.25,1,-1,-1\n"
    )
    found = read_detections(results.parent, truth)
    assert [truth.catalog.classes[label] for label in found.label] == ["car", "pedestrian"]
    assert found.boxes.tolist() == [[10, 8, 30, 24], [1, 2, 10, 11]]
    assert found.image.tolist() == [0, 1]

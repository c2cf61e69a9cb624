"""Data sets of text in scenes and of aerial images in files of their own."""

from __future__ import annotations

from pathlib import Path

from layouts.registry import Scene, truth, write_lines, write_text


@truth("icdar_2015", "icdar_text", splits=True, renamed={"cat": "text", "dog": "text"})
def icdar_2015(root: Path, scene: Scene) -> None:
    """ICDAR 2015: four corners of each word, and its letters, which may have commas."""
    for split, of in scene.splits.items():
        for picture in of:
            picture.save(root / f"{split}_images", ".jpg")
            lines = [(x0, y0, x1, y0, x1, y1, x0, y1, "one, two") for _, (x0, y0, x1, y1) in picture.objects]
            write_lines(root / f"{split}_gt" / f"gt_{picture.name}.txt", lines, ",")


@truth("nwpu_vhr10", "nwpu_vhr10", renamed={"cat": "airplane", "dog": "ship"})
def nwpu_vhr10(root: Path, scene: Scene) -> None:
    """NWPU VHR-10: corners in parentheses, with or without spaces."""
    for picture in scene.pictures:
        picture.save(root / "positive image set", ".jpg")
        lines = [
            f"({round(x0)},{round(y0)}),( {round(x1)}, {round(y1)}),{label + 1} \n"
            for label, (x0, y0, x1, y1) in picture.objects
        ]
        write_text(root / "ground truth" / f"{picture.name}.txt", "".join(lines))


@truth("hrsc2016", "hrsc2016", splits=True, renamed={"cat": "ship", "dog": "ship"})
def hrsc2016(root: Path, scene: Scene) -> None:
    """HRSC2016: an XML file for each image, here in folders of splits."""
    for split, of in scene.splits.items():
        for picture in of:
            picture.save(root / split / "AllImages")
            ships = "".join(
                f"<HRSC_Object><Class_ID>100000006</Class_ID><box_xmin>{x0:g}</box_xmin><box_ymin>{y0:g}</box_ymin>"
                f"<box_xmax>{x1:g}</box_xmax><box_ymax>{y1:g}</box_ymax><difficult>0</difficult></HRSC_Object>"
                for _, (x0, y0, x1, y1) in picture.objects
            )
            text = (
                f"<HRSC_Image><Img_SizeWidth>64</Img_SizeWidth><Img_SizeHeight>48</Img_SizeHeight>"
                f"<HRSC_Objects>{ships}</HRSC_Objects></HRSC_Image>"
            )
            write_text(root / split / "Annotations" / f"{picture.name}.xml", text)


@truth("fddb", "fddb", renamed={"cat": "face", "dog": "face"})
def fddb(root: Path, scene: Scene) -> None:
    """FDDB: names without suffix; ellipses that are not turned have the boxes of the scene."""
    lines: list[tuple[object, ...]] = []
    for picture in scene.pictures:
        picture.save(root / "originalPics" / "2002" / "08", ".jpg")
        lines += [(f"2002/08/{picture.name}",), (len(picture.objects),)]
        lines += [
            ((y1 - y0) / 2, (x1 - x0) / 2, 1.5707963267948966, (x0 + x1) / 2, (y0 + y1) / 2, 1)
            for _, (x0, y0, x1, y1) in picture.objects
        ]
    write_lines(root / "FDDB-folds" / "FDDB-fold-01-ellipseList.txt", lines)

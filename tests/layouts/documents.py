"""Data sets of documents, of text in photographs, and of medical images in files of their own."""

from __future__ import annotations

from pathlib import Path

from layouts.registry import Scene, truth, write_json, write_lines, write_text, xywh

_TEXT = {"cat": "text", "dog": "text"}


@truth("funsd", "funsd", splits=True)
def funsd(root: Path, scene: Scene) -> None:
    """FUNSD: a file for each page, with words and links."""
    for split, of in scene.splits.items():
        folder = root / f"{split}ing_data" if split != "val" else root / "val_data"
        for picture in of:
            picture.save(folder / "images")
            form = [
                {
                    "box": [*box],
                    "text": "Name:",
                    "label": scene.classes[label],
                    "words": [],
                    "linking": [[0, 1]],
                    "id": k,
                }
                for k, (label, box) in enumerate(picture.objects)
            ]
            write_json(folder / "annotations" / f"{picture.name}.json", {"form": form or [], "box": None})


@truth("coco_text", "coco_text", splits=True, renamed=_TEXT)
def coco_text(root: Path, scene: Scene) -> None:
    """COCO-Text: objects by id, and the split of each image."""
    images, words = {}, {}
    for split, of in scene.splits.items():
        for picture in of:
            picture.save(root / "train2014", ".jpg")
            identity = str(len(images) + 1)
            height, width = picture.size
            images[identity] = {
                "id": int(identity),
                "set": split,
                "file_name": f"{picture.name}.jpg",
                "width": width,
                "height": height,
            }
            for _, box in picture.objects:
                key = str(len(words) + 1)
                words[key] = {
                    "bbox": xywh(box),
                    "image_id": int(identity),
                    "legibility": "legible",
                    "utf8_string": "STOP",
                }
    of_images = {key: [int(word) for word in words if words[word]["image_id"] == int(key)] for key in images}
    document = {"cats": {}, "anns": words, "imgs": images, "imgToAnns": of_images, "info": {}}
    write_json(root / "cocotext.v2.json", document)


@truth("deep_lesion", "deep_lesion", splits=True, renamed={"cat": "lesion", "dog": "lesion"}, empty=False)
def deep_lesion(root: Path, scene: Scene) -> None:
    """DeepLesion: slices in the folder of their series."""
    names = (
        "File_name",
        "Key_slice_index",
        "Bounding_boxes",
        "Coarse_lesion_type",
        "Possibly_noisy",
        "Image_size",
        "Train_Val_Test",
    )
    lines: list[tuple[object, ...]] = [names]
    for number, of in enumerate(scene.splits.values(), 1):
        for picture in of:
            picture.save(root / "Images_png" / "000001_01_01")
            for _, box in picture.objects:
                corners = ", ".join(map(str, box))
                size = f"{picture.size[1]}, {picture.size[0]}"
                lines.append(
                    (f"000001_01_01_{picture.name}.png", 1, f'"{corners}"', -1, 0, f'"{size}"', number)
                )
    write_lines(root / "DL_info.csv", lines, ",")


@truth("total_text", "total_text", splits=True, renamed=_TEXT)
def total_text(root: Path, scene: Scene) -> None:
    """Total-Text: polygons as NumPy prints them, long ones on several lines, with quotes and brackets in words."""
    for split, of in scene.splits.items():
        for picture in of:
            picture.save(root / "Images" / split.capitalize(), ".jpg")
            lines = []
            for k, (_, (x0, y0, x1, y1)) in enumerate(picture.objects):
                x = " ".join(f"{value:g}" for value in (x0, x1, x1, x0))
                y = "\n  ".join(f"{value:g}" for value in (y0, y0, y1, y1))
                lines.append(
                    f"x: [[{x}]], y: [[{y}]], ornt: [u'{'ch'[k % 2]}'], transcriptions: [u\"it's [1]\"]\n"
                )
            folder = root / "Groundtruth" / "Polygon" / split.capitalize()
            write_text(folder / f"poly_gt_{picture.name}.txt", "".join(lines))


@truth("imagenet_loc", "prediction_string", empty=False)
def imagenet_loc(root: Path, scene: Scene) -> None:
    """LOC_train_solution.csv: names without suffix, a blank at the end of each line."""
    lines: list[tuple[object, ...]] = [("ImageId", "PredictionString")]
    for picture in scene.pictures:
        picture.save(root / "train", ".jpg")
        words = [f"{scene.classes[label]} {' '.join(map(str, box))} " for label, box in picture.objects]
        lines += [(picture.name, "".join(words))] if words else []
    write_lines(root / "LOC_train_solution.csv", lines, ",")


@truth("imglab", "imglab", splits=True)
def imglab(root: Path, scene: Scene) -> None:
    """dlib: a file for each split, with a style sheet."""
    for split, of in scene.splits.items():
        images = []
        for picture in of:
            picture.save(root / split, ".jpg")
            boxes = "".join(
                f"<box top='{y0:g}' left='{x0:g}' width='{x1 - x0:g}' height='{y1 - y0:g}'><label>{scene.classes[label]}</label></box>"
                for label, (x0, y0, x1, y1) in picture.objects
            )
            images.append(f"<image file='{split}/{picture.name}.jpg'>{boxes}</image>")
        head = "<?xml version='1.0' encoding='UTF-8'?>\n<?xml-stylesheet type='text/xsl' href='x.xsl'?>\n"
        write_text(
            root / f"{split}.xml",
            f"{head}<dataset><name>n</name><images>{''.join(images)}</images></dataset>",
        )


@truth("exdark", "bbgt")
def exdark(root: Path, scene: Scene) -> None:
    """ExDark: names with suffix before .txt."""
    for picture in scene.pictures:
        picture.save(root / "ExDark" / "Cat")
        lines = [(scene.classes[label], *xywh(box), 0, 0, 0, 0, 0, 0, 0) for label, box in picture.objects]
        write_lines(root / "Annno" / "Cat" / f"{picture.name}.png.txt", [("% bbGt version=3",), *lines])


@truth("mtsd", "mtsd", splits=True)
def mtsd(root: Path, scene: Scene) -> None:
    """Mapillary: lists of images without suffix in splits."""
    for split, of in scene.splits.items():
        for picture in of:
            picture.save(root / "images", ".jpg")
            objects = [
                {
                    "label": scene.classes[label],
                    "bbox": dict(zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)),
                    "properties": {"dummy": False},
                }
                for label, box in picture.objects
            ]
            document = {
                "width": picture.size[1],
                "height": picture.size[0],
                "ispano": False,
                "objects": objects,
            }
            write_json(root / "annotations" / f"{picture.name}.json", document)
        write_text(root / "splits" / f"{split}.txt", "".join(f"{picture.name}\n" for picture in of))


@truth("airbus_ships", "run_lengths", renamed={"cat": "ship", "dog": "ship"})
def airbus_ships(root: Path, scene: Scene) -> None:
    """Run lengths of each ship down the columns; an image without ships has an empty one."""
    lines: list[tuple[object, ...]] = [("ImageId", "EncodedPixels")]
    for picture in scene.pictures:
        picture.save(root / "train_v2", ".jpg")
        height, name = picture.size[0], f"{picture.name}.jpg"
        for _, (x0, y0, x1, y1) in picture.objects:
            runs = [f"{x * height + int(y0) + 1} {int(y1 - y0)}" for x in range(int(x0), int(x1))]
            lines.append((name, " ".join(runs)))
        lines += [] if picture.objects else [(name, "")]
    write_lines(root / "train_ship_segmentations_v2.csv", lines, ",")

"""Sequences of MOT Challenge, and detections of their frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tiny_data import Picture

from layouts.registry import Found, Scene, detections, truth, write_lines, write_text, xywh

_PERSONS = {"cat": "pedestrian", "dog": "people"}


def _frames(pictures: Sequence[Picture]) -> dict[str, int]:
    """Frame of each picture: frames are the images in alphabetical order."""
    return {
        name: frame for frame, name in enumerate(sorted(f"{picture.name}.png" for picture in pictures), 1)
    }


@truth("mot_challenge", "mot", splits=True)
def mot(root: Path, scene: Scene) -> None:
    """A sequence for each split as CVAT exports it, with names of classes; images keep their names."""
    for split, of in scene.splits.items():
        folder = root / split / f"seq-{split}"
        frames = _frames(of)
        lines = []
        for picture in of:
            picture.save(folder / "img1")
            lines += [
                (frames[f"{picture.name}.png"], k + 1, *xywh(box), 1, label + 1, 0.75)
                for k, (label, box) in enumerate(picture.objects)
            ]
        write_lines(folder / "gt" / "gt.txt", lines, ",")
        write_text(folder / "gt" / "labels.txt", "\n".join(scene.classes) + "\n")
        info = f"[Sequence]\nname=seq-{split}\nimDir=img1\nframeRate=30\nseqLength={len(of)}\n"
        write_text(folder / "seqinfo.ini", f"{info}imWidth=64\nimHeight=48\nimExt=.png\n")


@detections("mot_det")
def mot_det(root: Path, pictures: Sequence[Picture], found: Sequence[Found]) -> Path:
    """``det/det.txt`` of the only sequence, with class numbers."""
    frames = _frames(pictures)
    lines = [(frames[f"{e.picture.name}.png"], -1, *xywh(e.box), e.score, e.label + 1, -1) for e in found]
    write_lines(root / "det" / "det.txt", lines, ",")
    return root


@truth("visdrone_vid", "visdrone_vid", splits=True, renamed=_PERSONS)
def visdrone_vid(root: Path, scene: Scene) -> None:
    """VisDrone-VID: a sequence for each split; a frame without objects has no line."""
    for split, of in scene.splits.items():
        folder, sequence = root / f"VisDrone2019-VID-{split}", f"uav-{split}_v"
        frames = _frames(of)
        lines = []
        for picture in of:
            picture.save(folder / "sequences" / sequence)
            lines += [
                (frames[f"{picture.name}.png"], k, *map(round, xywh(box)), 1, label + 1, 0, 0)
                for k, (label, box) in enumerate(picture.objects)
            ]
        write_lines(folder / "annotations" / f"{sequence}.txt", lines, ",")


@detections("visdrone_vid_results")
def visdrone_vid_results(root: Path, pictures: Sequence[Picture], found: Sequence[Found]) -> Path:
    """VisDrone-VID: a file per sequence, of which there is one; the last two values are unused."""
    frames = _frames(pictures)
    lines = [
        (frames[f"{e.picture.name}.png"], k, *xywh(e.box), e.score, e.label + 1, -1, -1)
        for k, e in enumerate(found)
    ]
    write_lines(root / "uav.txt", lines, ",")
    return root


@truth("uavdt", "uavdt", splits=True, renamed={"cat": "car", "dog": "truck"})
def uavdt(root: Path, scene: Scene) -> None:
    """UAVDT: files of all sequences in one folder; the folders of attributes tell the splits."""
    for number, (split, of) in enumerate(scene.splits.items(), 1):
        sequence = f"M{number:02d}01"
        frames = _frames(of)
        lines = []
        for picture in of:
            picture.save(root / "UAV-benchmark-M" / sequence)
            lines += [
                (frames[f"{picture.name}.png"], k, *map(round, xywh(box)), 1, 1, label + 1)
                for k, (label, box) in enumerate(picture.objects)
            ]
        folder = root / "UAV-benchmark-MOTD_v1.0" / "GT"
        write_lines(folder / f"{sequence}_gt_whole.txt", lines, ",")
        write_lines(folder / f"{sequence}_gt.txt", [(*line[:6], 1, 1, 1) for line in lines], ",")
        write_lines(folder / f"{sequence}_gt_ignore.txt", [], ",")
        write_text(root / "M_attr" / split / f"{sequence}_attr.txt", "1,0,0,0,1,0,1,1,0,0\n")

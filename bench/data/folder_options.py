"""Options of every data set on disk."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from bench.data.types import DataOptions

Share = Annotated[float, Field(gt=0, le=1)]

ClassChoice = dict[str, str] | tuple[str, ...]
"""New name of each class by its name, or the names of the classes to use."""

LeftOut = Literal["removed", "ignored", "regions"]


class FolderOptions(DataOptions):
    """Options of every data set on disk."""

    PATHS: ClassVar[tuple[str, ...]] = ("images", "train", "val", "test")
    """Options that are paths; in a file that lists parts they are relative to it. Subclasses name theirs."""

    images: str | None = None
    """Folder of the images, if it is not beside the annotations."""
    train: str | None = None
    """Another data set, in any format, to use as the train split. Classes are matched by name."""
    val: str | None = None
    """Another data set to use as the val split."""
    test: str | None = None
    """Another data set to use as the test split: a separate test set."""
    splits: Literal["given", "drawn"] = "given"
    """given: use the splits of the data set, and draw those that are missing; drawn: draw all of them."""
    shares: tuple[Share, Share, Share] = (0.7, 0.15, 0.15)
    """Shares of train, val and test, if they are drawn."""
    groups: str | None = None
    """Images that stay together when splits are drawn, such as those of one video or patient: a field of COCO's images;
    folder; a .csv file of images and groups; or a regular expression on the file's name, whose parentheses mark the group."""
    leaks: Literal["kept", "dropped"] = "kept"
    """Images of train that are also in val or test (equal files, or of one group), and images of val that are also in test:
    kept, with a warning, or dropped."""
    classes: ClassChoice = Field(default_factory=dict)
    """Classes to use, as a list of names; or new names by name: the same new name merges classes, an empty one leaves a
    class out, and "*" stands for all classes that are not named."""
    left_out: LeftOut = "removed"
    """Objects of classes that are left out: removed; ignored, like VOC's difficult objects (a detection that matches one does
    not count); or regions in which no detection counts, like COCO's crowds."""
    check: Literal["exists", "header", "whole"] = "header"
    """How each image is checked when the data set is opened: the file exists; its header is readable and has the
    annotated size; all of it can be decoded."""
    allow_missing: bool = False
    """Leave unreadable images out, with a warning. Results are then based on fewer images and not comparable."""

    @field_validator("classes")
    @classmethod
    def _names_of_classes(cls, value: ClassChoice) -> ClassChoice:
        if "" in value:
            raise ValueError("the name of a class is empty")
        if isinstance(value, tuple):
            repeated = sorted({name for name in value if value.count(name) > 1})
            if repeated:
                raise ValueError(f"class {repeated[0]!r} is listed twice")
        return value


def path_options(options: type[DataOptions]) -> set[str]:
    """Names of the options that are paths."""
    return {name for base in options.__mro__ for name in getattr(base, "PATHS", ())}

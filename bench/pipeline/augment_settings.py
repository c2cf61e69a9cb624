"""Settings of augmentation; importable without torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from detectors.config import Config
from detectors.search_range import OnlyIf, Range

Fraction = Annotated[float, Field(ge=0, le=1)]


class AugmentConfig(Config):
    """Random changes of training images, drawn independently for each image and epoch."""

    flip: Annotated[Fraction, Range(0, 0.5)] = 0.5
    """Probability of a horizontal flip; 0 if left and right differ, as in text."""
    flip_vertical: Annotated[Fraction, Range(0, 0.5)] = 0.0
    """Probability of a vertical flip, for aerial and microscope images."""
    zoom_out: Annotated[Fraction, Range(0, 0.5)] = 0.2
    """Probability of placing the image on a larger canvas, which makes objects smaller (SSD, section 3.6)."""
    zoom_out_to: Annotated[float, Field(ge=1, le=8), Range(1.5, 4), OnlyIf("augment.zoom_out", above=0)] = 2.0
    """Largest side of that canvas, as a multiple of the image's side."""
    iou_crop: Annotated[Fraction, Range(0, 0.8)] = 0.5
    """Probability of a crop that contains the centre of an object and has a random minimum IoU with one (SSD, section
    2.2). Objects with their centre outside are dropped, the others are clipped."""
    crop_from: Annotated[float, Field(ge=0.1, lt=1), Range(0.3, 0.8), OnlyIf("augment.iou_crop", above=0)] = (
        0.5
    )
    """Smallest side of the crop, as a fraction of the image's side."""
    photometric: Annotated[Fraction, Range(0, 0.8)] = 0.5
    """Probability of changing brightness, contrast, saturation and hue."""
    strength: Annotated[
        float, Field(ge=0, le=0.9), Range(0.1, 0.5), OnlyIf("augment.photometric", above=0)
    ] = 0.25
    """Largest relative change of brightness, contrast and saturation; 0.25 is a factor of 0.75 to 1.25."""
    hue: Annotated[float, Field(ge=0, le=0.5), Range(0, 0.1), OnlyIf("augment.photometric", above=0)] = 0.0
    """Largest change of hue, as a fraction of the colour circle."""
    min_side: Annotated[float, Field(ge=1)] = 2.0
    """Smallest side of a training target in pixels of the network's input; smaller boxes are dropped."""
    min_visible: Annotated[Fraction, Range(0.1, 0.5)] = 0.25
    """Smallest share of an object's box that is still visible in a mosaic, after a warp, or behind pasted objects and
    erased rectangles; objects that are less visible are ignored in training."""
    mosaic: Annotated[Fraction, Range(0, 1)] = 0.0
    """Probability of a mosaic of four images: the image and three others from a group of 16 that follow each other in the
    epoch (YOLOv4, section 3.3). Images in a mosaic are neither zoomed out nor cropped."""
    mosaic_scale: Annotated[
        float, Field(ge=0.1, le=1), Range(0.3, 0.8), OnlyIf("augment.mosaic", above=0)
    ] = 0.5
    """Smallest size of an image in a mosaic, as a fraction of its size without a mosaic."""
    close_mosaic: Annotated[
        Fraction, Range(0, 0.3), OnlyIf("augment.mosaic", "augment.mixup", "augment.copy_paste", above=0)
    ] = 0.1
    """Last share of the training, in which images are not combined: no mosaic, mixup or copy_paste (YOLOX, section 2.2).
    Rounded to whole epochs, unless a budget ends training."""
    mixup: Annotated[Fraction, Range(0, 0.5)] = 0.0
    """Probability of blending the image with another of the split, with the objects of both (MixUp, Zhang et al. 2019)."""
    mixup_alpha: Annotated[
        float, Field(ge=0.1, le=100), Range(1, 32, log=True), OnlyIf("augment.mixup", above=0)
    ] = 8.0
    """The weight of an image in a blend has the distribution Beta(alpha, alpha): the higher, the closer to 0.5."""
    copy_paste: Annotated[Fraction, Range(0, 0.5)] = 0.0
    """Probability of pasting objects of another image into the image, rare classes and small objects first: by their masks
    where the data set has some, otherwise the box with soft edges (Ghiasi et al. 2021; Dwibedi et al. 2017)."""
    paste_count: Annotated[int, Field(ge=1, le=100), Range(1, 10), OnlyIf("augment.copy_paste", above=0)] = 3
    """Largest number of objects that are pasted."""
    warp: Annotated[Fraction, Range(0, 1)] = 0.0
    """Probability of a warp: one transform of the image that combines `rotate`, `shear`, `translate`, `rescale` and `perspective`."""
    rotate: Annotated[float, Field(ge=0, le=180), Range(0, 30), OnlyIf("augment.warp", above=0)] = 5.0
    """Largest rotation of a warp, in degrees."""
    shear: Annotated[float, Field(ge=0, le=30), Range(0, 10), OnlyIf("augment.warp", above=0)] = 2.0
    """Largest shear of a warp in each direction, in degrees."""
    translate: Annotated[float, Field(ge=0, le=0.9), Range(0, 0.3), OnlyIf("augment.warp", above=0)] = 0.1
    """Largest translation of a warp, as a fraction of the sides."""
    rescale: Annotated[float, Field(ge=0, le=4), Range(0, 1), OnlyIf("augment.warp", above=0)] = 0.25
    """Largest change of size of a warp: 0.25 is a factor of 1/1.25 to 1.25. Mosaics are only enlarged."""
    perspective: Annotated[float, Field(ge=0, le=0.9), Range(0, 0.4), OnlyIf("augment.warp", above=0)] = 0.0
    """Largest perspective of a warp in each direction: the relative difference of scale between opposite edges is about
    twice this value."""
    warp_shape: Literal["ellipse", "box"] = "ellipse"
    """Shape that an object is assumed to have in its box; after a warp, the new box encloses this shape. `box` makes boxes
    of rotated objects too large for most objects."""
    erase: Annotated[Fraction, Range(0, 0.5)] = 0.0
    """Probability of replacing rectangles of the image by noise (random erasing, Zhong et al. 2020; cutout)."""
    erase_area: Annotated[float, Field(gt=0, le=0.5), Range(0.02, 0.2), OnlyIf("augment.erase", above=0)] = (
        0.1
    )
    """Largest area of such a rectangle, as a fraction of the image."""
    erase_count: Annotated[int, Field(ge=1, le=100), Range(1, 5), OnlyIf("augment.erase", above=0)] = 1
    """Largest number of such rectangles."""
    equalize: Annotated[Fraction, Range(0, 0.3)] = 0.0
    """Probability of spreading the brightness of the image over the whole range: by its histogram, or by its extremes."""
    gray: Annotated[Fraction, Range(0, 0.3)] = 0.0
    """Probability of removing the colour."""
    blur: Annotated[Fraction, Range(0, 0.3)] = 0.0
    """Probability of a Gaussian blur."""
    blur_sigma: Annotated[float, Field(gt=0, le=10), Range(0.5, 3), OnlyIf("augment.blur", above=0)] = 1.5
    """Largest standard deviation of the blur, in pixels of the network's input."""
    noise: Annotated[Fraction, Range(0, 0.3)] = 0.0
    """Probability of Gaussian noise."""
    noise_sigma: Annotated[float, Field(gt=0, le=100), Range(2, 20), OnlyIf("augment.noise", above=0)] = 10.0
    """Largest standard deviation of the noise, in grey values of 0 .. 255."""
    jpeg: Annotated[Fraction, Range(0, 0.3)] = 0.0
    """Probability of compression as JPEG."""
    jpeg_quality: Annotated[int, Field(ge=1, le=100), Range(20, 80), OnlyIf("augment.jpeg", above=0)] = 40
    """Lowest quality of the compression, of 1 .. 100."""
    albumentations: tuple[dict[str, Any], ...] = ()
    """Transforms of the package albumentations (extra `albumentations`), applied last: each a table with the `name` of its
    class and its arguments, as in {name = "CLAHE", p = 0.3}. They also move boxes and label maps."""

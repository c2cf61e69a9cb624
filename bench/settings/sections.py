"""The sections of a run's settings that belong to no other room: which data, how to train, what to evaluate."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from detectors.config import Config
from detectors.search_range import Choice, Range

Share = Annotated[float, Field(ge=0, le=1)]
Side = Annotated[int, Field(ge=1)]


class DataConfig(Config):
    """Which images. The options of the data set's own format stand beside these."""

    path: str = "shapes"
    """A data set's name (`bench list`), or the folder or file of one on disk."""
    format: str = "auto"
    """How it is written; auto looks."""


class TrainConfig(Config):
    """How the weights are found. A step is one update of them."""

    epochs: Annotated[int, Field(ge=0)] = 12
    """Passes over the training images; 0 evaluates the weights as they are built or loaded."""
    batch: Annotated[int, Field(ge=1), Choice(8, 16, 32)] = 16
    """Images in a step, over all processes, before accumulation."""
    accumulate: Annotated[int, Field(ge=1)] = 1
    """Batches whose gradients make one step."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    lr: Annotated[float, Field(gt=0), Range(1e-4, 1e-2, log=True)] = 2e-3
    """Highest learning rate."""
    backbone_lr_scale: Annotated[float, Field(ge=0)] = 1.0
    """The backbone's learning rate, as a part of `lr`: below 1 for pretrained weights."""
    weight_decay: Annotated[float, Field(ge=0), Range(1e-5, 1e-1, log=True)] = 0.01
    """Not applied to biases and normalisation layers."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Of sgd; beta 1 of adamw."""
    schedule: Literal["cosine", "steps", "constant"] = "cosine"
    warmup: Share = 0.05
    """Share of all steps in which the learning rate rises linearly to its highest."""
    final: Share = 0.01
    """cosine: the learning rate at the end, as a part of `lr`."""
    milestones: tuple[Share, ...] = (0.7, 0.9)
    """steps: shares of all steps after which the learning rate is multiplied by `decay`."""
    decay: Annotated[float, Field(gt=0, le=1)] = 0.1
    clip: Annotated[float, Field(ge=0)] = 10.0
    """Largest norm of the gradient; 0 does not clip."""
    average: Share = 0.02
    """How long the running average of the weights, which is what is evaluated, takes to forget: a share of all steps;
    0 keeps none."""
    precision: Literal["no", "bf16", "fp16"] = "no"
    """Mixed precision; no is float32."""
    validate_every: Annotated[int, Field(ge=0)] = 0
    """Epochs between evaluations on the validation split; 0 does it only after the last."""
    not_finite: Literal["stop", "skip"] = "stop"
    """On a loss that is NaN or infinite: stop, naming the images, or leave that step out."""
    not_finite_limit: Annotated[int, Field(ge=1)] = 10
    """skip: steps in a row that may be left out before it stops all the same."""
    checkpoint_minutes: Annotated[float, Field(gt=0)] = 10.0
    """Time between checkpoints within an epoch; there is one after each epoch in any case."""
    keep_checkpoint: bool = False
    """Keep the state of training (several times the weights) when the run is done."""
    log_every: Annotated[int, Field(ge=1)] = 20
    """Steps between two readings of the loss for the progress bar."""


class EvaluateConfig(Config):
    """What is measured, and on what."""

    split: Literal["test", "val"] = "test"
    batch: Annotated[int, Field(ge=1)] = 32
    """Images predicted at a time."""
    measures: tuple[str, ...] = ("average_precision", "average_recall")
    """Names of measures (`bench list`)."""
    max_dets: Annotated[tuple[int, ...], Field(min_length=1)] = (1, 10, 100)
    """Detections of each image and class that count, for the measures that ask; rising."""
    save_candidates: bool = False
    """Keep what was found before suppression, so that it can be suppressed again with other settings."""
    candidates: Annotated[int, Field(ge=1)] = 1000
    """Candidates kept of each image, the surest first."""
    compile: bool = False
    """Compile a variant's network for prediction (`torch.compile`): a minute or two once, then faster on most devices."""
    flip: bool = False
    """Look at each image and at its mirror image, and fuse what was found in both: twice the time, and only where left
    and right mean nothing."""
    tile: tuple[Side, Side] | None = None
    """(height, width) of overlapping tiles in which images are looked at, and once as a whole, shrunk to one tile; in
    pixels of the network's input. None: only as a whole."""
    tile_overlap: Annotated[float, Field(ge=0, lt=1)] = 0.25
    """Of neighbouring tiles, as a share of their sides; what is larger must be found in the whole image."""

    @model_validator(mode="after")
    def _candidates_or_looks(self) -> Self:
        if self.save_candidates and (self.flip or self.tile is not None):
            raise ValueError(
                "save_candidates keeps what was found before suppression, and flip and tile join what was found after "
                "it; set one or the other"
            )
        return self


class TunedConfig(Config):
    """Where the settings come from, if `bench tune` sought them: it writes this into `winner.toml`."""

    study: str | None = None
    """Name of the study."""
    objective: str | None = None
    """What was sought."""
    trials: Annotated[int, Field(ge=0)] | None = None
    """How many settings were tried on validation images before these were chosen."""

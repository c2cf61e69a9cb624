"""Sections of a run's settings: data, training, evaluation, and the study that chose them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from bench.pipeline.sampling import SamplingConfig
from bench.settings.budget import BudgetConfig
from detectors.config import Config
from detectors.search_range import Choice, Range

Share = Annotated[float, Field(ge=0, le=1)]
Side = Annotated[int, Field(ge=1)]
Precision = Literal["no", "bf16", "fp16"]
Schedule = Literal["cosine", "linear", "polynomial", "one_cycle", "steps", "constant"]


class DataConfig(Config):
    """The data set, with the options of its format."""

    path: str = "shapes"
    """Name of a data set that is drawn (`bench list`); or a folder or file, several joined by +, or a TOML file of parts."""
    format: str = "auto"
    """Format of the data set; auto detects it."""


class TrainConfig(Config):
    """Training. A step is one update of the weights."""

    epochs: Annotated[int, Field(ge=0)] = 12
    """Passes over the training images, if there is no `budget`; 0 evaluates the initial or loaded weights."""
    budget: BudgetConfig = BudgetConfig()
    batch: Annotated[int, Field(ge=1), Choice(8, 16, 32)] = 16
    """Images per step over all processes, before accumulation."""
    micro_batch: Annotated[int, Field(ge=1)] | Literal["auto"] | None = None
    """Images of a batch that pass through the network at once in each process: a batch is divided into equal parts of at most
    this size, whose gradients are added up. auto measures at the start how many fit into memory; none: all, or fewer after memory
    was not sufficient."""
    sampling: SamplingConfig = SamplingConfig()
    multi_scale: Annotated[float, Field(ge=0, le=0.75), Range(0, 0.5)] = 0.0
    """Multi-scale training: each batch has `image.size` times a factor between 1 - `multi_scale` and 1 + `multi_scale`, in
    multiples of 32."""
    accumulate: Annotated[int, Field(ge=1)] = 1
    """Batches whose gradients are accumulated in a step."""
    optimizer: Literal["adamw", "sgd", "lion"] = "adamw"
    """Optimizer; `lion` needs a 3 to 10 times smaller `lr` and a larger `weight_decay`."""
    lr: Annotated[float, Field(gt=0), Range(1e-4, 1e-2, log=True)] = 2e-3
    """Highest learning rate."""
    backbone_lr_scale: Annotated[float, Field(ge=0)] = 1.0
    """Learning rate of the backbone relative to `lr`; below 1 for pretrained weights."""
    backbone_lr_decay: Annotated[float, Field(gt=0, le=1), Range(0.5, 1.0)] = 1.0
    """Factor of the backbone's learning rate for each halving of the stride, from its coarsest layers to its finest."""
    freeze_epochs: Annotated[int, Field(ge=0)] = 0
    """First epochs in which the weights of the backbone are not changed."""
    weight_decay: Annotated[float, Field(ge=0), Range(1e-5, 1e-1, log=True)] = 0.01
    """Weight decay; not applied to biases and normalisation layers."""
    momentum: Annotated[float, Field(ge=0, lt=1), Range(0.9, 0.99)] = 0.9
    """Momentum of sgd; beta 1 of adamw and lion."""
    schedule: Annotated[Schedule, Choice("cosine", "linear", "one_cycle")] = "cosine"
    """Learning rate after the warm-up; `one_cycle` rises along a cosine, too."""
    warmup: Annotated[Share, Range(0, 0.2)] = 0.05
    """Fraction of all steps over which the learning rate rises linearly to its highest value."""
    final: Share = 0.01
    """cosine, linear, polynomial, one_cycle: final learning rate relative to `lr`."""
    power: Annotated[float, Field(gt=0)] = 0.9
    """polynomial: exponent of the remaining fraction of the steps."""
    milestones: tuple[Share, ...] = (0.7, 0.9)
    """steps: fractions of all steps after which the learning rate is multiplied by `decay`."""
    decay: Annotated[float, Field(gt=0, le=1)] = 0.1
    """steps: factor of the learning rate at each milestone."""
    clip: Annotated[float, Field(ge=0), Range(1, 40)] = 10.0
    """Largest norm of the gradient; 0 disables clipping."""
    average: Annotated[Share, Range(0, 0.2)] = 0.02
    """Time constant of the running average of the weights, as a fraction of all steps; the average is evaluated. 0
    disables it."""
    average_warmup: Annotated[float, Field(ge=1)] = 10.0
    """The decay of the average in update n is at most (1 + n) / (`average_warmup` + n); 1 disables this warm-up."""
    checkpoint_activations: bool = False
    """Compute the backbone's activations again in the backward pass instead of keeping them: less memory, more time."""
    precision: Literal[Precision, "auto"] = "no"
    """Mixed precision of training; no is float32; auto times steps with bf16 and float32 at the start and keeps the faster.
    `evaluate.precision` is that of prediction."""
    validate_every: Annotated[int, Field(ge=0)] = 0
    """Epochs between evaluations on the validation split; 0 evaluates only after the last epoch."""
    validations: Annotated[int, Field(ge=0)] = 0
    """Evaluations on the validation split after equal shares of the training, also within epochs, besides those of
    `validate_every`: 10 evaluates after each tenth."""
    patience: Annotated[int, Field(ge=0)] = 0
    """Consecutive validations without a new best value after which training stops early; 0 never stops it."""
    not_finite: Literal["stop", "skip"] = "stop"
    """What to do when the loss is NaN or infinite: stop and name the images, or skip the step."""
    not_finite_limit: Annotated[int, Field(ge=1)] = 10
    """skip: consecutive skipped steps after which training stops."""
    checkpoint_minutes: Annotated[float, Field(gt=0)] = 10.0
    """Minutes between checkpoints within an epoch; one is also saved after each epoch."""
    keep_checkpoint: bool = False
    """Keep the training state (several times the size of the weights) when the run is finished."""
    cache: Literal["none", "memory", "disk"] = "none"
    """Where decoded images are kept after their first use: nowhere, in memory that worker processes share, or on disk in the
    user's cache folder for later runs, too. It changes only the speed."""
    cache_gb: Annotated[float, Field(gt=0)] = 4.0
    """Largest size of the kept images, in GB; 1,000 images of 640x480 take 0.9, and in memory 0.3 more at an input of
    320x320. The first images are kept if not all fit."""
    decoding: Literal["full", "reduced"] = "full"
    """Size at which training images are decoded: `reduced` reads images that are much larger than the network's input at 1/2, 1/4 or
    1/8 of their sides, never below the input's, which is faster and changes pixels slightly. Validation and prediction always
    decode whole images."""
    log_every: Annotated[int, Field(ge=1)] = 20
    """Steps between updates of the loss in the progress bar."""

    @model_validator(mode="after")
    def _validated_for_patience(self) -> Self:
        if self.patience and not (self.validate_every or self.validations):
            raise ValueError(
                "patience counts validations, but validate_every is 0; set train.validate_every=1"
            )
        return self


class EvaluateConfig(Config):
    """Evaluation and inference."""

    prediction_only: ClassVar[bool] = True

    split: Literal["test", "val"] = "test"
    """Split to evaluate on."""
    batch: Annotated[int, Field(ge=1)] = 32
    """Images per batch of prediction."""
    precision: Precision = "no"
    """Mixed precision of every prediction: validation, test, tuning and timing; no is float32, whatever the precision of
    training."""
    measures: tuple[str, ...] = ("average_precision", "average_recall")
    """Names of measures (`bench list`)."""
    max_dets: Annotated[tuple[int, ...], Field(min_length=1)] = (1, 10, 100)
    """Detections per image and class that count, for measures with such a limit; increasing."""
    save_candidates: bool = False
    """Save the candidates before suppression, so that they can be suppressed with other settings."""
    candidates: Annotated[int, Field(ge=1)] = 1000
    """Candidates saved per image, highest scores first."""
    compile: bool = False
    """Compile a variant's network for prediction (`torch.compile`): takes a minute or two once, then is faster on most
    devices."""
    flip: bool = False
    """Predict each image and its mirror image and fuse the detections: doubles the time; only where left and right are
    interchangeable."""
    tile: tuple[Side, Side] | None = None
    """(height, width) of overlapping tiles to predict in addition to the whole image, which is resized to one tile; in
    pixels of the network's input. none: only the whole image."""
    tile_overlap: Annotated[float, Field(ge=0, lt=1)] = 0.25
    """Overlap of neighbouring tiles as a fraction of their sides; larger objects are detected in the whole image."""

    @model_validator(mode="after")
    def _candidates_of_one_prediction(self) -> Self:
        if self.save_candidates and (self.flip or self.tile is not None):
            raise ValueError(
                "save_candidates saves candidates before suppression, but flip and tile fuse detections after it; "
                "set one or the other"
            )
        return self


class CompressionConfig(Config):
    """Compression of the network of a finished run, which is then trained further; `bench compress` writes these settings."""

    run: str | None = None
    """Folder of the run whose network is compressed, with the same variant and classes. none: training starts with the
    network of the settings."""
    prune: Annotated[float, Field(ge=0, lt=1), Range(0.1, 0.8)] = 0.0
    """Share of the channels that is removed from each group of layers; needs the extra `compress`."""
    sparsity: Annotated[float, Field(ge=0, lt=1), Range(0.1, 0.9)] = 0.0
    """Share of the weights of all layers that is set to zero and stays there."""
    quantize: Literal["none", "int8"] = "none"
    """Rounding of convolutions in training and prediction: `int8`, as in the file that `bench compress` makes of the run."""

    @model_validator(mode="after")
    def _of_a_run(self) -> Self:
        used = {"prune": self.prune, "sparsity": self.sparsity, "quantize": self.quantize != "none"}
        methods = [name for name, value in used.items() if value]
        if methods and self.run is None:
            raise ValueError(
                f"{methods[0]} compresses the network of a finished run; give its folder as compression.run"
            )
        if len(methods) > 1:
            raise ValueError(
                f"{' and '.join(methods)} are given; use one, and give the finished run to the other"
            )
        return self


class TunedConfig(Config):
    """The study that chose the settings; `bench tune` writes it into `winner.toml`."""

    study: str | None = None
    """Name of the study."""
    objective: str | None = None
    """Objective of the study."""
    trials: Annotated[int, Field(ge=0)] | None = None
    """Number of trials on validation images before these settings were chosen."""

"""Settings of a run: one tree of dotted paths, each value with its origin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, Field, PrivateAttr
from pydantic.fields import FieldInfo

from bench.pipeline.augment_settings import AugmentConfig
from bench.pipeline.input_settings import ImageConfig
from bench.settings import toml
from bench.settings.descriptions import describe_fields
from bench.settings.device_name import check_device_name
from bench.settings.errors import SettingsError, unknown_setting
from bench.settings.sections import CompressionConfig, DataConfig, EvaluateConfig, TrainConfig, TunedConfig
from bench.settings.toml import Tree
from detectors.config import Config
from detectors.distillation_config import DistillConfig
from detectors.external.registry import (
    ExternalModel,
    external_model,
    external_model_names,
    is_external_model,
)
from detectors.registry import VARIANTS, Variant
from detectors.search_range import PredictionSetting
from metrics.notes import Note
from metrics.registry import UnknownName

C = TypeVar("C", bound=Config)


class EntryConfig(Config):
    """All settings of an entry of a comparison: a run of a variant, or an external model.

    Subclasses add the settings of the variant or external model as further fields; see
    `bench.settings.resolution.resolve_entry`.
    """

    variant: str
    """Name of the variant or external model (`bench list`)."""
    device: Annotated[str, AfterValidator(check_device_name)] = "auto"
    """Device: cpu, cuda, cuda:1, mps; auto uses an accelerator if there is one."""
    threads: Annotated[int, Field(ge=0)] = 0
    """CPU threads of torch; 0 for torch's default."""
    data: DataConfig = DataConfig()
    evaluate: EvaluateConfig = EvaluateConfig()

    _origins: dict[str, str] = PrivateAttr(default_factory=dict)
    _given: set[str] = PrivateAttr(default_factory=set)
    _notes: list[Note] = PrivateAttr(default_factory=list)

    @property
    def model_settings(self) -> Any:
        """Settings of the variant or external model, for its `build`."""
        config = find_model(self.variant).config
        return config.model_validate({name: getattr(self, name) for name in config.model_fields})

    @property
    def data_options(self) -> dict[str, Any]:
        """Options of the data set's format."""
        return {
            name: getattr(self.data, name)
            for name in type(self.data).model_fields
            if name not in DataConfig.model_fields
        }

    def tree(self) -> Tree:
        """All settings as plain nested values: None, bool, int, float, str, list, dict."""
        return self.model_dump(mode="json")

    @property
    def notes(self) -> tuple[Note, ...]:
        """Which settings were derived from the data, and how."""
        return tuple(self._notes)

    def origin(self, path: str) -> str:
        """Source of the value at a dotted path: ``default``, ``--set``, a file's name, ..."""
        return self._origins.get(path, "default")

    def is_given(self, path: str) -> bool:
        """Whether the user set the setting at a dotted path, by a preset, a file or on the command line."""
        return path in self._given

    def toml(self, described: bool = False) -> str:
        """All settings as a TOML file that gives this configuration again.

        Args:
            described: add comments: each setting's meaning and range above it, and its origin after it unless that is
                the default.
        """
        if not described:
            return toml.write(self.tree())
        return toml.write(self.tree(), dict(describe_fields(self)), self._origins)

    @classmethod
    def is_post_processing(cls, path: str) -> bool:
        """Whether a setting only affects how candidates become detections: no training and no new prediction."""
        return any(section.post_processing for section in _sections(cls, path))

    @classmethod
    def is_prediction_only(cls, path: str) -> bool:
        """Whether a setting only affects prediction: no training."""
        field = setting_fields(cls).get(path)
        marked = field is not None and any(isinstance(mark, PredictionSetting) for mark in field.metadata)
        return marked or any(section.prediction_only for section in _sections(cls, path))

    def get(self, path: str) -> Any:
        """Value at a dotted path.

        Raises:
            SettingsError: there is no such setting.
        """
        value: Any = self
        for depth, part in enumerate(path.split(".")):
            if not isinstance(value, BaseModel) or part not in type(value).model_fields:
                raise SettingsError([unknown_setting(path, depth, setting_fields(type(self)))])
            value = getattr(value, part)
        return value


class ExternalConfig(EntryConfig):
    """All settings of an external model, which is not trained and does its own preprocessing."""


class RunConfig(EntryConfig):
    """All settings of a variant's run."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of initial weights, order of images and augmentation; `data.seed` is independent."""
    workers: Annotated[int, Field(ge=-1)] = -1
    """Processes that load images; 0 loads in the main process; -1 chooses by data set and machine."""
    deterministic: bool = False
    """Use deterministic algorithms only, where a GPU has them; slower."""
    image: ImageConfig = ImageConfig()
    augment: AugmentConfig = AugmentConfig()
    train: TrainConfig = TrainConfig()
    compression: CompressionConfig = CompressionConfig()
    distill: DistillConfig = DistillConfig()
    tuned: TunedConfig = TunedConfig()

    @property
    def detector(self) -> Any:
        """Settings of the variant, for its `build`."""
        return self.model_settings

    def with_seed(self, seed: int) -> RunConfig:
        """The same settings with another seed."""
        return self.model_copy(update={"seed": seed})


def find_model(name: str) -> Variant | ExternalModel:
    """The variant or external model of that name.

    Raises:
        UnknownName: there is none.
    """
    if name in VARIANTS:
        return VARIANTS[name]
    if is_external_model(name):
        return external_model(name)
    raise UnknownName("variant", name, [*VARIANTS.names(), *external_model_names()])


def read_model_settings(tree: Tree, config: type[C]) -> C:
    """Settings of a variant or external model from a tree of all settings, as `EntryConfig.tree` returns it."""
    return config.model_validate({name: value for name, value in tree.items() if name in config.model_fields})


def setting_fields(model: type[BaseModel], prefix: str = "") -> dict[str, FieldInfo]:
    """Every setting of a configuration class by dotted path, without the sections themselves."""
    fields: dict[str, FieldInfo] = {}
    for name, field in model.model_fields.items():
        section = _section(field.annotation)
        if section is None:
            fields[prefix + name] = field
        else:
            fields |= setting_fields(section, f"{prefix}{name}.")
    return fields


def _sections(model: type[BaseModel], path: str) -> Iterator[type[Config]]:
    """The sections that contain the setting at a dotted path, outermost first."""
    for name in path.split("."):
        field = model.model_fields.get(name)
        section = _section(field.annotation) if field else None
        if section is None:
            return
        if issubclass(section, Config):
            yield section
        model = section


def _section(annotation: Any) -> type[BaseModel] | None:
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None

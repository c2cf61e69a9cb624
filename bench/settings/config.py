"""The settings of a run: one tree of dotted paths, each value with where it came from."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, Field, PrivateAttr
from pydantic.fields import FieldInfo

from bench.pipeline.input_settings import AugmentConfig, ImageConfig
from bench.settings import toml
from bench.settings.errors import SettingsError, unknown_setting
from bench.settings.sections import DataConfig, EvaluateConfig, TrainConfig, TunedConfig
from bench.settings.toml import Tree
from detectors.config import Config
from detectors.external.registry import ExternalModel, external_model, external_model_names
from detectors.registry import VARIANTS, Variant
from metrics.registry import UnknownName

C = TypeVar("C", bound=Config)


class EntryConfig(Config):
    """Every setting of an entry of a comparison: a run of a variant, or a predictor that was trained elsewhere.

    The own settings of the variant or predictor are fields beside these sections: see `resolve_entry`.
    """

    variant: str
    device: str = "auto"
    """cpu, cuda, cuda:1, mps; auto takes an accelerator where there is one."""
    threads: Annotated[int, Field(ge=0)] = 0
    """CPU threads of torch; 0 leaves it to torch."""
    data: DataConfig = DataConfig()
    evaluate: EvaluateConfig = EvaluateConfig()

    _origins: dict[str, str] = PrivateAttr(default_factory=dict)

    @property
    def model_settings(self) -> Any:
        """The own settings of the variant or predictor, as its `build` takes them."""
        config = find_model(self.variant).config
        return config.model_validate({name: getattr(self, name) for name in config.model_fields})

    @property
    def data_options(self) -> dict[str, Any]:
        """The options of the data set's format."""
        return {
            name: getattr(self.data, name)
            for name in type(self.data).model_fields
            if name not in DataConfig.model_fields
        }

    def tree(self) -> Tree:
        """All settings as plain nested values: None, bool, int, float, str, list, dict."""
        return self.model_dump(mode="json")

    def origin(self, path: str) -> str:
        """Where the setting at a dotted path got its value: ``default``, ``--set``, a file's name, ..."""
        return self._origins.get(path, "default")

    def toml(self, origins: bool = False) -> str:
        """All settings as a TOML file that gives this configuration again; with `origins` as comments."""
        remarks = {path: self.origin(path) for path, _ in toml.leaves(self.tree())} if origins else {}
        return toml.write(self.tree(), {path: text for path, text in remarks.items() if text != "default"})

    @classmethod
    def is_post_processing(cls, path: str) -> bool:
        """Whether a setting only affects how candidates become detections: no training and no new prediction."""
        model: type[BaseModel] = cls
        for name in path.split("."):
            field = model.model_fields.get(name)
            section = _section(field.annotation) if field else None
            if section is None:
                return False
            if issubclass(section, Config) and section.post_processing:
                return True
            model = section
        return False

    def get(self, path: str) -> Any:
        """The setting at a dotted path.

        Raises:
            InputError: there is no such setting; the nearest is named.
        """
        value: Any = self
        for depth, part in enumerate(path.split(".")):
            if not isinstance(value, BaseModel) or part not in type(value).model_fields:
                raise SettingsError([unknown_setting(path, depth, setting_fields(type(self)))])
            value = getattr(value, part)
        return value


class ExternalConfig(EntryConfig):
    """Settings of a predictor that was trained elsewhere: it has no training, and sees each image as it is."""


class RunConfig(EntryConfig):
    """Every setting of a variant's run."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Of the weights, the order of images and the augmentation; a data set has its own."""
    workers: Annotated[int, Field(ge=-1)] = -1
    """Processes that read images; 0 reads in the main one; -1 decides by data set and machine."""
    deterministic: bool = False
    """Only algorithms that give the same bits each time, where a GPU has them; slower."""
    image: ImageConfig = ImageConfig()
    augment: AugmentConfig = AugmentConfig()
    train: TrainConfig = TrainConfig()
    tuned: TunedConfig = TunedConfig()

    @property
    def detector(self) -> Any:
        """The variant's own settings, as its `build` takes them."""
        return self.model_settings

    def with_seed(self, seed: int) -> RunConfig:
        """The same settings with another seed."""
        return self.model_copy(update={"seed": seed})


def find_model(name: str) -> Variant | ExternalModel:
    """The variant, or the predictor that was trained elsewhere, of that name.

    Raises:
        InputError: there is none; the nearest name is told.
    """
    if name in VARIANTS:
        return VARIANTS[name]
    if name in external_model_names():
        return external_model(name)
    raise UnknownName("variant", name, [*VARIANTS.names(), *external_model_names()])


def read_model_settings(tree: Tree, config: type[C]) -> C:
    """The own settings of a variant or predictor, out of the tree that `EntryConfig.tree` gave or `toml` wrote."""
    return config.model_validate({name: value for name, value in tree.items() if name in config.model_fields})


def setting_fields(model: type[BaseModel], prefix: str = "") -> dict[str, FieldInfo]:
    """Every setting of a configuration class by dotted path, sections left out."""
    found: dict[str, FieldInfo] = {}
    for name, field in model.model_fields.items():
        section = _section(field.annotation)
        if section is None:
            found[prefix + name] = field
        else:
            found |= setting_fields(section, f"{prefix}{name}.")
    return found


def _section(annotation: Any) -> type[BaseModel] | None:
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None

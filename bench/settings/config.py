"""The settings of a run: one tree of dotted paths, resolved from its sources, each value with where it came from."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, Field, PrivateAttr, ValidationError, create_model
from pydantic.fields import FieldInfo

from bench.data.opening import detect_format
from bench.data.types import DATASETS
from bench.pipeline.augmentation import AugmentConfig
from bench.pipeline.loader import ImageConfig
from bench.settings import toml
from bench.settings.errors import explain, unknown_setting
from bench.settings.presets import read_preset
from bench.settings.sections import DataConfig, EvaluateConfig, TrainConfig, TunedConfig
from bench.settings.toml import Tree
from bench.settings.values import as_typed, other_kind, with_nones
from detectors.config import Config
from detectors.external.registry import ExternalModel, external_model, external_model_names
from detectors.registry import VARIANTS, Variant
from metrics.errors import InputError
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

    def get(self, path: str) -> Any:
        """The setting at a dotted path.

        Raises:
            InputError: there is no such setting; the nearest is named.
        """
        value: Any = self
        for depth, part in enumerate(path.split(".")):
            if not isinstance(value, BaseModel) or part not in type(value).model_fields:
                raise InputError(unknown_setting(path, list(setting_fields(type(self))), depth))
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


@dataclass(frozen=True, slots=True)
class Layer:
    """Settings of one source; a later layer overrules an earlier one.

    Attributes:
        origin: what the source is called: ``preset quick``, ``my.toml``, ``--set``.
        values: the settings, nested.
        texts: what was typed for a value, by dotted path, where it was typed on the command line.
    """

    origin: str
    values: Tree
    texts: Mapping[str, str]


def resolve(
    variant: str,
    data: str | None = None,
    preset: str | None = None,
    file: str | Path | None = None,
    sets: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    variants: Sequence[str] = (),
    data_defaults: Mapping[str, Any] | None = None,
) -> RunConfig:
    """All settings of one variant's run, checked; arguments and errors as those of `resolve_entry`.

    Raises:
        InputError: also for the name of a predictor that was trained elsewhere.
    """
    if variant not in VARIANTS and variant in external_model_names():
        raise InputError(
            f"{variant}: was trained elsewhere, so nothing of it is sought or trained here; "
            f"`bench run --variant {variant}` measures it, and `bench list` shows the variants"
        )
    config = resolve_entry(variant, data, preset, file, sets, options, variants, data_defaults)
    assert isinstance(config, RunConfig)
    return config


def resolve_entry(
    name: str,
    data: str | None = None,
    preset: str | None = None,
    file: str | Path | None = None,
    sets: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    variants: Sequence[str] = (),
    data_defaults: Mapping[str, Any] | None = None,
) -> EntryConfig:
    """All settings of one entry of a comparison, checked.

    Each source overrules those before it: defaults, the data set's defaults, the variant's, the preset, the
    file, `data` and `options`, `sets` (of these the last). Of sources that speak to variants too, a predictor that
    was trained elsewhere passes over what is said of training and of the network's input.

    Args:
        name: a variant's name, or that of a predictor that was trained elsewhere.
        data: a data set's name or path; ``data.path``.
        preset: a file of `bench/presets`, by its name.
        file: a TOML file.
        sets: texts ``a.b=value``; where the first part is one of `variants`, for that entry alone.
        options: other settings by dotted path, from the command line's own options (``{"train.epochs": 5}``).
        variants: all names that the same sources are resolved for; `name` where empty.
        data_defaults: those of the opened data set, by dotted path; where None, those of its format, which are
            known without opening it.

    Returns:
        A `RunConfig` for a variant, else an `ExternalConfig`.

    Raises:
        InputError: an unknown name, preset, file or setting, or a value of the wrong kind; every mistake is
            told, one a line, with the setting's dotted path.
    """
    variants = tuple(variants) or (name,)
    known = find_model(name)
    given = list(_given(name, variants, data, preset, file, sets, options or {}))
    model = _model(name, *_data_of(given))
    layers = [Layer("default", _defaults(model.config), {})]
    if isinstance(known, Variant):
        of_data = model.data_defaults if data_defaults is None else data_defaults
        layers += [
            _layer(f"data set {model.data_format}", of_data),
            _layer(f"variant {name}", known.defaults),
            *given,
        ]
    else:
        alone = not any(other in VARIANTS for other in variants)
        layers += [_without_training(layer, name, known.config, alone) for layer in given]
    config = _validate(model.config, name, layers, several=len(variants) > 1)
    config._origins.update(_origins(layers))
    return config


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
    return config.model_validate(
        {
            name: value
            for name, value in with_nones(tree, setting_fields(config)).items()
            if name in config.model_fields
        }
    )


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


@dataclass(frozen=True, slots=True)
class _Model:
    config: type[EntryConfig]
    data_format: str
    data_defaults: Mapping[str, Any]


def _given(
    variant: str,
    variants: Sequence[str],
    data: str | None,
    preset: str | None,
    file: str | Path | None,
    sets: Sequence[str],
    options: Mapping[str, Any],
) -> Iterator[Layer]:
    names = {*VARIANTS.names(), *external_model_names()}
    if preset is not None:
        values = _for_variant(read_preset(preset), variant, variants, names, f"preset {preset}")
        yield Layer(f"preset {preset}", values, {})
    if file is not None:
        values = _for_variant(toml.read(Path(file)), variant, variants, names, str(file))
        yield Layer(Path(file).name, values, {})
    if data is not None:
        yield _layer("--data", {"data.path": data})
    for path, value in options.items():
        yield _layer(f"--{path.rpartition('.')[2]}", {path: value})
    for text in sets:
        parts, value, typed = toml.parse_set(text)
        if parts[0] in names and len(parts) > 1:
            if parts[0] not in variants:
                raise InputError(
                    f"--set {text}: this run has no variant {parts[0]!r}, only {', '.join(variants)}"
                )
            if parts[0] != variant:
                continue
            parts = parts[1:]
        yield Layer("--set", toml.nest(parts, value), {".".join(parts): typed})


def _layer(origin: str, paths: Mapping[str, Any]) -> Layer:
    values: Tree = {}
    for path, value in paths.items():
        values = toml.merge(values, toml.nest(path.split("."), value))
    return Layer(origin, values, {})


def _for_variant(
    values: Tree, variant: str, variants: Sequence[str], names: Collection[str], origin: str
) -> Tree:
    """What a file says to one variant: its general settings, then those in a table of the variant's name."""
    owner = values.get("variant", variant)
    if owner not in variants:
        raise InputError(
            f"{origin}: made for variant {owner!r}, not for {', '.join(variants)}; "
            f"run it with --variant {owner}, or take the line 'variant = ...' out"
        )
    if owner != variant:
        return {}
    own = values.get(variant)
    general = {
        key: value
        for key, value in values.items()
        if key != "variant" and not (key in names and isinstance(value, Mapping))
    }
    return toml.merge(general, own) if isinstance(own, Mapping) else general


def _without_training(layer: Layer, name: str, own: type[Config], alone: bool) -> Layer:
    """What a source says to a predictor that was trained elsewhere."""
    void = set(RunConfig.model_fields) - set(ExternalConfig.model_fields) - set(own.model_fields)
    if alone and (said := sorted((void - _HARMLESS) & set(layer.values))):
        path = next(toml.leaves({said[0]: layer.values[said[0]]}))[0]
        raise InputError(f"{path}: {name} was trained elsewhere and sees images as they are; take it out")
    return Layer(
        layer.origin, {key: value for key, value in layer.values.items() if key not in void}, layer.texts
    )


_HARMLESS = {"seed", "workers", "deterministic"}
"""What has no effect on a predictor that was trained elsewhere and promises none."""


def _data_of(layers: Sequence[Layer]) -> tuple[str, str]:
    """Path and format of the data set, which must be known before its format's own settings can be."""
    section: Tree = {"path": DataConfig().path, "format": DataConfig().format}
    for layer in layers:
        values = layer.values.get("data", {})
        if not isinstance(values, Mapping):
            raise InputError(f"{layer.origin}: data: expected a section, as in data.path={values}")
        section = toml.merge(section, values)
    return str(section["path"]), str(section["format"])


def _model(variant: str, path: str, format: str) -> _Model:
    """The class of all settings: sections of the run, the data format's options, the variant's own."""
    found = DATASETS[detect_format(path, format)]
    data = _join(f"DataConfig[{found.name}]", DataConfig, found.options, f"data set {found.name!r}")
    known = find_model(variant)
    base = RunConfig if isinstance(known, Variant) else ExternalConfig
    config = _join(
        f"{base.__name__}[{variant}]", base, known.config, f"variant {variant!r}", data=(data, data())
    )
    return _Model(config, found.name, found.defaults)


def _join(name: str, ours: type[Config], theirs: type[Config], owner: str, **fields: Any) -> Any:
    both = sorted(set(ours.model_fields) & set(theirs.model_fields))
    if both:
        raise InputError(f"{owner}: its setting {both[0]!r} has the name of one of the run's; rename it")
    return create_model(name, __base__=(theirs, ours), __doc__=ours.__doc__, **fields)


def _defaults(model: type[EntryConfig]) -> Tree:
    """The sections as they are by default: a variant's may differ from those of the section's own class."""
    defaults = {
        name: field.get_default(call_default_factory=True) for name, field in model.model_fields.items()
    }
    return {
        name: value.model_dump(mode="json")
        for name, value in defaults.items()
        if isinstance(value, BaseModel)
    }


def _validate(model: type[EntryConfig], variant: str, layers: Sequence[Layer], several: bool) -> EntryConfig:
    values: Tree = {}
    texts: dict[str, str] = {}
    for layer in layers:
        values = toml.merge(values, layer.values)
        texts |= layer.texts
    known = setting_fields(model)
    values = with_nones(values | {"variant": variant}, known)
    try:
        config = as_typed(model, values, texts)
    except ValidationError as error:
        owner = f" of variant {variant!r}" if several else ""
        lines = explain(error, values, list(known), _origins(layers), owner)
        raise InputError("\n".join(lines)) from None
    mistaken = [line for path, value in toml.leaves(values) for line in other_kind(config, path, value)]
    if mistaken:
        raise InputError("\n".join(mistaken))
    return config


def _origins(layers: Sequence[Layer]) -> dict[str, str]:
    return {path: layer.origin for layer in layers for path, _ in toml.leaves(layer.values)}


def _section(annotation: Any) -> type[BaseModel] | None:
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None

"""``bench compress``: make a smaller and faster file of a finished run, and evaluate it beside the run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from bench.commands import options
from bench.commands.command import FLAG
from metrics.errors import InputError

NAME = "compress"
EXAMPLES = """Examples:

python -m bench compress runs/ssd-shapes-0-1a2b3c4d5e --quantize int8

python -m bench compress runs/ssd-shapes-0-1a2b3c4d5e --quantize int8 --images 500 --max-drop 0.01

python -m bench compress runs/ssd-shapes-0-1a2b3c4d5e --quantize int8 --finetune 2

python -m bench compress runs/ssd-shapes-0-1a2b3c4d5e --prune 0.5 --epochs 6

python -m bench compress runs/ssd-shapes-0-1a2b3c4d5e --search 12 --epochs 6
"""

METHODS = ("int8",)
RUNTIMES = ("onnxruntime", "openvino")


def command(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="Folder of a run that was trained here.", show_default=False)
    ],
    quantize: Annotated[
        str | None,
        typer.Option(
            metavar="TYPE",
            help="Number type of the quantised operators: int8, the default if no other method is given.",
            show_default=False,
        ),
    ] = None,
    runtime: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Runtime that the quantised file is made for: onnxruntime, or openvino, for which NNCF quantises and chooses the operators itself.",
        ),
    ] = "onnxruntime",
    prune: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            min=0,
            max=1,
            help="Remove this share of the channels, then train the narrower network.",
            show_default=False,
        ),
    ] = None,
    sparsity: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            min=0,
            max=1,
            help="Set this share of the weights to zero, then train the others; the number of operations stays the same.",
            show_default=False,
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            help="Passes over the training images after --prune or --sparsity, also in each trial of --search; by default as many "
            "as in the run.",
            show_default=False,
        ),
    ] = None,
    finetune: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Epochs of further training at a tenth of the run's learning rate: with --quantize, before it and with the rounding "
            "of 8-bit integers; alone, without compression, for comparison.",
            show_default=False,
        ),
    ] = None,
    search: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=2,
            help="Number of trials in which the share of pruned channels and the quantised operators are chosen, by AP on validation "
            "images and --cost.",
            show_default=False,
        ),
    ] = None,
    cost: Annotated[
        Literal["latency", "size"],
        typer.Option(metavar="latency|size", help="With --search: cost that is kept low beside a high AP."),
    ] = "latency",
    set_: options.Sets = None,
    images: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="Training images on which the ranges of activations are measured."
        ),
    ] = 200,
    tolerance: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            min=0,
            help="Consider candidates whose latency (size, with --cost size) exceeds the lowest one by at most this share.",
        ),
    ] = 0.1,
    max_drop: Annotated[
        float,
        typer.Option(
            metavar="AP",
            min=0,
            max=1,
            help="Leave out candidates whose AP on validation images is lower than the original's by more than this, unless all are.",
        ),
    ] = 0.02,
    exports: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder of the files RUN.onnx and RUN-int8.onnx.")
    ] = Path("exports"),
    out: options.Out = Path("runs"),
    fresh: Annotated[
        bool, typer.Option("--fresh", metavar=FLAG, help="Repeat evaluations that are finished.")
    ] = False,
    no_page: options.NoPage = False,
    show_paths: options.ShowPaths = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    strict: options.Strict = False,
    debug: options.Debug = False,
) -> None:
    """Make a smaller or faster detector of a finished run, and compare both on the run's test images.

    --quantize measures ranges on training images and chooses the operators on validation images; the exported network and the
    quantised file become runs of their own. --prune and --sparsity train the compressed network further, as a run of its own,
    which can be quantised or exported next. All are for use with `compare` and `profile`. --finetune alone trains the run
    without compression, which shows how much --quantize --finetune gains by the training alone.
    """
    from bench.commands.compression_table import show_candidates, show_search
    from bench.commands.results_table import results_json, show_results
    from bench.compression.source_run import open_source
    from bench.process.json_value import print_json
    from bench.process.progress import Progress
    from bench.runs.comparison import compare_runs, comparison_folder
    from bench.runs.context import RunContext
    from metrics.atomic_files import require_writable
    from reports.records.run import RunFolder

    if runtime not in RUNTIMES:
        raise InputError(f"--runtime: {runtime!r} is not a runtime; choose from {', '.join(RUNTIMES)}")
    if search is not None:
        given = {"quantize": quantize, "prune": prune, "sparsity": sparsity, "finetune": finetune}
        used = [name for name, value in given.items() if value is not None]
        used += ["runtime"] if runtime != RUNTIMES[0] else []
        if used:
            raise InputError(
                f"--{used[0]}: cannot be combined with --search, which chooses the method itself"
            )
        method = None
    else:
        method = _method(quantize, prune, sparsity, epochs, finetune, set_)
    if method is not None and runtime == "openvino":
        option = "finetune" if finetune is not None else next(iter(method))
        raise InputError(
            f"--{option}: cannot be combined with --runtime openvino, which quantises without training"
        )
    for option, value in (("--tolerance", tolerance), ("--max-drop", max_drop)):
        if not math.isfinite(value):
            raise InputError(f"{option}: expected a finite number, got {value}")
    require_writable(out, "--out", folder=True)
    require_writable(exports, "--exports", folder=True)
    progress = Progress.auto(quiet)
    source = RunFolder.open(run)
    dataset, config = open_source(source)
    context = RunContext.of_command(progress, fresh, show_paths, not no_page)
    shown = [source]
    facts: dict[str, Any] = {}
    trained = source
    if method is not None:
        from bench.compression.trained_run import train_compressed

        # Rounding needs only small changes of the weights.
        slower = {"train.lr": config.train.lr / 10} if finetune is not None else {}
        count = epochs if finetune is None else finetune
        trained = train_compressed(source, method, count, set_ or (), out, context, slower)
        shown.append(trained)
    if search is not None:
        from bench.compression.evaluated_file import evaluate_file
        from bench.compression.search import CompressionSearch, SearchSettings
        from bench.compression.search_record import record_search

        plan = SearchSettings(search, epochs, tuple(set_ or ()), cost, images, tolerance, max_drop)
        trials = CompressionSearch(source, dataset, config, plan, out, exports, context)
        trials.run()
        found = trials.choose()
        shown += [] if found.network is source else [found.network]
        shown.append(evaluate_file(found.file, dataset, config, out, context))
        study = record_search(trials, found, shown[-1], context)
        facts = {"file": str(found.file), "study": str(study.path)}
        if not json:
            show_search(study.result)
    elif runtime == "openvino":
        from bench.compression.evaluated_file import evaluate_file
        from bench.compression.openvino_run import quantize_for_openvino

        original, small = quantize_for_openvino(source, dataset, config, exports, images, progress)
        for file in (original, small):
            shown.append(evaluate_file(file, dataset, config, out, context, runtime))
        facts = {"file": str(small)}
    elif quantize is not None or method is None:
        from bench.compression.evaluated_file import evaluate_file
        from bench.compression.quantized_run import QuantizationSettings, quantize_run

        settings = QuantizationSettings(images, tolerance, max_drop)
        made = quantize_run(trained, dataset, config, exports, settings, progress)
        files = (made.original, made.file) if trained is source else (made.file,)
        shown += [evaluate_file(file, dataset, config, out, context) for file in files]
        facts = {"file": str(made.file), "compression": made.record.model_dump(mode="json")}
        if not json:
            show_candidates(made.record)
    split = dataset.splits[config.evaluate.split]
    page: Path | None = None
    if not no_page:
        page, _ = compare_runs(shown, comparison_folder(shown, out), None, split, progress, show_paths)
    if json:
        print_json(results_json(shown, page) | facts)
    else:
        show_results(shown, page)


def _method(
    quantize: str | None,
    prune: float | None,
    sparsity: float | None,
    epochs: int | None,
    finetune: int | None,
    sets: Sequence[str] | None,
) -> dict[str, Any] | None:
    """Settings of the section ``compression`` of the run to train, empty without compression; None if nothing is trained.

    Raises:
        InputError: a wrong value, or options that do not go together.
    """
    if quantize is not None and quantize not in METHODS:
        raise InputError(f"--quantize: {quantize!r} is not a type; choose from {', '.join(METHODS)}")
    shares = {name: share for name, share in (("prune", prune), ("sparsity", sparsity)) if share is not None}
    for name, share in shares.items():
        if not 0 < share < 1:
            raise InputError(f"--{name}: expected a share above 0 and below 1, such as 0.5, got {share:g}")
    given = [*(["quantize"] if quantize is not None else []), *shares]
    if len(given) > 1:
        raise InputError(
            f"--{given[1]}: cannot be combined with --{given[0]}; use one, and compress the run that it makes with the other"
        )
    if finetune is not None and (shares or epochs is not None):
        other = f"--{given[0]}" if shares else "--epochs"
        raise InputError(
            f"--finetune: cannot be combined with {other}; it has the number of epochs for --quantize, or without compression"
        )
    training = {"epochs": epochs is not None, "set": bool(sets)}
    if not shares and finetune is None and any(training.values()):
        name = next(name for name, used in training.items() if used)
        raise InputError(f"--{name}: nothing is trained; give --prune, --sparsity or --finetune, too")
    if finetune is not None:
        return {} if quantize is None else {"quantize": quantize}
    return dict(shares) or None

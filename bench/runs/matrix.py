"""Several runs one after another, which several commands can share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench.process.progress import Progress
from bench.runs.folders import Busy
from bench.settings.config import EntryConfig, RunConfig
from reports.records.run import RunFolder


def run_all(
    configs: Sequence[EntryConfig], run: Callable[[EntryConfig], RunFolder], data: str, progress: Progress
) -> tuple[list[RunFolder], list[Busy]]:
    """Do each run once, passing over those that another process is doing.

    So the same command can be started several times, on several machines that share the folder. Runs that were passed over
    are tried again at the end, when they may be finished.

    Args:
        configs: settings of each run.
        run: does a run, or returns it if it is finished.
        data: name of the data set, for messages.
        progress: for a message per run.

    Returns:
        The finished runs in the order of `configs`, and an error for each run that another process is still doing.

    Raises:
        Busy: other processes are doing all of them.
    """
    done: dict[int, RunFolder] = {}
    held: dict[int, Busy] = {}
    for number, config in enumerate(configs):
        count = f" ({number + 1} of {len(configs)})" if len(configs) > 1 else ""
        progress.message(f"{_title(config)}, on {data}{count}")
        try:
            done[number] = run(config)
        except Busy as busy:
            held[number] = busy
            progress.message(f"skipped for now: {busy.owner} is working on it")
    for number in list(held):
        try:
            done[number] = run(configs[number])
            del held[number]
        except Busy as busy:
            held[number] = busy
    if held and not done:
        raise next(iter(held.values()))
    return [done[number] for number in sorted(done)], list(held.values())


def with_seeds(entries: Sequence[EntryConfig], seeds: int) -> list[EntryConfig]:
    """The settings of each run of a matrix: external models, which take minutes and may lack their weights, then each variant
    with this many consecutive seeds.
    """
    external = [entry for entry in entries if not isinstance(entry, RunConfig)]
    trained = [
        entry.with_seed(entry.seed + k)
        for entry in entries
        if isinstance(entry, RunConfig)
        for k in range(seeds)
    ]
    return [*external, *trained]


def _title(config: EntryConfig) -> str:
    """Variant, and seed if it is trained."""
    return f"{config.variant}, " + (
        f"seed {config.seed}" if isinstance(config, RunConfig) else "external model"
    )

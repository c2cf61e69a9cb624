"""Remarks on a timing: why it is invalid, and what else limits it."""

from __future__ import annotations

from collections.abc import Sequence

from bench.timing import conditions
from metrics.plurals import plural
from reports.elements import formatting
from reports.records.timing import Machine, Process, Subject

MIN_AGREEMENT = 0.99
"""Share of equal detections below which a timing is not of what was evaluated."""


def invalid_reasons(
    processes: Sequence[Process], machine: Machine, trainings: Sequence[str], gpu_processes: int
) -> list[str]:
    """Why a timing is invalid; empty for a valid one.

    Args:
        processes: conditions in all processes.
        machine: the machine.
        trainings: names of runs that were in progress meanwhile.
        gpu_processes: other processes on the same accelerator.
    """
    reasons = []
    if trainings:
        reasons.append(f"timed during the training of {formatting.join_words([*trainings])}")
    if gpu_processes:
        reasons.append(f"timed next to {plural(gpu_processes, 'other process')} on the GPU")
    others = max((process.other_cores or 0.0 for process in processes), default=0.0)
    if conditions.is_crowded(machine.cores, machine.threads, others):
        reasons.append(
            f"timed next to other work, which used {others:.1f} of {plural(machine.cores, 'processor')} while the timing needed "
            f"{machine.threads}; time again when the machine is idle"
        )
    suspended = sum(process.suspended_seconds for process in processes)
    if suspended:
        reasons.append(f"the machine was suspended for {formatting.duration(suspended)} meanwhile")
    return reasons


def limitations(processes: Sequence[Process], subject: Subject, too_large: Sequence[int]) -> list[str]:
    """Limitations of a valid timing."""
    notes = []
    if subject.agreement is not None and subject.agreement < MIN_AGREEMENT:
        notes.append(
            f"only {100 * subject.agreement:.1f}% of the detections on the timed images are equal to those of the run's "
            "evaluation: the timed model differs from the evaluated one"
        )
    moved = [process.clock_jump_seconds for process in processes if process.clock_jump_seconds]
    if moved:
        notes.append(
            f"the wall clock was changed by {formatting.with_minus_sign(f'{moved[0]:+.1f}')} s meanwhile, which does not affect the timer"
        )
    if len(processes) < 3:
        notes.append(
            f"timed in {plural(len(processes), 'process')}, too few to estimate how much processes "
            f"differ: {'there are no confidence intervals' if len(processes) < 2 else 'confidence intervals are very wide'}"
        )
    if not all(process.warm_up_stable for process in processes):
        notes.append("times were not stable after 200 iterations of warm-up")
    if subject.images_in_memory:
        notes.append("images are generated in memory, so there is no file to read and decode")
    if too_large:
        sizes = formatting.join_words([str(size) for size in too_large])
        notes.append(f"batches of {sizes} fit into memory alone, but not next to the other models")
    return notes

"""TPE, reproducible with any number of workers."""

from __future__ import annotations

import numpy as np
from optuna.samplers import TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial


class TPE(TPESampler):
    """TPE whose random draws for a trial depend only on the seed and the trial's number.

    The storage assigns each number once. So workers with the same seed draw different settings, on any number of
    machines, and a study that was stopped continues with the draws that it would have made.
    """

    def __init__(self, seed: int) -> None:
        super().__init__(seed=seed)
        self._seed = seed

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Seed the random generators for this trial."""
        model, startup = np.random.SeedSequence([self._seed, trial.number]).generate_state(2)
        self._rng.rng.seed(model)
        self._random_sampler._rng.rng.seed(startup)
        super().before_trial(study, trial)

"""Task 1's runs, which its questions share: one protocol, three kinds of training."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from kdutils.data.mnist import TRAIN_SIZE
from kdutils.runs import Run


@dataclass(frozen=True)
class Protocol:
    """What all trainings of Task 1 have in common; the defaults are the assignment's.

    Args:
        epochs: Passes over the training images.
        train_size: Training images; beside held-out images, as many of them as are left.
        batch_size: Images a step.
        learning_rate: Adam's.
    """

    epochs: int = 12
    train_size: int = TRAIN_SIZE
    batch_size: int = 256
    learning_rate: float = 1e-3

    def teacher(self, seed: int, validation: int | None = None) -> Run:
        """The convolutional teacher, trained on labels."""
        return Run("mnist_teacher", seed=seed, validation=validation, **self._settings(validation))

    def student(self, seed: int) -> Run:
        """The fully connected student, trained on labels alone."""
        return Run("mnist_student", seed=seed, **self._settings())

    def distilled(
        self, seed: int, temperature: float, alpha: float, validation: int | None = None
    ) -> Run:
        """The same student, taught by the teacher of the same seed."""
        return Run(
            "mnist_student",
            method="kd",
            options={"temperature": temperature, "alpha": alpha},
            teacher=self.teacher(seed, validation),
            seed=seed,
            validation=validation,
            **self._settings(validation),
        )

    def grid(
        self,
        temperatures: Iterable[float],
        alphas: Iterable[float],
        seeds: Iterable[int],
        validation: int,
    ) -> list[Run]:
        """The runs to tune with: every temperature with every α, scored on validation images."""
        alphas, seeds = list(alphas), list(seeds)
        return [
            self.distilled(seed, temperature, alpha, validation)
            for temperature in temperatures
            for alpha in alphas
            for seed in seeds
        ]

    def _settings(self, validation: int | None = None) -> dict:
        # A run that takes all images says so with None, so that it has one key.
        takes_all = self.train_size >= TRAIN_SIZE - (validation or 0)
        return {**asdict(self), "train_size": None if takes_all else self.train_size}

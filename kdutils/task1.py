"""Task 1's runs, which its questions share: one protocol, three kinds of training."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from kdutils.runs import Run


@dataclass(frozen=True)
class Protocol:
    """What all trainings of Task 1 have in common; the defaults are the assignment's.

    Args:
        epochs: Passes over the training images.
        train_size: Training images; `None` takes all.
        batch_size: Images a step.
        learning_rate: Adam's.
    """

    epochs: int = 12
    train_size: int | None = None
    batch_size: int = 256
    learning_rate: float = 1e-3

    def teacher(self, seed: int, validation: int | None = None) -> Run:
        """The convolutional teacher, trained on labels."""
        return Run("mnist_teacher", seed=seed, validation=validation, **asdict(self))

    def student(self, seed: int) -> Run:
        """The fully connected student, trained on labels alone."""
        return Run("mnist_student", seed=seed, **asdict(self))

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
            **asdict(self),
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

"""Task 1's runs, which its questions share: one protocol, a few kinds of training."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

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

    def student(self, seed: int, validation: int | None = None) -> Run:
        """The fully connected student, trained on labels alone."""
        return Run("mnist_student", seed=seed, validation=validation, **self._settings(validation))

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

    def early_stopped(self, seed: int, temperature: float, alpha: float, stop_epoch: int) -> Run:
        """The distilled student whose distillation term is dropped after `stop_epoch` epochs."""
        run = self.distilled(seed, temperature, alpha)
        options = {**run.options, "stop_epoch": stop_epoch}
        return replace(run, method="early_stopped_kd", options=options)

    def smoothed(self, seed: int, smoothing: float, validation: int | None = None) -> Run:
        """The student trained on smoothed labels, without a teacher."""
        run = self.student(seed, validation)
        return replace(run, method="label_smoothing", options={"smoothing": smoothing})

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


@dataclass(frozen=True)
class Recipe:
    """How a student is distilled beyond the assignment's settings; both networks stay as they are.

    Args:
        views: See `kdutils.runs.Run`.
        temperature: Of the soft targets.
        alpha: Weight of the distillation term.
        learning_rate: Adam's, at the start; it falls along half a cosine.
        batch_size: `None` for the protocol's.
        epochs: `None` for the protocol's.
    """

    views: str | None
    temperature: float
    alpha: float
    learning_rate: float
    batch_size: int | None = None
    epochs: int | None = None

    def student(self, protocol: Protocol, seed: int, validation: int | None = None) -> Run:
        """A student of this recipe, taught by the protocol's teacher of the same seed."""
        return replace(
            protocol.distilled(seed, self.temperature, self.alpha, validation),
            views=self.views,
            learning_rate=self.learning_rate,
            schedule="cosine",
            batch_size=self.batch_size or protocol.batch_size,
            epochs=self.epochs or protocol.epochs,
        )


def on_subset(run: Run, size: int, least_steps: int) -> Run:
    """The same run on fewer images, which are repeated until it has made enough steps.

    Twelve epochs of a few hundred images would be a dozen steps, and end long before anything is
    learnt. The teacher of a distilled run stays as it is.

    Args:
        run: What is changed.
        size: Number of training images, drawn from all classes alike.
        least_steps: The run gets more epochs where its own would make fewer steps than this.
    """
    steps = max(size // run.batch_size, 1)
    epochs = max(run.epochs, -(-least_steps // steps))
    takes_all = size >= TRAIN_SIZE - (run.validation or 0)
    return replace(run, train_size=None if takes_all else size, epochs=epochs)

"""Early-stopped knowledge distillation (ESKD): Cho & Hariharan 2019, arXiv:1910.01348.

This is the student's side: distillation ends before training does. The teacher's side, a teacher
that is stopped early, needs no loss of its own: it is a `teacher` run of fewer epochs.
"""

from keras import ops

from kdutils.methods.kd import KnowledgeDistillation


class EarlyStoppedDistillation(KnowledgeDistillation):
    """`α · kd_loss + (1 − α) · hard_loss` up to an epoch, the hard loss at full weight after it.

    At full weight, so that the step does not shrink when the distillation term goes.

    Args:
        temperature: `T > 0` of the soft targets.
        alpha: Weight of the distillation term while it lasts, 0 to 1.
        stop_epoch: Number of epochs with distillation; 0 is training on labels alone.
    """

    def __init__(self, temperature: float, alpha: float, stop_epoch: float):
        super().__init__(temperature, alpha)
        if stop_epoch < 0 or stop_epoch != int(stop_epoch):
            raise ValueError(f"stop_epoch has to be a whole number from 0 on, not {stop_epoch}")
        self.stop_epoch = stop_epoch
        self.distils = self.add_weight(
            shape=(), initializer="ones", trainable=False, name="distils"
        )

    def begin_epoch(self, epoch):
        """Switch the distillation term off from its stop epoch on."""
        self.distils.assign(float(epoch < self.stop_epoch))

    def terms(self, labels, teacher, student):
        """Return the terms `soft` and `hard`, with the weights of the present epoch."""
        while_distilling = super().terms(labels, teacher, student)
        after = {"soft": 0.0, "hard": 1.0}
        return {
            name: (ops.where(self.distils > 0, weight, after[name]), loss)
            for name, (weight, loss) in while_distilling.items()
        }

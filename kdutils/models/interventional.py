"""The student of interventional distillation, whose head also reads the context of the classes."""

import keras
from keras import layers, ops

from kdutils.models.mnist import mnist_student

TEMPERATURE = 4.0
"""`T` of CID, of the context as of the soft targets: part of the network, no option of a run."""


@keras.saving.register_keras_serializable("kdutils")
class Context(layers.Layer):
    """What is typical of the classes that a network considers: their features, mixed.

    The table of typical features, `(C, D)`, is not trained; the method fills it.

    Args:
        temperature: `T > 0` of the probabilities by which the rows are mixed.
        options: Keras' own, such as `name`.
    """

    def __init__(self, temperature: float, **options):
        super().__init__(**options)
        self.temperature = temperature

    def build(self, features_shape, logits_shape):
        """Make the table, empty."""
        shape = logits_shape[-1], features_shape[-1]
        self.table = self.add_weight(
            shape=shape, initializer="zeros", trainable=False, name="table"
        )

    def call(self, features, logits):
        """Return `(B, 2 D)`: the features, and the context, into which no gradient flows."""
        considered = ops.softmax(ops.stop_gradient(logits) / self.temperature, axis=-1)
        return ops.concatenate([features, ops.matmul(considered, self.table)], axis=-1)

    def get_config(self):
        """What Keras saves."""
        return super().get_config() | {"temperature": self.temperature}


def mnist_student_interventional(seed: int) -> keras.Model:
    """Figure 3's network with a second head (Deng & Zhang 2021): 1,262,260 weights in all.

    Args:
        seed: Unused, as in the network itself.

    Returns:
        `(B, 28, 28, 1)` pixels 0–255 → `(B, 10)` logits of the second head; layers `h1`, `h2`,
        `plain_logits` (the first head), `context` and `logits`.
    """
    student = mnist_student(seed)
    features = student.get_layer("h2").output
    plain = layers.Dense(10, name="plain_logits")(features)
    with_context = Context(TEMPERATURE, name="context")(features, plain)
    logits = layers.Dense(10, name="logits")(with_context)
    return keras.Model(student.inputs, logits, name="mnist_student")

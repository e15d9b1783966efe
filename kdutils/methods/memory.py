"""A memory of the embeddings of all training images, for contrasts against more than a batch."""

import keras
import numpy as np
from keras import layers, ops

from kdutils.methods.vectors import unit_vectors


class MemoryBank(layers.Layer):
    """The latest embedding of every training image, `(images, width)`, and its class; not trained.

    An image that was not met yet has a random embedding and no class.

    Args:
        images: Number of training images.
        width: Of the embeddings.
        negatives: Rows drawn a step.
        momentum: Share of the old embedding that stays when a new one comes.
        temperature: `τ > 0`, dividing the dot products.
        seed: Of the first rows, and of the negatives.
    """

    def __init__(self, images, width, negatives, momentum, temperature, seed):
        super().__init__()
        self.images, self.negatives = images, negatives
        self.momentum, self.temperature = momentum, temperature
        limit = np.sqrt(3 / width)
        rows = np.random.default_rng([seed, images]).uniform(-limit, limit, (images, width))
        self.rows = self.add_weight(shape=rows.shape, trainable=False, name="rows")
        self.rows.assign(rows.astype("float32"))
        self.scale = self.add_weight(shape=(), initializer="zeros", trainable=False, name="scale")
        self.classes = self.add_weight(
            shape=(images,),
            initializer=keras.initializers.Constant(-1),
            dtype="int32",
            trainable=False,
            name="classes",
        )
        self.random = keras.random.SeedGenerator(seed)

    def scores(self, embeddings, own, labels):
        """Compare embeddings with the remembered ones, as `nce_loss` takes it.

        They are divided by a constant that makes those of the first batch `1/N` in the mean, as in
        the authors' code (the paper has none).

        Args:
            embeddings: `(B, width)`, of length 1.
            own: `(B,)`, row of each image.
            labels: `(B,)`, class of each image.

        Returns:
            `(B, 1 + negatives)`, the own row first; and `(B, negatives)`, whether a negative is of
            another class than the image. A row that was not met yet has no class, so it counts,
            whatever its image is.
        """
        drawn = keras.random.randint((self.negatives,), 0, self.images, seed=self.random)
        positive = ops.sum(embeddings * ops.take(self.rows, own, axis=0), axis=-1, keepdims=True)
        negative = ops.matmul(embeddings, ops.transpose(ops.take(self.rows, drawn, axis=0)))
        found = ops.exp(ops.concatenate([positive, negative], axis=1) / self.temperature)
        first = ops.stop_gradient(ops.mean(found)) * self.images
        scale = ops.convert_to_tensor(self.scale)
        self.scale.assign(ops.where(scale > 0, scale, first))
        of_drawn = ops.take(self.classes, drawn, axis=0)
        return found / self.scale, ops.cast(labels, "int32")[:, None] != of_drawn

    def remember(self, embeddings, own, labels):
        """Mix the embeddings of a batch into their rows, and bring these to length 1 again.

        Args:
            embeddings: `(B, width)`, of length 1; no gradient flows into them.
            own: `(B,)`, row of each image; none twice.
            labels: `(B,)`, class of each image.
        """
        old = ops.take(self.rows, own, axis=0)
        mixed = self.momentum * old + (1 - self.momentum) * ops.stop_gradient(embeddings)
        self.rows.assign(ops.scatter_update(self.rows, own[:, None], unit_vectors(mixed)))
        labels = ops.cast(labels, "int32")
        self.classes.assign(ops.scatter_update(self.classes, own[:, None], labels))

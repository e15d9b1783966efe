"""Heads that end in classes by way of subclasses."""

import keras
from keras import layers, ops


def class_logits(subclass_logits, classes):
    """Logits of the classes: the log-sum-exp of those of their subclasses.

    Their softmax is the sum of the subclasses' probabilities (Müller et al. 2020, section 3). That
    holds at temperature 1: soften the subclasses, never these.

    Args:
        subclass_logits: `(B, classes · s)`, ordered class by class.
        classes: Number of classes.

    Returns:
        `(B, classes)`.
    """
    subclasses = subclass_logits.shape[-1] // classes
    return ops.logsumexp(ops.reshape(subclass_logits, (-1, classes, subclasses)), axis=-1)


@keras.saving.register_keras_serializable("kdutils")
class ClassLogits(layers.Layer):
    """`class_logits` as a layer.

    Args:
        classes: Number of classes.
        options: Keras' own, such as `name`.
    """

    def __init__(self, classes: int, **options):
        super().__init__(**options)
        self.classes = classes

    def call(self, subclass_logits):
        """Sum up over the subclasses."""
        return class_logits(subclass_logits, self.classes)

    def get_config(self):
        """What Keras saves."""
        return super().get_config() | {"classes": self.classes}


def head(features, classes: int, subclasses: int):
    """End a network: in a layer `logits`, over one named `subclass_logits` if there are any.

    Args:
        features: What the head reads, `(B, D)`.
        classes: Number of classes.
        subclasses: Of each class; 1 for none.

    Returns:
        `(B, classes)` logits.
    """
    if subclasses == 1:
        return layers.Dense(classes, name="logits")(features)
    every = layers.Dense(classes * subclasses, name="subclass_logits")(features)
    return ClassLogits(classes, name="logits")(every)

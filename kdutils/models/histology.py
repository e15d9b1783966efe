"""Task 2: ResNet50V2 (teacher) and MobileNetV2 (student) of Keras, with heads of their own."""

import keras
from keras import layers

from kdutils.models.heads import head

MOMENTUM = 0.9
DROPOUT = 0.2

APPLICATIONS = {
    "resnet50v2": keras.applications.ResNet50V2,
    "mobilenetv2": keras.applications.MobileNetV2,
}

CUTS = {
    "resnet50v2": ("conv2_block3_out", "conv3_block4_out", "conv4_block6_out", "avg_pool"),
    "mobilenetv2": ("block_2_add", "block_5_add", "block_12_add", "avg_pool"),
}
"""By network, the layers up to which it can be frozen, from the input to the head.

All that lies above depends on the output of such a layer alone.
"""


def network(seed: int, name: str, classes: int = 2, subclasses: int = 1) -> keras.Model:
    """One of `APPLICATIONS` with a head of its own.

    With two classes ResNet50V2 (He et al. 2016, Identity mappings) has 23,568,898 parameters and
    MobileNetV2 (Sandler et al. 2018) 2,260,546.

    Args:
        seed: Fixes the dropout masks.
        name: Of the network.
        classes: Number of classes.
        subclasses: Of each class, see `kdutils.models.heads`.

    Returns:
        `(B, H, W, 3)` pixels 0–255 → `(B, classes)` logits, at any height and width; where these
        are multiples of 32, padded as Keras' own network for images of that size.
    """
    pixels = keras.Input((None, None, 3), name="pixels")
    # Both applications were trained on pixels from -1 to 1.
    x = layers.Rescaling(1 / 127.5, offset=-1, name="scale")(pixels)
    base = APPLICATIONS[name](include_top=False, weights=None, input_tensor=x)
    for layer in base.layers:
        # MobileNetV2's 0.999 leaves the statistics near their initial values for thousands of
        # steps: trained from random weights, the network would then judge worse than chance.
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = MOMENTUM
    x = layers.GlobalAveragePooling2D(name="avg_pool")(base.output)
    x = layers.Dropout(DROPOUT, seed=seed, name="dropout")(x)
    return keras.Model(pixels, head(x, classes, subclasses), name=name)

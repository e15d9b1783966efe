"""Seconds an epoch of Task 1's trainings, beside two other ways to distil, as ratios of one run.

The other ways are `keras.distillation.Distiller`, which runs the teacher on every batch, and the
eager loop of the usual course template, which does so too and compiles nothing. The floor is the
time that the student's arithmetic alone would take at the speed of the machine's own large matrix
product. Times on a shared machine vary, so the ways take turns and the medians are compared.
"""

import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.table import Table

from kdutils import data, models
from kdutils.task1 import Protocol
from kdutils.training_speed import training_of

BATCH, STEPS, ROUNDS = 256, 234, 3
TEMPERATURE, ALPHA = 4.0, 0.5
# A multiplication and an addition for every weight and image, three times: the forward pass, the
# gradient by the inputs and the gradient by the weights. The first layer needs none by its inputs.
STUDENT_FLOP = 2 * BATCH * STEPS * (3 * (784 * 784 + 784 * 10) + 2 * 784 * 784)


def main() -> None:
    """Measure every way in turns, and print the table."""
    protocol = Protocol(batch_size=BATCH)
    part = data.load("mnist").train.take(np.arange(BATCH * STEPS))
    teacher = models.build("mnist_teacher")
    teacher.trainable = False
    scaled = part.images.astype("float32")
    ways = {
        "teacher": (training_of(protocol.teacher(0), STEPS), 1.0),
        "student with KD": (training_of(protocol.distilled(0, TEMPERATURE, ALPHA), STEPS), 1.0),
        "keras.distillation.Distiller": keras_distiller(teacher, scaled, part.labels),
        "eager loop": eager_loop(teacher, scaled, part.labels),
        "large matrix product": (matrix_product, STUDENT_FLOP / matrix_product.flop),
    }
    seconds = {name: [] for name in ways}
    for way, _ in ways.values():
        way()  # compile, and touch the memory
    for _ in range(ROUNDS):
        for name, (way, factor) in ways.items():
            started = time.perf_counter()
            way()
            seconds[name].append(factor * (time.perf_counter() - started))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    table = Table("way", "seconds an epoch (median)", "range", "times the student with KD")
    for name, values in seconds.items():
        table.add_row(
            name,
            f"{medians[name]:.2f}",
            f"{min(values):.2f} – {max(values):.2f}",
            f"{medians[name] / medians['student with KD']:.2f}",
        )
    Console().print(table)


def keras_distiller(teacher, images, labels):
    """Keras' own distiller, with a loss instance so that it softens; a quarter of an epoch."""
    steps = STEPS // 4
    distiller = keras.distillation.Distiller(
        teacher=teacher,
        student=models.build("mnist_student"),
        distillation_losses=keras.distillation.LogitsDistillation(
            temperature=TEMPERATURE, loss=keras.losses.KLDivergence()
        ),
        student_loss_weight=1 - ALPHA,
    )
    distiller.compile(
        optimizer=keras.optimizers.Adam(1e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,
    )
    images, labels = images[: BATCH * steps], labels[: BATCH * steps]

    def epoch():
        distiller.fit(images, labels, batch_size=BATCH, shuffle=False, verbose=0)

    return epoch, STEPS / steps


def eager_loop(teacher, images, labels):
    """The course template: eager, with the teacher run on every batch; a tenth of an epoch."""
    student, optimizer = models.build("mnist_student"), keras.optimizers.Adam(1e-3)
    labels = labels.astype("int32")
    steps = STEPS // 10

    def epoch():
        for step in range(steps):
            rows = slice(step * BATCH, (step + 1) * BATCH)
            soft = tf.nn.softmax(teacher(images[rows], training=False) / TEMPERATURE)
            with tf.GradientTape() as tape:
                logits = student(images[rows], training=True)
                hard = tf.nn.sparse_softmax_cross_entropy_with_logits(labels[rows], logits)
                taught = tf.nn.softmax_cross_entropy_with_logits(soft, logits / TEMPERATURE)
                loss = tf.reduce_mean(
                    ALPHA * TEMPERATURE**2 * taught + (1 - ALPHA) * tf.cast(hard, "float32")
                )
            gradients = tape.gradient(loss, student.trainable_variables)
            optimizer.apply_gradients(zip(gradients, student.trainable_variables, strict=True))

    return epoch, STEPS / steps


def matrix_product() -> None:
    """Multiply large matrices, float32."""
    for _ in range(8):
        product = tf.linalg.matmul(_LEFT, _RIGHT)
    product.numpy()


_LEFT, _RIGHT = (tf.random.stateless_normal((2048, 2048), seed=(0, i)) for i in range(2))
matrix_product.flop = 8 * 2 * 2048**3

if __name__ == "__main__":
    main()

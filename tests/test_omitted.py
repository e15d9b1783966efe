import numpy as np
import pytest
import toy

from kdutils import data, models
from kdutils.omitted import errors_against_bias

pytestmark = pytest.mark.usefixtures("small", "trainer")
SHIFTS = [-2.0, 0.0, 0.7, 50.0]


def recounted(seed, part, labels, shift):
    """Errors of the same network with the bias itself moved."""
    model = models.build("mnist_student", seed)
    layer = model.get_layer("logits")
    kernel, bias = layer.get_weights()
    bias[list(labels)] += shift
    layer.set_weights([kernel, bias])
    wrong = model.predict(part.images, verbose=0).argmax(axis=1) != part.labels
    return int(wrong.sum()), int(wrong[np.isin(part.labels, labels)].sum())


@pytest.mark.parametrize(
    ("validation", "count", "labelled"), [(None, 100, 20), (30, 30, 6)], ids=["test", "validation"]
)
def test_moving_logits_counts_what_a_moved_bias_does(ledger, validation, count, labelled):
    runs = [toy.student(seed, validation=validation) for seed in (0, 1)]
    values = ledger.analyse(errors_against_bias, runs, "s", labels=[3, 7], shifts=SHIFTS).values
    dataset = data.load("toy", validation=validation or 0)
    part = dataset.validation or dataset.test
    for seed, errors, missed in zip((0, 1), values["errors"], values["missed"], strict=True):
        expected = [recounted(seed, part, [3, 7], shift) for shift in SHIFTS]
        assert list(zip(errors, missed, strict=True)) == expected
    assert (values["count"], values["labelled"]) == (count, labelled)


def test_a_bias_high_enough_finds_every_image_of_its_class_and_no_other(ledger):
    values = errors_against_bias(ledger, [toy.student()], labels=[3], shifts=[-1e4, 1e4])
    assert values["missed"] == [[10, 0]]
    assert values["errors"][0][1] == 90

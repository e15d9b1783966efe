import keras
import numpy as np
from keras import ops

from kdutils.autodiff import gradients


def test_each_argument_gets_the_gradient_of_the_sum():
    one, other = np.array([1.0, 2.0]), np.array([[3.0, 4.0], [5.0, 6.0]])
    by_one, by_other = gradients(lambda a, b: a**2 * b, one, other)
    np.testing.assert_allclose(by_one, 2 * one * other.sum(axis=0))
    np.testing.assert_allclose(by_other, np.tile(one**2, (2, 1)))


def test_what_takes_no_part_has_a_gradient_of_zero():
    used, unused = gradients(lambda a, b: ops.stop_gradient(b) + a, np.ones(3), np.ones(3))
    assert used.tolist() == [1, 1, 1]
    assert unused.tolist() == [0, 0, 0]


def test_the_precision_is_that_of_the_arguments():
    (found,) = gradients(ops.exp, np.zeros(2, "float32"))
    assert keras.backend.standardize_dtype(found.dtype) == "float32"

import numpy as np
import pytest

from kdutils.data import views

RANDOM = np.random.default_rng(3)
IMAGES = RANDOM.integers(0, 256, (5, 28, 28, 1), dtype="uint8")


@pytest.mark.parametrize("name", views.VIEWS)
def test_the_first_view_is_the_image_itself_and_all_are_of_its_kind(name):
    first, *others = views.of(name)
    np.testing.assert_array_equal(first(IMAGES), IMAGES)
    for view in others:
        seen = view(IMAGES)
        assert seen.shape == IMAGES.shape
        assert seen.dtype == "uint8"
        assert not np.array_equal(seen, IMAGES)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        (None, 1),
        ("shifts_1", 9),
        ("shifts_2", 25),
        ("deformations_32", 32),
        ("centred_deformations_16", 16),
        ("centred_deformations_64", 64),
    ],
)
def test_no_two_views_of_a_set_are_the_same(name, count):
    seen = {view(IMAGES).tobytes() for view in views.of(name)}
    assert len(seen) == count


def test_images_move_down_and_right_and_black_comes_in():
    image = np.arange(1, 10, dtype="uint8").reshape(1, 3, 3, 1)
    moved = views.shift(image, down=1, right=-1)[0, :, :, 0]
    np.testing.assert_array_equal(moved, [[0, 0, 0], [2, 3, 0], [5, 6, 0]])
    moved = views.shift(image, down=-2, right=1)[0, :, :, 0]
    np.testing.assert_array_equal(moved, [[0, 7, 8], [0, 0, 0], [0, 0, 0]])


@pytest.mark.parametrize("name", ["shifts_2", "deformations_32"])
def test_a_view_treats_each_image_by_itself_and_the_same_every_time(name):
    for view, again in zip(views.of(name), views.of(name), strict=True):
        whole = view(IMAGES)
        np.testing.assert_array_equal(again(IMAGES[2:4]), whole[2:4])


def test_a_larger_set_of_deformations_continues_a_smaller_one():
    few, many = views.of("centred_deformations_16"), views.of("centred_deformations_64")
    for small, large in zip(few, many, strict=False):
        np.testing.assert_array_equal(small(IMAGES), large(IMAGES))


STILL = {"shift": 0, "turn": 0, "stretch": 0, "shear": 0, "waves": 0, "smoothness": 4}


def test_a_deformation_by_nothing_changes_nothing():
    still = views.Deformation(28, 0, **STILL)
    np.testing.assert_array_equal(still(IMAGES), IMAGES)
    coloured = RANDOM.integers(0, 256, (2, 28, 28, 3), dtype="uint8")
    np.testing.assert_array_equal(still(coloured), coloured)


def test_pixels_are_taken_from_between_their_four_neighbours():
    source = np.array([[0.25], [0.5]])
    row = views._interpolation(np.repeat(source, 4, axis=1), 2).toarray()[0]
    np.testing.assert_allclose(row, [0.375, 0.375, 0.125, 0.125])
    outside = np.array([[-0.25], [1.5]])
    row = views._interpolation(np.repeat(outside, 4, axis=1), 2).toarray()[0]
    np.testing.assert_allclose(row, [0, 0.375, 0, 0], err_msg="black outside")


def test_a_quarter_turn_is_a_quarter_turn():
    turned = views.Deformation(28, 0, **STILL)
    grid = np.stack(np.meshgrid(np.arange(28), np.arange(28), indexing="ij")).reshape(2, -1)
    turned.weights = views._interpolation(np.array([grid[1], 27 - grid[0]]), 28)
    np.testing.assert_array_equal(turned(IMAGES), np.rot90(IMAGES, axes=(1, 2)))


def test_waves_move_pixels_by_about_their_size():
    blob = np.zeros((1, 28, 28, 1), "uint8")
    blob[0, 14, 14] = 255
    rows = []
    for seed in range(200):
        bent = views.Deformation(28, seed, **STILL | {"waves": 1.0})(blob).astype(float)[0, :, :, 0]
        if bent.sum() > 0:
            rows.append((bent.sum(axis=1) * np.arange(28)).sum() / bent.sum() - 14)
    assert len(rows) > 190
    assert 0.7 < np.std(rows) < 1.3

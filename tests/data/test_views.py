import numpy as np
import pytest

from kdutils.data import views

RANDOM = np.random.default_rng(3)
IMAGES = RANDOM.integers(0, 256, (5, 28, 28, 1), dtype="uint8")
TISSUE = RANDOM.integers(40, 240, (5, 28, 28, 3), dtype="uint8")


def images(name):
    """What a set of views is made for: stains need colours."""
    return TISSUE if name and name.startswith("restained") else IMAGES


@pytest.mark.parametrize("name", views.VIEWS)
def test_the_first_view_is_the_image_itself_and_all_are_of_its_kind(name):
    first, *others = views.of(name)
    np.testing.assert_array_equal(first(images(name)), images(name))
    for view in others:
        seen = view(images(name))
        assert seen.shape == images(name).shape
        assert seen.dtype == "uint8"
        assert not np.array_equal(seen, images(name))


@pytest.mark.parametrize(
    ("name", "count"),
    [
        (None, 1),
        ("shifts_1", 9),
        ("shifts_2", 25),
        ("turns", 8),
        ("restained_turns_32", 32),
        ("deformations_32", 32),
        ("centred_deformations_16", 16),
        ("centred_deformations_64", 64),
    ],
)
def test_no_two_views_of_a_set_are_the_same(name, count):
    seen = {view(images(name)).tobytes() for view in views.of(name)}
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


def affine(deformation):
    """Matrix and step, where pixels are taken from `matrix @ (pixel - middle) + middle + step`."""
    pixels = np.stack(np.meshgrid(*[np.arange(28)] * 2, indexing="ij")).reshape(2, -1)
    weights = deformation.weights.toarray()
    whole = np.isclose(weights.sum(axis=1), 1)  # the others reach over the edge
    sources = weights[whole] @ pixels.T
    design = np.c_[pixels.T[whole] - 13.5, np.ones(whole.sum())]
    solution, residuals, *_ = np.linalg.lstsq(design, sources - 13.5, rcond=None)
    assert residuals.max() < 1e-6
    return solution[:2].T, solution[2]


@pytest.mark.parametrize(
    ("setting", "size", "measure"),
    [
        ("turn", 10, lambda matrix, step: np.rad2deg(np.arctan2(matrix[1, 0], matrix[0, 0]))),
        ("stretch", 0.1, lambda matrix, step: matrix[0, 0] - 1),
        ("stretch", 0.1, lambda matrix, step: matrix[1, 1] - 1),
        ("shear", 0.15, lambda matrix, step: matrix[0, 1]),
        ("shift", 2, lambda matrix, step: step[0]),
        ("shift", 2, lambda matrix, step: step[1]),
    ],
)
def test_every_setting_moves_by_up_to_its_size_both_ways(setting, size, measure):
    found = [
        measure(*affine(views.Deformation(28, seed, **STILL | {setting: size})))
        for seed in range(100)
    ]
    assert -size - 1e-6 < min(found) < -0.8 * size
    assert 0.8 * size < max(found) < size + 1e-6


def test_a_turn_keeps_lengths_and_a_shift_keeps_all_else():
    matrix, step = affine(views.Deformation(28, 1, **STILL | {"turn": 10}))
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(2), atol=1e-6)
    np.testing.assert_allclose(step, 0, atol=1e-6)
    matrix, _ = affine(views.Deformation(28, 1, **STILL | {"shift": 2}))
    np.testing.assert_allclose(matrix, np.eye(2), atol=1e-6)


def test_restaining_changes_amounts_of_stain_and_no_shapes():
    stains = views.STAINS / np.linalg.norm(views.STAINS, axis=1, keepdims=True)

    def density(images):
        return -np.log((images.astype(float) + 1) / 256)

    none = views.Restaining(0, factor=0, offset=0)
    np.testing.assert_allclose(none(TISSUE).astype(int), TISSUE.astype(int), atol=1)
    amounts = RANDOM.uniform(0.2, 0.5, (5, 28, 28, 3))
    tissue = np.rint(256 * np.exp(-amounts @ stains) - 1).astype("uint8")
    change = views.Restaining(1, factor=0.2, offset=0.05)
    before, after = (
        (density(each) @ np.linalg.inv(stains)).reshape(-1, 3).T
        for each in (tissue, change(tissue))
    )
    for first, second in zip(before, after, strict=True):
        factor, offset = np.polyfit(first, second, 1)
        assert 0.8 < factor < 1.2
        assert abs(offset) < 0.06
        assert np.corrcoef(first, second)[0, 1] > 0.995
    assert np.abs(after - before).max() > 0.02


def test_the_first_views_of_a_restained_set_are_the_turns():
    for plain, view in zip(views.of("turns"), views.of("restained_turns_32"), strict=False):
        np.testing.assert_array_equal(plain(TISSUE), view(TISSUE))

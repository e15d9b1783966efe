"""What a split by chance gives away, measured without a network.

Simple numbers of a tile, of its colours and its texture, and two classical models of them: what
they score where slides are kept apart, and where tiles are dealt at random; and how surely they
tell which slide a tile is from, which is what such a deal lets a model use.
"""

from collections.abc import Callable, Mapping

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from kdutils import data
from kdutils.data import kather

SPLITS = ("kather", "kather_tiles")
"""By slide, and at random."""
COLOURS = 16  # bins of a channel
RADII = (1, 2, 4)  # pixels
GREY = np.array([0.299, 0.587, 0.114])  # of red, green and blue: luma
TREES = 500

MODELS: Mapping[str, Callable] = {
    "linear": lambda: make_pipeline(
        StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=2000)
    ),
    "forest": lambda: RandomForestClassifier(TREES, class_weight="balanced", random_state=0),
}


def measure(ledger, runs) -> dict:
    """Score simple models of simple features under both splits, for `Ledger.analyse`.

    Args:
        ledger: Unused: nothing here rests on a recorded run.
        runs: None, for the same reason.

    Returns:
        `roc_auc`, by name of the model and of the split the areas of all folds; `slides`, the
        share of tiles of each random fold whose slide a forest tells right; and `features`, how
        many numbers of a tile there are.
    """
    del ledger, runs
    areas = {name: {split: [] for split in SPLITS} for name in MODELS}
    told = []
    described = features(kather.at_size(kather.SIZE).images)  # both splits are of these tiles
    for split in SPLITS:
        for fold in data.folds(split):
            dataset = data.load(split, fold=fold)
            train, test = (described[part.ids] for part in (dataset.train, dataset.test))
            for name, build in MODELS.items():
                model = build().fit(train, dataset.train.labels)
                scores = model.predict_proba(test)[:, dataset.positive]
                positive = dataset.test.labels == dataset.positive
                areas[name][split].append(roc_auc_score(positive, scores))
            if split == "kather_tiles":
                model = MODELS["forest"]().fit(train, dataset.train.groups)
                told.append(model.score(test, dataset.test.groups))
    return {"roc_auc": areas, "slides": told, "features": described.shape[1]}


def features(images: np.ndarray) -> np.ndarray:
    """Histograms of colours, channel by channel, and of local binary patterns.

    None of these numbers changes when a tile is turned by quarters or mirrored.

    Args:
        images: `(N, H, W, 3)`, uint8.

    Returns:
        `(N, 3 * COLOURS + 10 * len(RADII))`, each histogram a share of the pixels it counts.
    """
    grey = images @ GREY
    values = images // (256 // COLOURS)
    parts = [_shares(values[..., channel], COLOURS) for channel in range(3)]
    parts += [_shares(binary_patterns(grey, radius), 10) for radius in RADII]
    return np.concatenate(parts, axis=1)


def binary_patterns(grey: np.ndarray, radius: int) -> np.ndarray:
    """Local binary patterns that are uniform and do not change in rotation.

    After Ojala, Pietikäinen and Mäenpää (2002), section 2, with eight neighbours. Theirs lie on a
    circle; here they lie on a square, so that no value has to be interpolated.

    Args:
        grey: `(N, H, W)`.
        radius: Half the side of the square, pixels.

    Returns:
        `(N, H - 2 radius, W - 2 radius)`: how many neighbours are at least as bright as the pixel
        itself, 0 to 8, where these lie side by side around it; 9 where they do not.
    """
    height, width = grey.shape[1:]
    around = [(-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1)]
    middle = grey[:, radius : height - radius, radius : width - radius]
    brighter = np.stack(
        [
            grey[
                :,
                radius * (1 + down) : height - radius * (1 - down),
                radius * (1 + right) : width - radius * (1 - right),
            ]
            >= middle
            for down, right in around
        ]
    )
    changes = (brighter != np.roll(brighter, 1, axis=0)).sum(axis=0)
    return np.where(changes <= 2, brighter.sum(axis=0), 9)


def _shares(values: np.ndarray, bins: int) -> np.ndarray:
    """Histograms `(N, bins)` of whole numbers from 0, image by image, each of sum 1."""
    flat = values.reshape(len(values), -1)
    counts = np.bincount(
        (flat + bins * np.arange(len(flat))[:, None]).ravel(), minlength=bins * len(flat)
    )
    return counts.reshape(len(flat), bins) / flat.shape[1]

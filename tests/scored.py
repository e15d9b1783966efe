"""Scores of two models on the same images, for tests of what is made of scores."""

import numpy as np

_RANDOM = np.random.default_rng(11)
LABELS = (_RANDOM.random(120) < 0.35).astype(int)
_SHARED = _RANDOM.normal(size=120)
# Correlated, the second rounded so that many are tied.
FIRST = 1.5 * LABELS + _SHARED + 0.6 * _RANDOM.normal(size=120)
SECOND = np.round(1.0 * LABELS + _SHARED + 0.8 * _RANDOM.normal(size=120))

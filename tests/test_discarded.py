import pytest

from kdutils import bench_task2, discarded, task2

SETTINGS = task2.Settings()
PROTOCOL = task2.Protocol("kather", 0, 96)


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("KD", 0),
        ("subclass", 0),
        ("relational (RKD)", 0),
        ("FitNets", 160 * 1024 + 1024),
        ("contrastive (CRD)", (2048 + 1280) * 128 + 2 * 128),
    ],
)
def test_regressors_and_projections_are_counted(name, weights):
    run = bench_task2.BENCH[name](PROTOCOL, 0, SETTINGS)
    assert discarded.weights(None, [run]) == {"weights": [weights]}

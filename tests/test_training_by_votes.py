import pytest

from kdutils import data, training
from kdutils.methods.votes import VoteTargets
from kdutils.runs import Run

TAUGHT_BY_VOTES = Run(
    "mobilenetv2",
    data="synthetic",
    method="votes",
    options={"alpha": 0.5},
    size=32,
    train_size=32,
    views="turns",
    epochs=1,
    batch_size=16,
)


def test_a_student_learns_from_the_votes_of_its_images():
    record, _ = training.train(TAUGHT_BY_VOTES)
    soft, hard = (record.history[term][0] for term in VoteTargets.term_names)
    assert record.history["loss"][0] == pytest.approx((soft + hard) / 2, rel=1e-5)


def test_images_without_votes_are_refused_by_name():
    part = data.load("synthetic_source", size=16).train
    with pytest.raises(training.TrainingError, match="have no votes"):
        training.shares_of_annotators(TAUGHT_BY_VOTES, part)

import pytest
import toy

from kdutils import head_scores, training


@pytest.mark.usefixtures("small")
def test_a_head_is_scored_by_its_own_logits(ledger, trainer):
    del trainer
    run = toy.teacher()
    found = ledger.analyse(head_scores.scores, [run], "study", tap="fc").values
    _, test = toy.read()
    logits = training.outputs(ledger.model(run), test, ("fc",)).values["fc"]
    assert found["accuracy"] == pytest.approx((logits.argmax(axis=1) == test.labels).mean())
    assert found["count"] == len(test)

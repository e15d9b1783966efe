"""The worked example of the contributor's guide works as it is printed there."""

import importlib
import re
from pathlib import Path

import numpy as np
import pytest
import toy
from scipy.special import softmax

from kdutils import data, methods, models, training
from kdutils.autodiff import gradients
from kdutils.data import Part
from kdutils.ledger import Ledger
from kdutils.methods.distiller import Distiller
from kdutils.runs import Run

GUIDE = Path(__file__).parents[2] / "book" / "contributing.md"
RANDOM = np.random.default_rng(53)
TEACHER, STUDENT = RANDOM.normal(size=(2, 8, 10)) * 3


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """The module printed in the guide, with the line of the registry."""
    file, line, asked, *_ = re.findall(r"```python\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    folder = tmp_path_factory.mktemp("guide")
    (folder / "probabilities.py").write_text(file, "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        module = importlib.import_module("probabilities")
        added = eval(f"{{{line}}}", vars(module))
        for name, method in added.items():
            patch.setitem(methods.METHODS, name, method)
        yield module, asked


def test_its_loss_by_value(example):
    module, _ = example
    p, q = (softmax(logits / 4, axis=1) for logits in (TEACHER, STUDENT))
    loss = module.probability_loss(TEACHER, STUDENT, 4.0)
    np.testing.assert_allclose(loss, ((p - q) ** 2).sum(axis=1), rtol=1e-9)
    teacher, student = gradients(
        lambda *pair: module.probability_loss(*pair, 4.0), TEACHER, STUDENT
    )
    assert (teacher == 0).all()
    assert np.abs(student).max() > 1e-3


@pytest.mark.usefixtures("small")
def test_it_can_be_asked_for_and_is_trained_once_and_kept(example, ledger, monkeypatch):
    _, asked = example
    monkeypatch.setitem(data.DATASETS, "mnist", "toy")
    monkeypatch.setattr(toy, "TRAIN_SIZE", 300)  # more than a batch
    monkeypatch.setattr(Ledger, "of_profile", lambda profile: ledger)
    names, again = {}, {}
    exec(asked, names)
    run, record = names["run"], names["record"]
    assert run.method == "probabilities"
    assert Run.from_json(run.to_json()) == run
    for term in ("match", "hard"):
        assert len(record.history[term]) == run.epochs
        assert min(record.history[term]) > 0
    assert {each.run for each in ledger.records().values()} == {run, run.teacher}
    monkeypatch.setattr(training, "train", None)
    exec(asked, again)
    assert again["record"] == record


def test_it_trains(example):
    del example
    images = RANDOM.integers(0, 256, (8, 28, 28, 1)).astype("uint8")
    part = Part(images, np.arange(8, dtype="uint8"), np.arange(8))
    student = models.build("mnist_student")
    before = student.get_weights()
    method = methods.build("probabilities", {"temperature": 4.0, "alpha": 0.5})
    distiller = Distiller(student, method)
    distiller.compile("adam", jit_compile=False)
    said = training.outputs(models.build("mnist_teacher"), part).values
    history = distiller.fit(
        {"images": images, "teacher": said}, part.labels, batch_size=8, verbose=0
    ).history
    assert history["match"][0] > 0
    assert history["hard"][0] > 0
    assert any((a != b).any() for a, b in zip(before, student.get_weights(), strict=True))

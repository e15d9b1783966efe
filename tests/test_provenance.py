import importlib
import os
import platform

import keras
import pytest

from kdutils import provenance
from kdutils.provenance import code_digest, lineage
from kdutils.runs import Run

TEACHER = Run("mnist_teacher")
STUDENT = Run("mnist_student")
KD = Run(
    "mnist_student",
    method="kd",
    options={"temperature": 4.0, "alpha": 0.5},
    teacher=TEACHER,
)
REGRESSED = Run(
    "mnist_student", method="logits", options={"alpha": 0.5}, teacher=TEACHER, init=STUDENT
)
SECOND = Run("mnist_student", method="logits", options={"alpha": 0.5}, teacher=KD)

SOURCE = '''
"""A module."""
import math


class Square:
    """A shape."""

    side = 2

    def area(self):
        """Return it."""
        # The side, squared.
        return f"{self.side**2} {'m' + self.unit!r:>4} {math.floor(4.5)}"


def nothing():
    """Do nothing."""
'''


@pytest.fixture
def digest_of(tmp_path, monkeypatch):
    """The digest of a run whose code is nothing but the source given."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(provenance, "SHARED_MODULES", ("some_module",))
    monkeypatch.setattr(provenance, "lineage", lambda run: [])

    def digest(source):
        (tmp_path / "some_module.py").write_text(source, encoding="utf-8")
        importlib.invalidate_caches()
        provenance.module_digest.cache_clear()
        return code_digest(STUDENT)

    yield digest
    provenance.module_digest.cache_clear()


@pytest.mark.parametrize("name", provenance.SAME_BITS)
def test_what_is_said_to_be_the_same_is_what_is_there(name, monkeypatch):
    # An entry that no longer fits the module does nothing, and has to go.
    now, before = provenance.SAME_BITS[name]
    assert provenance.module_digest(name) == before
    monkeypatch.setattr(provenance, "SAME_BITS", {})
    provenance.module_digest.cache_clear()
    assert provenance.module_digest(name) == now
    provenance.module_digest.cache_clear()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# The side, squared.", "# Another comment."),
        ('"""A module."""', '"""Another module."""'),
        ('"""A shape."""', ""),
        ('"""Return it."""', '"""Compute and return it.\n\n        At length.\n        """'),
        ('"""Do nothing."""', '"""Do not do anything."""'),
        ("side = 2", "side=2  # metres"),
        ("\n\n\ndef nothing", "\n\ndef nothing"),
    ],
)
def test_comments_docstrings_and_layout_do_not_count(old, new, digest_of):
    assert old in SOURCE
    assert digest_of(SOURCE.replace(old, new)) == digest_of(SOURCE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("side = 2", "side = 3"),
        ("self.side**2", "self.side*2"),
        ("self.side**2", "2**self.side"),
        ("{math.floor(4.5)}", "{math.floor(5.5)}"),
        ("def area", "def surface"),
        ("import math", "import cmath as math"),
        ("    side = 2\n", ""),
        ("def nothing():", "def nothing(x=1):"),
    ],
)
def test_code_counts(old, new, digest_of):
    assert old in SOURCE
    assert digest_of(SOURCE.replace(old, new)) != digest_of(SOURCE)


def test_digests_are_pinned(digest_of):
    # Records are compared with it wherever the report is built, so no Python may change it.
    assert digest_of(SOURCE) == "fa122467532d9673"


@pytest.mark.parametrize(
    ("changed", "affected"),
    [
        ("kdutils.methods.kd", {"kd", "second"}),
        ("kdutils.methods.logits", {"regressed", "second"}),
        ("kdutils.methods.distiller", {"teacher", "student", "kd", "regressed", "second"}),
        ("kdutils.models.mnist", {"teacher", "student", "kd", "regressed", "second"}),
        ("kdutils.models.initialise", {"teacher", "student", "kd", "regressed", "second"}),
        ("kdutils.data.dataset", {"teacher", "student", "kd", "regressed", "second"}),
        ("kdutils.metrics", {"teacher", "student", "kd", "regressed", "second"}),
        ("kdutils.training", {"teacher", "student", "kd", "regressed", "second"}),
        ("kdutils.figures", set()),
        ("kdutils.ledger", set()),
    ],
)
def test_a_run_depends_on_its_own_methods_and_those_of_its_teachers(changed, affected, monkeypatch):
    named = {
        "teacher": TEACHER,
        "student": STUDENT,
        "kd": KD,
        "regressed": REGRESSED,
        "second": SECOND,
    }
    before = {name: code_digest(run) for name, run in named.items()}
    original = provenance.module_digest
    monkeypatch.setattr(
        provenance, "module_digest", lambda name: "new" if name == changed else original(name)
    )
    assert {name for name, run in named.items() if code_digest(run) != before[name]} == affected


def test_a_run_depends_on_its_views_and_on_the_methods_its_own_builds_on(monkeypatch):
    options = {"temperature": 4, "alpha": 0.5}
    stopped = Run(
        "mnist_student",
        method="early_stopped_kd",
        options={**options, "stop_epoch": 4},
        teacher=TEACHER,
    )
    seen = Run("mnist_student", views="shifts_1")
    before = code_digest(stopped), code_digest(seen), code_digest(STUDENT)
    original = provenance.module_digest
    changed = {"kdutils.methods.kd", "kdutils.data.views"}
    monkeypatch.setattr(
        provenance, "module_digest", lambda name: "new" if name in changed else original(name)
    )
    assert code_digest(stopped) != before[0]
    assert code_digest(seen) != before[1]
    assert code_digest(STUDENT) == before[2]


def test_a_module_that_was_taken_out_of_another_counts_once_it_changes(monkeypatch):
    options = {
        "distance_weight": 1,
        "angle_weight": 1,
        "angle_samples": 8,
        "soft_weight": 1,
        "temperature": 4,
    }
    run = Run("mnist_student", method="relational", options=options, teacher=TEACHER)
    original = provenance.module_digest
    now = {"kdutils.methods.geometry": None}
    monkeypatch.setattr(
        provenance, "module_digest", lambda name: now[name] if name in now else original(name)
    )
    taken_out = code_digest(run)
    monkeypatch.setattr(
        provenance,
        "_method_modules",
        lambda method, modules=provenance._method_modules: modules(method) - set(now),
    )
    assert code_digest(run) == taken_out
    monkeypatch.undo()
    now["kdutils.methods.geometry"] = "new"
    monkeypatch.setattr(
        provenance, "module_digest", lambda name: now[name] if name in now else original(name)
    )
    assert code_digest(run) != taken_out


def test_settings_are_no_part_of_the_code():
    assert code_digest(KD) == code_digest(
        Run("mnist_student", method="kd", options={"temperature": 1, "alpha": 1}, teacher=TEACHER)
    )


def test_lineage_starts_with_what_everything_rests_on():
    assert lineage(TEACHER) == [TEACHER]
    assert lineage(KD) == [TEACHER, KD]
    assert lineage(SECOND) == [TEACHER, KD, SECOND]
    assert lineage(REGRESSED) == [TEACHER, STUDENT, REGRESSED]


def test_lineage_names_each_run_once():
    both = Run("mnist_student", method="logits", options={"alpha": 0.5}, teacher=SECOND, init=KD)
    assert lineage(both) == [TEACHER, KD, SECOND, both]


def test_versions_name_what_computes():
    found = provenance.versions()
    assert set(found) == {"python", "keras", keras.backend.backend(), "numpy", "pillow", "kdutils"}
    assert found["keras"] == keras.__version__
    assert found["python"] == platform.python_version()
    assert all(value[0].isdigit() for value in found.values())


def test_the_machine_is_described_and_not_named():
    found = provenance.machine()
    assert set(found) == {"system", "processor", "cores"}
    assert found["cores"] == os.cpu_count()
    assert found["processor"]
    assert platform.node() not in found.values()

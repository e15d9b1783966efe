"""Distillation methods, by name: one file a method, one line here."""

import inspect

from kdutils.methods.causal import InterventionalDistillation
from kdutils.methods.contrastive import InBatchContrast
from kdutils.methods.decoupled import DecoupledDistillation
from kdutils.methods.dist import RelationsOfPredictions
from kdutils.methods.distiller import Method, Supervised
from kdutils.methods.early_stopped import EarlyStoppedDistillation
from kdutils.methods.extractive import ExtractiveDistillation
from kdutils.methods.fitnets import HintedDistillation, Hints
from kdutils.methods.kd import KnowledgeDistillation
from kdutils.methods.label_smoothing import LabelSmoothing
from kdutils.methods.logits import LogitRegression
from kdutils.methods.memory_bank import MemoryBankContrast
from kdutils.methods.relational import RelationalDistillation
from kdutils.methods.standardized import StandardizedDistillation
from kdutils.methods.student_friendly import StudentFriendlyTeaching
from kdutils.methods.subclass import (
    KnownSubclassDistillation,
    SubclassDistillation,
    SubclassTeaching,
)
from kdutils.methods.votes import VoteTargets

METHODS: dict[str | None, type[Method]] = {
    None: Supervised,
    "kd": KnowledgeDistillation,
    "logits": LogitRegression,
    "early_stopped_kd": EarlyStoppedDistillation,
    "label_smoothing": LabelSmoothing,
    "interventional": InterventionalDistillation,
    "extractive": ExtractiveDistillation,
    "subclass_teaching": SubclassTeaching,
    "subclass": SubclassDistillation,
    "known_subclass": KnownSubclassDistillation,
    "student_friendly_teaching": StudentFriendlyTeaching,
    "relational": RelationalDistillation,
    "hints": Hints,
    "hinted_kd": HintedDistillation,
    "contrast": InBatchContrast,
    "contrast_with_memory": MemoryBankContrast,
    "decoupled": DecoupledDistillation,
    "dist": RelationsOfPredictions,
    "standardized": StandardizedDistillation,
    "votes": VoteTargets,
}


def build(name: str | None, options: dict) -> Method:
    """Make a method from its name and options.

    Every option has to be given: a default that changed later would change what a record means.

    Args:
        name: One of `METHODS`; `None` is training on labels alone.
        options: The method's own options, such as `{"temperature": 4.0, "alpha": 0.5}`.

    Raises:
        ValueError: An unknown method, an unknown, missing or impossible option.
    """
    if name not in METHODS:
        raise ValueError(f"no method {name!r}; there are {', '.join(filter(None, METHODS))}")
    known = set(inspect.signature(METHODS[name]).parameters)
    if set(options) != known:
        raise ValueError(
            f"method {name!r} takes exactly the options {sorted(known)}, not {sorted(options)}"
        )
    return METHODS[name](**options)

"""The ledger: the store of finished runs, which trains what it does not hold."""

import contextlib
import copy
import functools
import hashlib
import json
import logging
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import keras
import numpy as np
from filelock import FileLock

from kdutils import analyses, data, methods, models, provenance, training
from kdutils.analyses import Analysis
from kdutils.models.taps import tapped
from kdutils.paths import BUILD, RESULTS, replaced_atomically
from kdutils.runs import Record, Run, digest, key

logger = logging.getLogger(__name__)


class LedgerError(RuntimeError):
    """A stored result that cannot be trusted; the message names it and says what to do."""


@dataclass(frozen=True)
class Ledger:
    """Records in files of JSON lines, one file a study; weights and outputs in a cache.

    A record is one line with its key and a checksum. A file of records is only ever replaced as a
    whole, so a reader never meets a part of one. Any number of processes may use one ledger: of
    those that ask for the same run at once, one trains it and the others wait.

    Args:
        folder: Where new records go.
        published: A folder of further records, which is never written; `None` for none.
        cache: Where weights, snapshots, teacher outputs and interrupted trainings lie, by key, and
            the outputs of frozen layers.
    """

    folder: Path
    published: Path | None = None
    cache: Path = BUILD / "cache"

    @classmethod
    def of_profile(cls, profile: str) -> "Ledger":
        """The ledger of a profile of the report; none writes to `results/`.

        The full profile reads the published records there, and so do notebooks that are run by hand
        (`custom`); any other profile trains everything itself, once.
        """
        published = RESULTS if profile in ("full", "custom") else None
        return cls(BUILD / "ledger" / profile, published)

    def obtain(
        self,
        run: Run,
        study: str,
        on_epoch: Callable[[int, dict], None] | None = None,
    ) -> Record:
        """Return the record of a run, training it, and what it rests on, if there is none yet.

        Args:
            run: What is wanted.
            study: The file of records a new record goes to.
            on_epoch: See `kdutils.training.train`.

        Raises:
            LedgerError: A stored record is damaged.
            kdutils.training.TrainingError: The run cannot be trained.
        """
        found = self.find(run)
        if found is None:
            for source in filter(None, (run.teacher, run.init)):
                self.obtain(source, study)
            with _locked(self.cache, self.key(run)):
                # Whoever held the lock may have finished this very run.
                found = self.find(run)
                if found is None:
                    found = self._prefix(run) or self._train(run, on_epoch)
                    found = replace(found, study=study)
                    self._store(found)
        return found

    def find(self, run: Run) -> Record | None:
        """Return the record of a run, or `None`."""
        return self.records().get(self.key(run))

    def key(self, run: Run) -> str:
        """The key of a run under the present data, backend and precision."""
        precision = keras.config.dtype_policy().name
        return key(run, data.fingerprint(run.data), keras.backend.backend(), precision)

    def records(self) -> dict[str, Record]:
        """All records of runs, by key.

        Raises:
            LedgerError: A line is damaged.
        """
        return {name: each for name, each in self._stored().items() if isinstance(each, Record)}

    def analyses(self) -> list[Analysis]:
        """All that was measured on trained models.

        Raises:
            LedgerError: A line is damaged.
        """
        stored = self._stored()
        return [
            replace(each, stale=not _current(each, stored))
            for each in stored.values()
            if isinstance(each, Analysis)
        ]

    def analyse(
        self, function: Callable, runs: Iterable[Run], study: str, **parameters
    ) -> Analysis:
        """Return what a function measures on trained models; measured once, then kept.

        Args:
            function: Called as `function(ledger, runs, **parameters)`; gives a dictionary that JSON
                can hold, NumPy's arrays allowed. It has to be a function of a module.
            runs: Whose models it looks at; those that are missing are trained.
            study: The file of records it goes to.
            parameters: What else it is given, as JSON can hold it.

        Raises:
            LedgerError: A stored record is damaged.
        """
        runs = list(runs)
        name, keys = analyses.name(function), tuple(self.key(run) for run in runs)
        key = analyses.key(name, keys, parameters)
        records = [self.obtain(run, study) for run in runs]
        found = self._stored().get(key)
        if found is None:
            with _locked(self.cache, key):
                found = self._stored().get(key)
                if found is None:
                    logger.info("measuring %s on %d models", name, len(runs))
                    started = time.perf_counter()
                    values = analyses.rounded(function(self, runs, **parameters))
                    found = Analysis(
                        function=name,
                        runs=keys,
                        trained=tuple(record.finished for record in records),
                        parameters=parameters,
                        values=values,
                        seconds=round(time.perf_counter() - started, 1),
                        code=provenance.module_digest(function.__module__),
                        versions=provenance.versions(),
                        machine=provenance.machine(),
                        finished=datetime.now(UTC).isoformat(timespec="seconds"),
                        study=study,
                    )
                    self._store(found)
        return replace(
            found,
            # A copy, as the caller may work on it, and what is read from a file is read once.
            values=copy.deepcopy(found.values),
            stale=not _current(found, {record.key: record for record in records}),
        )

    def _stored(self) -> dict[str, Record | Analysis]:
        found = {}
        for folder in filter(None, (self.folder, self.published)):
            for path in sorted(folder.glob("*.jsonl")):
                found |= {each.key: each for each in read_study(path)}
        return found

    def model(self, run: Run) -> keras.Model:
        """Return the trained model of a run; where its weights are not at hand, train it again."""
        weights = self._workspace(run) / "weights.npz"
        if not weights.exists():
            with _locked(self.cache, self.key(run)):
                if not weights.exists():
                    logger.info("training %s again: its weights are not in the cache", run.label)
                    self._train(run)
        return _restored(run, weights)

    def trained(self, run: Run) -> str | None:
        """When the training finished whose weights are in the cache; `None` without weights."""
        finished = self._workspace(run) / "finished"
        return finished.read_text() if finished.exists() else None

    def exemplar(self, run: Run) -> keras.Model:
        """Return the trained model of a run with its weights rounded to half precision.

        That is how the weights of a few models are published, so that what a page shows of them
        needs no training. Wherever the weights come from, they are rounded alike.
        """
        path = self.published and _exemplar_path(self.published, self.key(run))
        if path and path.exists():
            with _naming_damage(path), np.load(path, allow_pickle=False) as stored:
                finished = str(stored["finished"])
            found = self.find(run)
            if found is not None and found.finished == finished:
                return _restored(run, path)
        model = self.model(run)
        for weight in model.weights:
            weight.assign(keras.ops.convert_to_numpy(weight).astype("float16"))
        return model

    def outputs(self, run: Run, part: data.Part, taps: tuple[str, ...]) -> training.Outputs:
        """Return what a trained model says about a part of the data; computed once, then kept."""
        (found,) = self._outputs_of_all(run, [part], taps)
        return found

    def _outputs_of_all(
        self, run: Run, parts: Iterable[data.Part], taps: tuple[str, ...]
    ) -> list[training.Outputs]:
        paths, missing = [], {}
        for part in parts:
            # The ids of a training and a test part may be the same numbers.
            images = hashlib.sha256(part.images.tobytes()).hexdigest()
            name = digest({"ids": part.ids.tolist(), "images": images, "taps": taps})
            path = self._workspace(run) / f"outputs-{name}.npz"
            paths.append(path)
            if not path.exists():
                missing[path] = part
        if missing:
            said = training.said_by(tapped(self.model(run), taps), list(missing.values()))
            for path, found in zip(missing, said, strict=True):
                with replaced_atomically(path) as temporary, temporary.open("wb") as file:
                    np.savez(file, ids=found.ids, **found.values)
        return [_stored_outputs(path, taps) for path in paths]

    def _train(self, run: Run, on_epoch=None) -> Record:
        initial = run.init and self.model(run.init)
        teacher = None
        if run.teacher is not None:
            part, taps = training.load_data(run).train, methods.METHODS[run.method].teacher_taps
            teacher = self._outputs_of_all(run.teacher, training.in_all_views(run, part), taps)
        workspace = self._workspace(run)
        record, model = training.train(
            run, teacher, initial, workspace, on_epoch, self.cache / "frozen"
        )
        self._keep(model, record)
        (workspace / "state.npz").unlink(missing_ok=True)
        return record

    def _prefix(self, run: Run) -> Record | None:
        """Make the record of a run from a snapshot of the same run trained for longer."""
        if not run.keeps_snapshots:
            return None
        for longer in self.records().values():
            if longer.run.shorter(run.epochs) != run or self.key(longer.run) != longer.key:
                continue
            snapshot = training.snapshot_path(self._workspace(longer.run), run.epochs)
            # The snapshots have to be those of the very training that was recorded.
            if snapshot.exists() and self.trained(longer.run) == longer.finished:
                model = _restored(run, snapshot)
                history = {name: values[: run.epochs] for name, values in longer.history.items()}
                dataset = training.load_data(run)
                record = training.assess(run, model, dataset, history, prefix_of=longer.key)
                self._keep(model, record)
                return record
        return None

    def _keep(self, model: keras.Model, record: Record) -> None:
        """Write the weights of a run: before its record, which says that the run is finished."""
        workspace = self._workspace(record.run)
        for earlier in workspace.glob("outputs-*.npz"):
            earlier.unlink()  # they are those of weights that are now replaced
        training.save_weights(model, workspace / "weights.npz")
        (workspace / "finished").write_text(record.finished)

    def _store(self, record: Record | Analysis) -> None:
        path = self.folder / f"{record.study}.jsonl"
        update_study(path, lambda records: [*records, record])

    def _workspace(self, run: Run) -> Path:
        # Weights that other code has trained are as good as none.
        return self.cache / f"{self.key(run)}-{provenance.code_digest(run)}"


def read_study(path: Path) -> Iterator[Record | Analysis]:
    """Read a file of records and analyses; a file that is not there holds none.

    Raises:
        LedgerError: A line is not what was written; it is named.
    """
    if not path.exists():
        return
    status = path.stat()
    version = (status.st_mtime_ns, status.st_ino, status.st_size)
    for number, line in enumerate(_lines(path, version), start=1):
        yield _parse(line, path.stem, f"{path}, line {number}")


def update_study(
    path: Path, change: Callable[[list[Record | Analysis]], list[Record | Analysis]]
) -> None:
    """Change a file of records while nobody else does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        records = list(read_study(path))
        changed = change(records)
        if changed != records:
            write_study(changed, path)


def write_study(records: Iterable[Record | Analysis], path: Path) -> None:
    """Replace a file of records as a whole."""
    lines = []
    for record in records:
        content = record.to_json()
        kind = "record" if isinstance(record, Record) else "analysis"
        line = {"key": record.key, "checksum": digest(content), kind: content}
        lines.append(json.dumps(line, separators=(",", ":"), ensure_ascii=False) + "\n")
    with replaced_atomically(path) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")


@functools.lru_cache(maxsize=64)
def _lines(path: Path, version: tuple[int, ...]) -> tuple[str, ...]:
    del version  # part of the cache's key alone: a file that changed is read again
    # What is no text shows in the checksum of its line, which can then be named.
    with path.open(encoding="utf-8", errors="replace") as file:
        return tuple(file)


@functools.lru_cache(maxsize=4096)
def _parse(line: str, study: str, where: str) -> Record | Analysis:
    name = "unreadable"
    try:
        stored = json.loads(line)
        name, kind = stored["key"], Analysis if "analysis" in stored else Record
        content = stored["analysis" if kind is Analysis else "record"]
        whole = stored["checksum"] == digest(content)
        record = kind.from_json(content, study=study) if whole else None
    except (ValueError, KeyError, TypeError):
        whole = False
    if not whole or record.key != name:
        raise LedgerError(
            f"{where}: the record {name} is damaged, so it is not used. Restore the file "
            "(`git checkout` if it is a published one), or delete this line to train the run again."
        )
    return replace(record, stale=record.code != _present_code(record))


def _present_code(record: Record | Analysis) -> str | None:
    if isinstance(record, Record):
        return provenance.code_digest(record.run)
    try:
        return provenance.module_digest(record.function.partition(":")[0])
    except ModuleNotFoundError:
        return None


def _stored_outputs(path: Path, taps: tuple[str, ...]) -> training.Outputs:
    with _naming_damage(path), np.load(path, allow_pickle=False) as stored:
        return training.Outputs(stored["ids"], {tap: stored[tap] for tap in taps})


def _restored(run: Run, weights: Path) -> keras.Model:
    model = models.build(run.model, run.seed)
    with _naming_damage(weights):
        training.load_weights(model, weights)
    return model


@contextlib.contextmanager
def _naming_damage(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise LedgerError(
            f"{path} is damaged ({error}), so it is not used; delete it to have it made again."
        ) from error


def _locked(cache: Path, name: str) -> FileLock:
    folder = cache / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / f"{name}.lock")


def publish(source: Path, target: Path) -> dict[str, int]:
    """Add records to the published ones, study by study, or put them in the place of stale ones.

    Args:
        source: A folder of records, such as `_build/ledger/full`; stale ones stay where they are.
        target: The folder to add to, such as `results/`.

    Returns:
        How many records of each study were added or renewed.
    """
    paths = sorted(source.glob("*.jsonl"))
    gained = dict.fromkeys((path.stem for path in paths), 0)
    # Records first: they decide which analyses are those of the published models.
    for kind in (Record, Analysis):
        records = Ledger(target).records()
        for path in paths:
            fresh = {
                each.key: each
                for each in read_study(path)
                if isinstance(each, kind) and _current(each, records)
            }

            def renewed(stored, fresh=fresh, kind=kind, records=records, study=path.stem) -> list:
                valid = {
                    each.key: each
                    for each in stored
                    if not isinstance(each, kind) or _current(each, records)
                }
                gained[study] += len(fresh.keys() - valid.keys())
                return list(({each.key: each for each in stored} | fresh | valid).values())

            update_study(target / path.name, renewed)
    return gained


def _current(stored: Record | Analysis, records: dict[str, Record]) -> bool:
    """Whether present code makes the same of it; of an analysis, on the models of these records."""
    if isinstance(stored, Record) or stored.stale:
        return not stored.stale
    models = [records.get(name) for name in stored.runs]
    return (
        all(models)
        and not any(model.stale for model in models)
        and stored.trained == tuple(model.finished for model in models)
    )


def publish_weights(record: Record, ledger: Ledger, target: Path) -> Path:
    """Publish the weights of one model in half precision, see `Ledger.exemplar`.

    Args:
        record: Of the run that trained the model.
        ledger: Where the model is.
        target: The folder of published records.

    Raises:
        LedgerError: The weights that the record speaks of are not at hand.
    """
    if ledger.trained(record.run) != record.finished:
        raise LedgerError(
            f"{ledger.cache} does not hold the weights that record {record.key} speaks of "
            f"({record.run.label}), so none are published. Delete the line of the record in "
            f"{record.study}.jsonl, execute the page that uses it, and publish both."
        )
    weights = {
        weight.path: keras.ops.convert_to_numpy(weight).astype("float16")
        for weight in ledger.model(record.run).weights
    }
    path = _exemplar_path(target, record.key)
    with replaced_atomically(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **weights, finished=record.finished)
    return path


def _exemplar_path(folder: Path, key: str) -> Path:
    return folder / "weights" / f"{key}.npz"

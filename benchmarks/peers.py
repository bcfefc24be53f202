"""Who takes turns in the training benchmark: legoclf itself, retrain.py's way, scikit-learn.

All of them train on the same images, in the same split, in the same run. Keras and timm have modules of
their own.
"""

import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from legoclf.benchmarks.peers_task import Contender, Samples, Task, extract, pooled
from legoclf.benchmarks.retraining import yardstick_rates
from legoclf.benchmarks.yardstick import Yardstick
from legoclf.errors import LegoclfError, missing_package
from legoclf.retrain.blas import one_blas_thread
from legoclf.retrain.cross_validate import Pooled
from legoclf.retrain.heads import SgdSettings, train_sgd
from legoclf.retrain.lbfgs import L2_GRID, train_lbfgs
from legoclf.split import TEST, TRAIN, VALIDATION

OWN_WHOLE = "legoclf, photos to head"
OWN_PASSES = "legoclf, photos to features"
#: Images a second that the default head is fitted on; its last stage.
HEAD = "head"
SKLEARN = "scikit-learn, LogisticRegressionCV"


class Legoclf(Contender):
    """`legoclf retrain` from the photos to the head, with nothing cached."""

    def __init__(self, task: Task) -> None:
        self._task = task

    def turn(self) -> Samples:
        """See :class:`Contender`."""
        task = self._task
        with tempfile.TemporaryDirectory() as scratch:
            start = time.perf_counter()
            _, features = extract(task.vector, task.dataset, task.views, Path(scratch))
            extracted = time.perf_counter()
            train_lbfgs(features[TRAIN], features[VALIDATION], task.classes)
            end = time.perf_counter()
        return {
            OWN_WHOLE: ("s", end - start),
            OWN_PASSES: ("1/s", task.passes / (extracted - start)),
            HEAD: ("1/s", task.learnt_from / (end - extracted)),
        }

    def answers(self) -> Pooled:
        """See :class:`Contender`."""
        features = self._task.features
        head = train_lbfgs(features[TRAIN], features[VALIDATION], self._task.classes)
        return pooled("legoclf", head.logits(features[TEST].rows), features[TEST].labels)


class RetrainPy(Contender):
    """retrain.py's way, both readings; its answers are those of its SGD on the views that legoclf caches.

    Args:
        yardstick: on the task's training images; the caller closes it.
        seconds: of a turn.
        steps: of its SGD, for the answers.
    """

    def __init__(self, task: Task, yardstick: Yardstick, seconds: float, steps: int) -> None:
        self._task, self._yardstick = task, yardstick
        self._seconds, self._steps = seconds, steps
        self.note = f"retrain.py's SGD: {steps} steps, on the views that legoclf has cached"

    def turn(self) -> Samples:
        """See :class:`Contender`."""
        rates = yardstick_rates(self._yardstick, self._seconds / 2)
        return {name: ("1/s", rate) for name, rate in rates.items()}

    def answers(self) -> Pooled:
        """See :class:`Contender`."""
        features = self._task.features
        settings = SgdSettings(how_many_training_steps=self._steps, eval_step_interval=self._steps)
        train, validation = features[TRAIN], features[VALIDATION]
        head = train_sgd(train, validation, self._task.classes, settings, 0, lambda _: None)
        return pooled("retrain.py's SGD", head.logits(features[TEST].rows), features[TEST].labels)


class ScikitLearn(Contender):
    """Its logistic regression on the same features, L2 chosen on the same validation images.

    LogisticRegressionCV goes along the strengths that legoclf tries, from strong to weak, each from where
    the last one ended; it fits the best on training and validation images together, as legoclf does, and on
    as many threads.

    Raises:
        LegoclfError: scikit-learn is not installed, or there is no validation image to choose by.
    """

    strengths = L2_GRID

    def __init__(self, task: Task) -> None:
        try:
            import sklearn
            import sklearn.linear_model
            import sklearn.model_selection
            import sklearn.pipeline
            import sklearn.preprocessing
        except ImportError as error:
            raise missing_package("scikit-learn", "bench") from error
        self._sklearn: Any = sklearn
        self._task = task
        train, validation = task.features[TRAIN], task.features[VALIDATION]
        if not len(validation):
            raise LegoclfError("no validation image to choose the L2 by")
        self._rows = np.concatenate([train.rows, validation.rows])
        self._labels = np.concatenate([train.labels, validation.labels])
        self._train_rows = len(train)
        self._fold = np.repeat([-1, 0], [len(train), len(validation)])
        self._model: Any = None
        self.note = (
            f"scikit-learn {sklearn.__version__}: StandardScaler and LogisticRegressionCV "
            "(lbfgs, balanced) over legoclf's L2 strengths, on the same features and validation images"
        )

    def turn(self) -> Samples:
        """See :class:`Contender`; a fit takes what it takes."""
        linear, folds = self._sklearn.linear_model, self._sklearn.model_selection
        regression = linear.LogisticRegressionCV(
            # legoclf's strengths are of the mean loss, scikit-learn's C of the sum.
            Cs=[1.0 / (strength * self._train_rows) for strength in self.strengths],
            cv=folds.PredefinedSplit(self._fold),
            scoring="neg_log_loss",
            class_weight="balanced",
            max_iter=300,
        )
        scaler = self._sklearn.preprocessing.StandardScaler()
        self._model = self._sklearn.pipeline.make_pipeline(scaler, regression)
        fit = one_blas_thread(self._model.fit)
        with warnings.catch_warnings():
            # Of defaults that will change, and of weak strengths that have not converged.
            warnings.simplefilter("ignore")
            start = time.perf_counter()
            fit(self._rows, self._labels)
            elapsed = time.perf_counter() - start
        return {SKLEARN: ("1/s", self._task.learnt_from / elapsed)}

    def answers(self) -> Pooled:
        """See :class:`Contender`."""
        test = self._task.features[TEST]
        return Pooled("scikit-learn", self._model.predict(test.rows) == test.labels)

"""Softmax heads on fixed features, and retrain.py's way to train one: plain SGD."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from legoclf.retrain.balance import BALANCES, check_balance, class_weights
from legoclf.retrain.blas import one_blas_thread


@dataclass(frozen=True)
class Features:
    """Feature vectors of one split: ``rows`` float32 [N, D], ``labels`` int [N].

    Training rows hold every view of an image one after the other.
    """

    rows: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Head:
    """A softmax layer: ``weights`` float32 [D, C], ``bias`` float32 [C], and how it was found.

    validation_logits: float32 [N, C] for the validation rows, where the head has since learnt from
    them too: what it said before.
    """

    weights: np.ndarray
    bias: np.ndarray
    how: dict[str, object]
    validation_logits: np.ndarray | None = None

    def logits(self, rows: np.ndarray) -> np.ndarray:
        """float32 [N, C] of features float32 [N, D]."""
        return rows @ self.weights + self.bias


@dataclass(frozen=True)
class SgdSettings:
    """retrain.py's training flags, with its defaults."""

    how_many_training_steps: int = 4000
    learning_rate: float = 0.01
    train_batch_size: int = 100
    validation_batch_size: int = 100
    eval_step_interval: int = 10


@dataclass(frozen=True)
class Evaluation:
    """What is known of a step, or of an epoch: accuracies as fractions, mean cross entropies in nats."""

    step: int
    train_accuracy: float
    train_cross_entropy: float
    validation_accuracy: float | None
    validation_cross_entropy: float | None
    learning_rate: float | None = None


StepCallback = Callable[[int, "Head"], None]
EvaluationCallback = Callable[[Evaluation], None]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities [N, C] of logits [N, C], along the last axis."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def accuracy_and_cross_entropy(logits: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Share of rows whose largest logit is at the label, and the mean cross entropy in nats."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(axis=1))
    cross_entropy = log_sum - shifted[np.arange(len(labels)), labels]
    return float((logits.argmax(axis=1) == labels).mean()), float(cross_entropy.mean())


@one_blas_thread
def train_sgd(
    train: Features,
    validation: Features,
    classes: int,
    settings: SgdSettings,
    seed: int,
    on_evaluation: EvaluationCallback,
    on_step: StepCallback | None = None,
    keep_on_interrupt: bool = False,
    balance: str = BALANCES[0],
) -> Head:
    """Plain SGD as retrain.py does it: no momentum, no decay, no L2.

    Each batch draws a class uniformly, then one of its rows, with replacement, so classes count
    alike whatever their size. Weights start as a normal of deviation 0.001 cut at two deviations.

    Args:
        balance: one of BALANCES: all but ``sample`` draw among all rows alike, for validation batches too.
        keep_on_interrupt: end at Ctrl-C with the head as it is, ``how["interrupted"]`` being true,
            instead of raising KeyboardInterrupt; before the first step it is raised all the same.
    """
    check_balance(balance)
    random = np.random.default_rng([seed, 1])
    weights = _truncated_normal(random, (train.rows.shape[1], classes), 0.001)
    bias = np.zeros(classes, np.float32)
    rate = np.float32(settings.learning_rate)
    sampler = BalancedSampler if balance == "sample" else UniformSampler
    draw = sampler(train.labels)
    draw_validation = sampler(validation.labels) if len(validation) else None
    counts = class_weights(train.labels) if balance == "weight" else None
    how: dict[str, object] = {"name": "sgd", **vars(settings)}
    if balance != BALANCES[0]:
        how["balance"] = balance
    step = 0
    try:
        for step in range(settings.how_many_training_steps):
            chosen = draw.sample(random, settings.train_batch_size)
            rows, labels = train.rows[chosen], train.labels[chosen]
            gradient = softmax(rows @ weights + bias)
            gradient[np.arange(len(labels)), labels] -= 1.0
            gradient *= rate / np.float32(len(labels))
            if counts is not None:
                gradient *= counts[chosen, None]
            weights -= rows.T @ gradient
            bias -= gradient.sum(axis=0)
            head = Head(weights, bias, how)
            last = step + 1 == settings.how_many_training_steps
            if step % settings.eval_step_interval == 0 or last:
                size = settings.validation_batch_size
                sample = _validation_sample(validation, draw_validation, random, size)
                on_evaluation(_evaluate(step, head, Features(rows, labels), sample))
            if on_step is not None:
                on_step(step, head)
    except KeyboardInterrupt:
        if not keep_on_interrupt or step == 0:
            raise
        how.update(interrupted=True, steps_made=step)
    return Head(weights, bias, how)


class BalancedSampler:
    """Draws row indices: a class uniformly at random, then one of its rows, with replacement."""

    def __init__(self, labels: np.ndarray) -> None:
        self._order = np.argsort(labels, kind="stable")
        _, self._start, self._count = np.unique(labels[self._order], return_index=True, return_counts=True)

    def sample(self, random: np.random.Generator, size: int) -> np.ndarray:
        """``size`` indices into the rows, int [size]."""
        group = random.integers(len(self._count), size=size)
        within = (random.random(size) * self._count[group]).astype(np.int64)
        return self._order[self._start[group] + within]


class UniformSampler:
    """Draws row indices, each uniformly at random, with replacement."""

    def __init__(self, labels: np.ndarray) -> None:
        self._rows = len(labels)

    def sample(self, random: np.random.Generator, size: int) -> np.ndarray:
        """``size`` indices into the rows, int [size]."""
        return random.integers(self._rows, size=size)


def _truncated_normal(random: np.random.Generator, shape: tuple[int, int], deviation: float) -> np.ndarray:
    values = random.standard_normal(shape)
    while (outside := np.abs(values) > 2.0).any():
        values[outside] = random.standard_normal(int(outside.sum()))
    return (values * deviation).astype(np.float32)


def _validation_sample(
    validation: Features,
    sampler: BalancedSampler | UniformSampler | None,
    random: np.random.Generator,
    size: int,
) -> Features:
    if sampler is None or size < 0:
        return validation
    chosen = sampler.sample(random, size)
    return Features(validation.rows[chosen], validation.labels[chosen])


def _evaluate(step: int, head: Head, batch: Features, validation: Features) -> Evaluation:
    """As retrain.py: after the step, on its own batch and on a validation batch."""
    train = accuracy_and_cross_entropy(head.logits(batch.rows), batch.labels)
    held_out: tuple[float, float] | tuple[None, None] = (None, None)
    if len(validation):
        held_out = accuracy_and_cross_entropy(head.logits(validation.rows), validation.labels)
    return Evaluation(step, *train, *held_out)

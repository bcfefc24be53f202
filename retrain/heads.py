"""Softmax heads on fixed features: retrain.py's SGD, and L-BFGS with L2 chosen on validation."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

LOGGER = logging.getLogger(__name__)

#: L2 strengths tried, for the mean loss on features of unit variance; the span covers 5 images a
#: class up to thousands.
L2_GRID = (1.0, 3e-1, 1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6)

#: Nats of validation cross entropy that a weaker L2 must gain to be preferred. With a few validation
#: images, all named right, an ever weaker one gains a little more for ever, and only grows surer.
L2_LEAST_GAIN = 0.01

#: Used where there is no validation image to choose by.
L2_WITHOUT_VALIDATION = 1e-3


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
    """A softmax layer: ``weights`` float32 [D, C], ``bias`` float32 [C], and how it was found."""

    weights: np.ndarray
    bias: np.ndarray
    how: dict[str, object]

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
    """What is known of an SGD step: accuracies as fractions, mean cross entropies in nats."""

    step: int
    train_accuracy: float
    train_cross_entropy: float
    validation_accuracy: float | None
    validation_cross_entropy: float | None


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


def train_sgd(
    train: Features,
    validation: Features,
    classes: int,
    settings: SgdSettings,
    seed: int,
    on_evaluation: EvaluationCallback,
    on_step: StepCallback | None = None,
) -> Head:
    """Plain SGD as retrain.py does it: no momentum, no decay, no L2.

    Each batch draws a class uniformly, then one of its rows, with replacement, so classes count
    alike whatever their size. Weights start as a normal of deviation 0.001 cut at two deviations.
    """
    random = np.random.default_rng([seed, 1])
    weights = _truncated_normal(random, (train.rows.shape[1], classes), 0.001)
    bias = np.zeros(classes, np.float32)
    rate = np.float32(settings.learning_rate)
    draw = BalancedSampler(train.labels)
    draw_validation = BalancedSampler(validation.labels) if len(validation) else None
    how = {"name": "sgd", **vars(settings)}
    for step in range(settings.how_many_training_steps):
        chosen = draw.sample(random, settings.train_batch_size)
        rows, labels = train.rows[chosen], train.labels[chosen]
        gradient = softmax(rows @ weights + bias)
        gradient[np.arange(len(labels)), labels] -= 1.0
        gradient *= rate / np.float32(len(labels))
        weights -= rows.T @ gradient
        bias -= gradient.sum(axis=0)
        last = step + 1 == settings.how_many_training_steps
        if step % settings.eval_step_interval == 0 or last:
            head = Head(weights, bias, how)
            sample = _validation_sample(validation, draw_validation, random, settings.validation_batch_size)
            on_evaluation(_evaluate(step, head, Features(rows, labels), sample))
        if on_step is not None:
            on_step(step, Head(weights, bias, how))
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


def train_lbfgs(train: Features, validation: Features, classes: int) -> Head:
    """Softmax regression by L-BFGS, each class weighing alike; L2 by the validation cross entropy.

    The features are centred, and scaled by one global factor rather than per dimension: with a few
    images a class a dimension's own deviation is noise. Both are folded into the weights.
    """
    centre = train.rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    scale = 1.0 / max(float(np.sqrt(np.mean(np.square(train.rows - centre), dtype=np.float64))), 1e-12)
    scaled = Features((train.rows - centre) * np.float32(scale), train.labels)
    held_out = Features((validation.rows - centre) * np.float32(scale), validation.labels)
    found = np.zeros((train.rows.shape[1] + 1, classes))
    if len(held_out):
        strength, found = _search(scaled, held_out, classes, found)
    else:
        strength = L2_WITHOUT_VALIDATION
        found = _minimise(scaled, classes, strength, found)
    LOGGER.info("head: lbfgs, L2 %g%s", strength, ", chosen on validation" if len(held_out) else "")
    weights = (found[:-1] * scale).astype(np.float32)
    how: dict[str, object] = {"name": "lbfgs", "l2": strength, "feature_scale": scale}
    return Head(weights, (found[-1] - centre @ weights).astype(np.float32), how)


def _search(
    train: Features, validation: Features, classes: int, start: np.ndarray
) -> tuple[float, np.ndarray]:
    """The L2 strength that serves the validation set, and the weights and bias [D + 1, C] it gives.

    From strong to weak, each starting where the last one ended; past two that gain nothing the rest
    would only fit the training set closer.
    """
    best, best_loss, no_gain = (L2_GRID[0], start), np.inf, 0
    for strength in L2_GRID:
        start = _minimise(train, classes, strength, start)
        logits = validation.rows @ start[:-1].astype(np.float32) + start[-1].astype(np.float32)
        accuracy, loss = accuracy_and_cross_entropy(logits, validation.labels)
        LOGGER.debug("L2 %g: validation accuracy %.1f%%, cross entropy %.4f", strength, 100 * accuracy, loss)
        if loss < best_loss - L2_LEAST_GAIN:
            best, best_loss, no_gain = (strength, start), loss, 0
        else:
            no_gain += 1
        if no_gain == 2:
            break
    return best


def _minimise(train: Features, classes: int, strength: float, start: np.ndarray) -> np.ndarray:
    """Weights and bias [D + 1, C] that minimise cross entropy + strength / 2 * sum of squared weights."""
    from scipy.optimize import minimize

    count = np.bincount(train.labels, minlength=classes)
    weight = (1.0 / (np.count_nonzero(count) * count[train.labels])).astype(np.float32)[:, None]
    target = np.zeros((len(train), classes), np.float32)
    target[np.arange(len(train)), train.labels] = 1.0

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        parameters = flat.reshape(start.shape)
        weights, bias = parameters[:-1], parameters[-1]
        logits = train.rows @ weights.astype(np.float32) + bias.astype(np.float32)
        shifted = logits - logits.max(axis=1, keepdims=True)
        log_probability = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        loss = -float((weight * target * log_probability).sum(dtype=np.float64))
        error = weight * (np.exp(log_probability) - target)
        gradient = np.vstack([train.rows.T @ error, error.sum(axis=0)]).astype(np.float64)
        gradient[:-1] += strength * weights
        return loss + 0.5 * strength * float(np.square(weights).sum()), gradient.ravel()

    result = minimize(
        objective, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 300, "ftol": 1e-6}
    )
    return result.x.reshape(start.shape)


def _truncated_normal(random: np.random.Generator, shape: tuple[int, int], deviation: float) -> np.ndarray:
    values = random.standard_normal(shape)
    while (outside := np.abs(values) > 2.0).any():
        values[outside] = random.standard_normal(int(outside.sum()))
    return (values * deviation).astype(np.float32)


def _validation_sample(
    validation: Features, sampler: BalancedSampler | None, random: np.random.Generator, size: int
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

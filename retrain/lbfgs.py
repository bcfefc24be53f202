"""The default head: softmax regression by L-BFGS, L2 chosen on validation, then refit on all it may see."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from legoclf.retrain.balance import BALANCES, check_balance
from legoclf.retrain.blas import one_blas_thread
from legoclf.retrain.heads import Features, Head, accuracy_and_cross_entropy

LOGGER = logging.getLogger(__name__)

#: L2 strengths tried, for the mean loss on features of unit variance; the span covers 5 images a
#: class up to thousands.
L2_GRID = (1.0, 3e-1, 1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6)

#: Nats of validation cross entropy that a weaker L2 must gain to be preferred. With a few validation
#: images, all named right, an ever weaker one gains a little more for ever, and only grows surer.
L2_LEAST_GAIN = 0.01

#: Used where there is no validation image to choose by.
L2_WITHOUT_VALIDATION = 1e-3

#: Iterations from one look at the validation images to the next, beside that at the end of each strength.
LOOK_EVERY = 10

#: Called after each iteration with the training loss in nats, L2 included, and the accuracy as a fraction.
IterationCallback = Callable[[float, float], None]

#: Called after some iterations with the validation accuracy as a fraction and cross entropy in nats.
ValidationCallback = Callable[[float, float], None]


@dataclass
class _Progress:
    """The best parameters [D + 1, C] so far, the last row the bias, and the L2 they were found with."""

    parameters: np.ndarray | None = None
    l2: float = L2_WITHOUT_VALIDATION
    validated: bool = False


@one_blas_thread
def train_lbfgs(
    train: Features,
    validation: Features,
    classes: int,
    on_iteration: IterationCallback | None = None,
    keep_on_interrupt: bool = False,
    l2: float = L2_WITHOUT_VALIDATION,
    balance: str = BALANCES[0],
    on_validation: ValidationCallback | None = None,
) -> Head:
    """Softmax regression by L-BFGS, each class weighing alike; L2 by the validation cross entropy.

    With the L2 that serves validation best, the head is fitted once more, on training and validation
    images together: in small sets those few images more are worth points. What it said of the validation
    images before is in ``validation_logits``.

    The features are centred, and scaled by one global factor rather than per dimension: with a few
    images a class a dimension's own deviation is noise. Both are folded into the weights.

    Args:
        keep_on_interrupt: end at Ctrl-C with the best head so far, ``how["interrupted"]`` being true,
            instead of raising KeyboardInterrupt; before the first iteration it is raised all the same.
        l2: taken where there is no validation image to choose by.
        on_validation: called after the iterations that end a strength and after every tenth of one, while
            the validation images are not learnt from.
        balance: one of BALANCES. Every image is in every step here, so ``sample`` is what it comes to on
            average, ``weight``; with ``none`` each image weighs alike instead of each class.
    """
    check_balance(balance)
    centre = train.rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    scale = 1.0 / max(float(np.sqrt(np.mean(np.square(train.rows - centre), dtype=np.float64))), 1e-12)
    scaled = Features((train.rows - centre) * np.float32(scale), train.labels)
    held_out = Features((validation.rows - centre) * np.float32(scale), validation.labels)
    how: dict[str, object] = {"name": "lbfgs", "l2": l2, "feature_scale": scale}
    if balance != BALANCES[0]:
        how["balance"] = balance
    validation_logits = None
    best = _Progress(l2=l2)
    try:
        start = np.zeros((train.rows.shape[1] + 1, classes))
        if len(held_out):
            _search(scaled, held_out, classes, start, best, on_iteration, balance, on_validation)
            assert best.parameters is not None
            validation_logits = _logits(held_out.rows, best.parameters)
            both = Features(
                np.concatenate([scaled.rows, held_out.rows]), np.concatenate([scaled.labels, held_out.labels])
            )
            best.parameters = _minimise(both, classes, best.l2, best.parameters, best, on_iteration, balance)
            how["refit_with_validation_images"] = len(held_out)
        else:
            best.parameters = _minimise(scaled, classes, best.l2, start, best, on_iteration, balance)
    except KeyboardInterrupt:
        if not keep_on_interrupt or best.parameters is None:
            raise
        how["interrupted"] = True
    how["l2"] = best.l2
    LOGGER.debug("head: lbfgs, L2 %g%s", best.l2, ", chosen on validation" if best.validated else "")
    weights = (best.parameters[:-1] * scale).astype(np.float32)
    bias = (best.parameters[-1] - centre @ weights).astype(np.float32)
    return Head(weights, bias, how, validation_logits)


def _search(
    train: Features,
    validation: Features,
    classes: int,
    start: np.ndarray,
    best: _Progress,
    on_iteration: IterationCallback | None,
    balance: str = BALANCES[0],
    on_validation: ValidationCallback | None = None,
) -> None:
    """Find the L2 strength that serves the validation set, and its parameters: into ``best``.

    From strong to weak, each starting where the last one ended; past two that gain nothing the rest
    would only fit the training set closer.
    """

    def look(parameters: np.ndarray) -> tuple[float, float]:
        figures = accuracy_and_cross_entropy(_logits(validation.rows, parameters), validation.labels)
        if on_validation is not None:
            on_validation(*figures)
        return figures

    within = None if on_validation is None else look
    best_loss, no_gain = np.inf, 0
    for strength in L2_GRID:
        start = _minimise(train, classes, strength, start, best, on_iteration, balance, within)
        accuracy, loss = look(start)
        LOGGER.debug("L2 %g: validation accuracy %.1f%%, cross entropy %.4f", strength, 100 * accuracy, loss)
        if loss < best_loss - L2_LEAST_GAIN:
            best.parameters, best.l2, best.validated = start, strength, True
            best_loss, no_gain = loss, 0
        else:
            no_gain += 1
        if no_gain == 2:
            return


def _logits(rows: np.ndarray, parameters: np.ndarray) -> np.ndarray:
    logits: np.ndarray = rows @ parameters[:-1].astype(np.float32) + parameters[-1].astype(np.float32)
    return logits


def _minimise(
    train: Features,
    classes: int,
    strength: float,
    start: np.ndarray,
    best: _Progress,
    on_iteration: IterationCallback | None,
    balance: str = BALANCES[0],
    look: Callable[[np.ndarray], object] | None = None,
) -> np.ndarray:
    """Parameters [D + 1, C] that minimise cross entropy + strength / 2 * sum of squared weights.

    Until some were validated, those of each iteration are the best so far. Every LOOK_EVERY iterations they
    are shown to ``look``.
    """
    from scipy.optimize import minimize

    count = np.bincount(train.labels, minlength=classes)
    share = 1.0 / len(train) if balance == "none" else 1.0 / (np.count_nonzero(count) * count[train.labels])
    weight = np.broadcast_to(share, len(train)).astype(np.float32)[:, None]
    target = np.zeros((len(train), classes), np.float32)
    target[np.arange(len(train)), train.labels] = 1.0
    figures, iterations = (np.inf, 0.0), 0

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal figures
        parameters = flat.reshape(start.shape)
        weights = parameters[:-1]
        logits = _logits(train.rows, parameters)
        shifted = logits - logits.max(axis=1, keepdims=True)
        log_probability = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        cross_entropy = -float((weight * target * log_probability).sum(dtype=np.float64))
        error = weight * (np.exp(log_probability) - target)
        gradient = np.vstack([train.rows.T @ error, error.sum(axis=0)]).astype(np.float64)
        gradient[:-1] += strength * weights
        loss = cross_entropy + 0.5 * strength * float(np.square(weights).sum())
        figures = loss, float((logits.argmax(axis=1) == train.labels).mean())
        return loss, gradient.ravel()

    def after_iteration(flat: np.ndarray) -> None:
        nonlocal iterations
        iterations += 1
        if not best.validated:
            best.parameters, best.l2 = flat.reshape(start.shape).copy(), strength
        if on_iteration is not None:
            on_iteration(*figures)
        if look is not None and iterations % LOOK_EVERY == 0:
            look(flat.reshape(start.shape))

    result = minimize(
        objective,
        start.ravel(),
        jac=True,
        method="L-BFGS-B",
        callback=after_iteration,
        options={"maxiter": 300, "ftol": 1e-6},
    )
    parameters: np.ndarray = result.x.reshape(start.shape)
    return parameters

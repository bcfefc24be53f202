"""Epoch after epoch: train, evaluate, keep the best, write a checkpoint, stop when nothing gets better."""

from collections.abc import Callable

from legoclf.retrain.heads import Evaluation
from legoclf.retrain.networks.batches import ImageBatches
from legoclf.retrain.networks.checkpoints import Checkpoints, Course
from legoclf.retrain.networks.loop import Loop


def run_epochs(
    loop: Loop,
    train: ImageBatches,
    validation: ImageBatches,
    epochs: int,
    patience: int,
    checkpoints: Checkpoints,
    on_evaluation: Callable[[Evaluation], None] = lambda _: None,
    on_step: Callable[[int], None] | None = None,
    keep_on_interrupt: bool = False,
) -> Course:
    """Train, and leave the network with the weights of its best epoch.

    The best has the smallest validation cross entropy; without validation images it is the last.

    Args:
        epochs: at most, those of before a resumption counted.
        patience: epochs without a better one after which it stops.
        keep_on_interrupt: end at Ctrl-C with the best so far, instead of raising KeyboardInterrupt;
            before the end of the first epoch it is raised all the same.
    """
    course = checkpoints.start(loop)
    if course.epoch and not course.best_weights:
        course.consider(course.epoch, _evaluate(loop, validation)[1], loop.weights)
    try:
        while course.epoch < epochs and course.epoch - course.best_epoch < patience:
            epoch = course.epoch + 1
            loss, accuracy = loop.train(train.epoch(course.epoch, *loop.share), on_step)
            right, held_out = _evaluate(loop, validation)
            evaluation = Evaluation(epoch, accuracy, loss, right, held_out, loop.learning_rate)
            course.evaluations.append(evaluation)
            course.consider(epoch, held_out, loop.weights)
            course.epoch = epoch
            if loop.share[0] == 0:
                checkpoints.save(loop, course)
            on_evaluation(evaluation)
    except KeyboardInterrupt:
        if not keep_on_interrupt or not course.best_weights:
            raise
        course.interrupted = True
    loop.put(course.best_weights)
    return course


def _evaluate(loop: Loop, validation: ImageBatches) -> tuple[float, float] | tuple[None, None]:
    if not len(validation):
        return None, None
    with loop.swapped():
        return loop.evaluate(validation)

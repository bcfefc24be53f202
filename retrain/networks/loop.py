"""The training loop of whole networks: gradients, learning rates by group, averaged weights, any strategy.

A loop of our own and not Keras' `fit`: groups of weights learn at rates of their own, and a run that was
resumed goes on as if it had never stopped.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import cos, pi
from pathlib import Path
from typing import Any

import numpy as np

from legoclf.convert.foreign_keras import import_keras
from legoclf.convert.frozen import import_tensorflow
from legoclf.errors import LegoclfError
from legoclf.retrain.heads import accuracy_and_cross_entropy
from legoclf.retrain.networks.batches import Batch, ImageBatches
from legoclf.retrain.networks.devices import share_of

#: Learning rate, as a share of its largest, by step.
Schedule = Callable[[int], float]


@dataclass(frozen=True)
class Group:
    """Weights that learn together.

    variables: Keras variables, trainable. optimizer: a Keras optimizer of their own. rate: its largest
    learning rate, which the schedule scales.
    """

    variables: Sequence[Any]
    optimizer: Any
    rate: float


def constant(_: int) -> float:
    """The schedule that leaves the rate alone."""
    return 1.0


def warm_up_and_cosine(warm_up_steps: int, steps: int) -> Schedule:
    """Linear from 0 over the first steps, then half a cosine down to 0 (Loshchilov & Hutter, SGDR, 2016)."""

    def share(step: int) -> float:
        if step < warm_up_steps:
            return (step + 1) / warm_up_steps
        return 0.5 * (1 + cos(pi * min(1.0, (step - warm_up_steps) / max(1, steps - warm_up_steps))))

    return share


class Loop:
    """Trains one network.

    Args:
        model: a Keras model, float32 [N, H, W, 3], RGB in [0, 1], to logits [N, C]; made in the strategy's
            scope, as the optimizers of the groups are.
        groups: all of its weights that are to learn, each in one group.
        schedule: of the learning rates.
        label_smoothing: share of each target that is spread over all classes.
        average_decay: of the moving average of the weights, a step; None for none.
        strategy: a tf.distribute strategy; None for the default one.
    """

    def __init__(
        self,
        model: Any,
        groups: Sequence[Group],
        *,
        schedule: Schedule = constant,
        label_smoothing: float = 0.0,
        average_decay: float | None = None,
        strategy: Any = None,
    ) -> None:
        tf = import_tensorflow()
        import_keras()
        self.model = model
        self.groups = groups
        self.schedule = schedule
        self.label_smoothing = label_smoothing
        self.average_decay = average_decay
        self.strategy = strategy or tf.distribute.get_strategy()
        self.step = 0
        with self.strategy.scope():
            for group in groups:
                group.optimizer.build(group.variables)
            self._averages = (
                []
                if average_decay is None
                else [
                    # It is assigned on every replica, to the same there.
                    tf.Variable(
                        weight.value, trainable=False, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA
                    )
                    for weight in model.weights
                ]
            )
        self._train = tf.function(self._train_step, reduce_retracing=True)
        self._infer = tf.function(lambda images: model(images, training=False), reduce_retracing=True)

    @property
    def learning_rate(self) -> float:
        """The rate of the last group at the step to come: that of the head."""
        return self.groups[-1].rate * self.schedule(self.step)

    @property
    def share(self) -> tuple[int, int]:
        """Which share of each batch is this machine's, and of how many: see :meth:`ImageBatches.epoch`."""
        return share_of(self.strategy)

    def train(
        self, batches: Iterable[Batch], on_step: Callable[[int], None] | None = None
    ) -> tuple[float, float]:
        """One pass over batches; mean loss in nats, smoothing included, and share named right, everywhere.

        Args:
            batches: where several machines train together, this one's share of each.

        Raises:
            LegoclfError: the loss is no number any more.
        """
        tf = import_tensorflow()
        total = right = seen = 0.0
        for batch in batches:
            share = self.schedule(self.step)
            for group in self.groups:
                group.optimizer.learning_rate = group.rate * share
            figures = self.strategy.run(self._train, args=(*self._shares(batch), tf.constant(self._decay())))
            loss, hits, images = self.strategy.experimental_local_results(figures)[0].numpy().tolist()
            total += loss
            right += hits
            seen += images
            self.step += 1
            if not np.isfinite(total):
                raise LegoclfError(
                    f"the loss is {total} at step {self.step}: a lower --learning_rate may hold"
                )
            if on_step is not None:
                on_step(self.step)
        return total / seen, right / seen

    def evaluate(self, batches: ImageBatches) -> tuple[float, float]:
        """Accuracy as a fraction, and mean cross entropy in nats, of the weights as they are."""
        return accuracy_and_cross_entropy(self.logits(batches), batches.labels)

    def logits(self, batches: ImageBatches) -> np.ndarray:
        """What the network says of all images, float32 [N, C]."""
        return np.concatenate([np.asarray(self._infer(batch.images)) for batch in batches.plain()])

    def weights(self) -> list[np.ndarray]:
        """The weights that count: the averaged ones, where there are such."""
        if self.average_decay is None:
            return [weight.value.numpy() for weight in self.model.weights]
        return [average.numpy() for average in self._averages]

    def put(self, arrays: Sequence[np.ndarray]) -> None:
        """Give the network weights, as :meth:`weights` gave them."""
        for weight, array in zip(self.model.weights, arrays, strict=True):
            weight.assign(array)

    def load_weights(self, path: Path) -> None:
        """Give the network, and the average, the weights of a Keras file (.keras, .weights.h5)."""
        self.model.load_weights(path)
        for average, weight in zip(self._averages, self.model.weights, strict=bool(self._averages)):
            average.assign(weight.value)

    def swapped(self) -> "_Swapped":
        """A context within which the network has the weights of :meth:`weights`."""
        return _Swapped(self)

    def state(self) -> list[np.ndarray]:
        """All that decides how training goes on, in a fixed order; for :meth:`restore`."""
        return [np.array(self.step), *(variable.numpy() for variable in self._state_variables())]

    def restore(self, state: Sequence[np.ndarray]) -> None:
        """Go on from a :meth:`state` of a loop over the same network.

        Raises:
            LegoclfError: it is of another network or optimizer.
        """
        variables = self._state_variables()
        if [array.shape for array in state[1:]] != [tuple(variable.shape) for variable in variables]:
            raise LegoclfError("it is of another network or optimizer")
        self.step = int(state[0])
        for variable, array in zip(variables, state[1:], strict=True):
            variable.assign(array)

    def _state_variables(self) -> list[Any]:
        own = [variable.value for variable in self.model.variables]
        own += [variable.value for group in self.groups for variable in group.optimizer.variables]
        return own + self._averages

    def _decay(self) -> float:
        """Of the average at this step: less at first, so that it soon forgets where it started."""
        return (
            0.0 if self.average_decay is None else min(self.average_decay, (1 + self.step) / (10 + self.step))
        )

    def _train_step(self, images: Any, labels: Any, weights: Any, decay: Any) -> Any:
        """One step on one replica's share; of the whole batch: loss, images named right, images; [3]."""
        tf = import_tensorflow()
        everywhere = tf.distribute.get_replica_context()
        batch_size = everywhere.all_reduce("sum", tf.cast(tf.shape(images)[0], tf.float32))
        with tf.GradientTape() as tape:
            logits = self.model(images, training=True)
            targets = tf.one_hot(labels, logits.shape[-1])
            smoothing = self.label_smoothing
            targets = targets * (1 - smoothing) + smoothing / logits.shape[-1]
            losses = tf.nn.softmax_cross_entropy_with_logits(targets, logits) * weights
            # Of the whole batch, whatever share of it this replica has: the optimizer sums their gradients.
            loss = tf.reduce_sum(losses) / batch_size
        variables = [variable for group in self.groups for variable in group.variables]
        gradients = iter(tape.gradient(loss, [variable.value for variable in variables]))
        for group in self.groups:
            group.optimizer.apply([next(gradients) for _ in group.variables], group.variables)
        for average, weight in zip(self._averages, self.model.weights, strict=bool(self._averages)):
            # In this form a weight that does not learn stays as it is, to the bit.
            average.assign(average + (weight.value - average) * (1 - decay))
        hits = tf.cast(tf.equal(tf.argmax(logits, axis=-1), labels), tf.float32)
        own = tf.stack([tf.reduce_sum(losses), tf.reduce_sum(hits)])
        return tf.concat([everywhere.all_reduce("sum", own), [batch_size]], 0)

    def _shares(self, batch: Batch) -> tuple[Any, Any, Any]:
        """A batch as arguments of the step: each replica of this machine its share."""
        tf = import_tensorflow()
        alone = self.strategy.num_replicas_in_sync == 1
        replicas = 1 if alone else len(self.strategy.extended.worker_devices)
        if replicas == 1:
            return tf.constant(batch.images), tf.constant(batch.labels), tf.constant(batch.weights)

        def share(array: np.ndarray) -> Any:
            parts = np.array_split(array, replicas)
            return self.strategy.experimental_distribute_values_from_function(
                lambda context: tf.constant(parts[context.replica_id_in_sync_group % replicas])
            )

        return share(batch.images), share(batch.labels), share(batch.weights)


class _Swapped:
    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    def __enter__(self) -> None:
        self._own = [weight.value.numpy() for weight in self._loop.model.weights]
        self._loop.put(self._loop.weights())

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._loop.put(self._own)

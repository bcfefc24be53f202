"""The load of the machine while it trains, in the folder machine/ of the TensorBoard logs."""

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from legoclf.convert.frozen import import_tensorflow
from legoclf.errors import printable
from legoclf.retrain.seen.events import EventFile
from legoclf.retrain.seen.sensors import Sensor, open_sensors

LOGGER = logging.getLogger(__name__)

#: Seconds since the last sample below which the use of the processor would be chance.
_LEAST_S = 0.1

#: Seconds that a driver which does not answer is waited for at the end.
_PATIENCE_S = 5.0


class MachineSampler:
    """Writes what the machine is doing while the context lasts, from a thread; a context manager.

    Steps are seconds since the start. What goes wrong in the thread is a warning, and ends it alone. Without
    psutil and an NVIDIA GPU nothing is written.

    Args:
        directory: of the logs; what lies there stays.
        every_s: seconds between samples; a last one is taken at the end.

    Raises:
        LegoclfError: TensorFlow is not installed; upon entering.
    """

    def __init__(self, directory: Path, every_s: float = 2.0) -> None:
        self._directory = directory / "machine"
        self._every_s = every_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="machine sampler", daemon=True)

    def __enter__(self) -> "MachineSampler":
        # Here and not in the thread: while it is imported, standard error is turned off for the process.
        import_tensorflow()
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._ended.set()
        self._thread.join(_PATIENCE_S)

    def _run(self) -> None:
        try:
            with ExitStack() as stack:
                sensors = open_sensors(stack)
                if sensors:
                    self._sample(stack.enter_context(EventFile(self._directory)), sensors)
        # Drivers, their Python sides and disks raise what they like, and training is to go on.
        except Exception as error:
            cause = printable(str(error) or type(error).__name__)
            LOGGER.warning("warning: the machine's load is not written any more: %s", cause)

    def _sample(self, events: EventFile, sensors: Sequence[Sensor]) -> None:
        start = last = time.monotonic()
        ended = False
        while not ended:
            ended = self._ended.wait(self._every_s)
            now = time.monotonic()
            if now - last < _LEAST_S:
                continue
            values: dict[str, float] = {}
            for sensor in sensors:
                values.update(sensor())
            events.add_scalars(int(now - start), values)
            last = now

"""Results as JSON messages to an MQTT broker, by paho-mqtt 1.x or 2.x."""

import json
import logging
import os
import threading
import time
from typing import Any, NamedTuple, Optional

from legoclf.errors import LegoclfError, UsageError, missing_package
from legoclf.jetson.output import Output, OutputContext
from legoclf.jetson.result import Result, as_record

LOGGER = logging.getLogger(__name__)

#: Environment variable with the password, which a command line would show to all users.
PASSWORD_VARIABLE = "LEGOCLF_MQTT_PASSWORD"
KEEPALIVE_S = 15
RECONNECT_S = (1, 30)

#: Messages that wait for the broker at most; later ones are lost.
MOST_WAITING = 1000

_FLUSH_SECONDS = 2.0


class MqttOptions(NamedTuple):
    """Where messages go: ``on_change`` sends only when the answer changes or an object is counted."""

    host: str
    port: int
    topic: str
    user: Optional[str] = None
    password: Optional[str] = None
    tls: bool = False
    qos: int = 0
    retain: bool = False
    on_change: bool = False


class Mqtt(Output):
    """Publishes each result, or each change, as the object that :func:`as_record` gives.

    Connecting, and connecting again, is the affair of a thread of paho's. Results that come while there is
    no connection are lost, and counted.
    """

    def __init__(self, options: MqttOptions, context: OutputContext) -> None:
        self.name = "mqtt://{}:{}/{}".format(options.host, options.port, options.topic)
        self._options = options
        self._lock = threading.Lock()
        self._waiting = 0
        self._connected = False
        self._was_refused = False
        self._last: Optional[str] = None

    def __enter__(self) -> "Mqtt":
        options = self._options
        self._client = _new_client()
        if options.user is not None:
            self._client.username_pw_set(options.user, options.password or os.environ.get(PASSWORD_VARIABLE))
        if options.tls:
            self._client.tls_set()
        self._client.reconnect_delay_set(*RECONNECT_S)
        self._client.max_queued_messages_set(MOST_WAITING)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = self._on_publish
        self._client.connect_async(options.host, options.port, keepalive=KEEPALIVE_S)
        self._client.loop_start()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        deadline = time.monotonic() + _FLUSH_SECONDS
        while self._connected and self._waiting and time.monotonic() < deadline:
            time.sleep(0.01)
        self._client.disconnect()
        self._client.loop_stop()

    def write(self, result: Result) -> None:
        if self._options.on_change and not self._is_change(result):
            return
        if not self._connected:
            raise LegoclfError("no connection to the broker")
        if self._waiting >= MOST_WAITING:
            raise LegoclfError("the broker takes no messages")
        with self._lock:
            self._waiting += 1
        message = json.dumps(as_record(result), ensure_ascii=False, allow_nan=False).encode("utf-8")
        sent = self._client.publish(self._options.topic, message, self._options.qos, self._options.retain)
        if sent.rc != 0:
            with self._lock:
                self._waiting -= 1
            raise LegoclfError("paho-mqtt did not take the message (code {})".format(int(sent.rc)))

    def _is_change(self, result: Result) -> bool:
        if result.tracks is not None:
            return any(track.newly_counted for track in result.tracks)
        changed, self._last = result.label != self._last, result.label
        return changed

    def _on_connect(self, client: Any, userdata: Any, flags: Any, code: Any, *rest: Any) -> None:
        # `code` is a number in paho 1.x and a ReasonCode in 2.x; both equal 0 where all is well.
        if code == 0:
            with self._lock:
                self._waiting = 0 if self._options.qos == 0 else self._waiting
            self._connected = True
            LOGGER.info("output %s: connected", self.name)
        elif not self._was_refused:
            self._was_refused = True
            LOGGER.info("output %s: the broker refuses the connection: %s", self.name, code)

    def _on_disconnect(self, client: Any, userdata: Any, *rest: Any) -> None:
        self._connected = False

    def _on_publish(self, client: Any, userdata: Any, mid: Any, *rest: Any) -> None:
        with self._lock:
            self._waiting = max(0, self._waiting - 1)


def _new_client() -> Any:
    try:
        import paho.mqtt.client as paho
    except ImportError as error:
        raise missing_package("paho-mqtt", "mqtt") from error
    if hasattr(paho, "CallbackAPIVersion"):  # since 2.0, which asks which arguments the callbacks take
        return paho.Client(paho.CallbackAPIVersion.VERSION2)
    return paho.Client()


def check_topic(topic: str) -> None:
    """Refuse a topic that cannot be published to.

    Raises:
        UsageError: it is empty, or has a wildcard.
    """
    if not topic or "#" in topic or "+" in topic:
        raise UsageError(
            "mqtt: topic: got {!r}, expected mqtt://HOST:PORT/TOPIC without the wildcards # and +".format(
                topic
            )
        )

"""Where answers go: outputs by one syntax, KIND:WHERE?OPTION=VALUE&...

print                          the answer on the terminal, when it changes
window                         the picture with the answer
jsonl:FILE  csv:FILE           a line for each frame; `-` is standard output
video:FILE.mp4?fps=30          the picture with the answer, recorded
mqtt://HOST:1883/TOPIC         a JSON message for each frame; on=change, qos=1, retain=1; mqtts:// is TLS
serial:/dev/ttyUSB0?label=NAME&send=TEXT&baud=115200&interval_s=0.5
"""

import difflib
from typing import Dict, List, Tuple
from urllib.parse import unquote, urlsplit

from legoclf.errors import UsageError
from legoclf.jetson.output import Output, OutputContext

KINDS = ("print", "window", "jsonl", "csv", "video", "mqtt", "mqtts", "serial")


def make_output(spec: str, context: OutputContext) -> Output:
    """The output that a specification names; nothing is opened yet.

    Raises:
        UsageError: it names none, or an option is unknown or wrong.
    """
    kind, colon, where = spec.partition(":")
    if kind not in KINDS:
        close = difflib.get_close_matches(kind, KINDS, n=1)
        hint = "; did you mean {}?".format(close[0]) if close else ""
        raise UsageError("--output: got {!r}, expected one of {}{}".format(spec, ", ".join(KINDS), hint))
    if (kind in ("print", "window")) == bool(colon):
        expected = kind if colon else kind + ":WHERE"
        raise UsageError("--output: got {!r}, expected {}".format(spec, expected))
    if kind in ("mqtt", "mqtts"):
        return _mqtt(spec, context)
    if colon and not where:
        raise UsageError("--output: got {!r}, expected {}:WHERE".format(spec, kind))
    return _local(kind, where, context)


def make_outputs(specs: List[str], context: OutputContext) -> List[Output]:
    """An output for each specification.

    Raises:
        UsageError: one is wrong, or two are the same.
    """
    outputs = [make_output(spec, context) for spec in specs]
    names = [output.name for output in outputs]
    # Several triggers of one port are fine: each sends for a label of its own.
    twice = [name for name in names if names.count(name) > 1 and not name.startswith("serial:")]
    if twice:
        raise UsageError("--output: {} stands there twice".format(twice[0]))
    return outputs


def _local(kind: str, where: str, context: OutputContext) -> Output:
    if kind == "print":
        from legoclf.jetson.output_print import Print

        return Print(context)
    if kind == "window":
        from legoclf.jetson.output_window import Window

        return Window(context)
    if kind in ("jsonl", "csv"):
        from legoclf.jetson.output_files import Csv, JsonLines

        return JsonLines(where, context) if kind == "jsonl" else Csv(where, context)
    if kind == "video":
        from legoclf.jetson.output_video import DEFAULT_FPS, Video

        path, options = _split(kind, where, ("fps",))
        return Video(path, _fps(options.get("fps", str(DEFAULT_FPS))), context)
    from legoclf.jetson.output_serial import Serial, SerialOptions

    path, options = _split(kind, where, ("label", "send", "baud", "interval_s"))
    return Serial(path, SerialOptions(options, context))


def _mqtt(spec: str, context: OutputContext) -> Output:
    from legoclf.jetson.output_mqtt import Mqtt, MqttOptions, check_topic

    base, options = _split("mqtt", spec, ("qos", "retain", "on"))
    parts = urlsplit(base, allow_fragments=False)
    try:
        port = parts.port or (8883 if parts.scheme == "mqtts" else 1883)
    except ValueError as error:
        raise UsageError("--output: mqtt: the port of {!r} is no number up to 65535".format(spec)) from error
    if not parts.hostname:
        raise UsageError("--output: mqtt: got no host, expected mqtt://HOST:PORT/TOPIC")
    topic = unquote(parts.path[1:])
    check_topic(topic)
    settings = MqttOptions(
        parts.hostname,
        port,
        topic,
        user=None if parts.username is None else unquote(parts.username),
        password=None if parts.password is None else unquote(parts.password),
        tls=parts.scheme == "mqtts",
        qos=int(_choice("mqtt", options, "qos", ("0", "1"))),
        retain=_choice("mqtt", options, "retain", ("0", "1")) == "1",
        on_change=_choice("mqtt", options, "on", ("frame", "change")) == "change",
    )
    return Mqtt(settings, context)


def _split(kind: str, where: str, allowed: Tuple[str, ...]) -> Tuple[str, Dict[str, str]]:
    """What stands before ``?``, and the options behind it; ``%XX`` in a value is a byte."""
    path, _, query = where.partition("?")
    options = {}
    for pair in filter(None, query.split("&")):
        name, equals, value = pair.partition("=")
        if name not in allowed or not equals:
            raise UsageError(
                "--output: {}: got the option {!r}, expected {}".format(
                    kind, pair, ", ".join(each + "=..." for each in allowed)
                )
            )
        options[name] = unquote(value, errors="surrogateescape")
    return path, options


def _choice(kind: str, options: Dict[str, str], name: str, allowed: Tuple[str, ...]) -> str:
    """An option's value, the first of those allowed where it is not given."""
    value = options.get(name, allowed[0])
    if value not in allowed:
        raise UsageError(
            "--output: {}: {}: got {!r}, expected {}".format(kind, name, value, " or ".join(allowed))
        )
    return value


def _fps(text: str) -> float:
    try:
        fps = float(text)
    except ValueError:
        fps = 0.0
    if not 0 < fps <= 1000:
        raise UsageError("--output: video: fps: got {!r}, expected a number up to 1000".format(text))
    return fps

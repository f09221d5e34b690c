"""`dispatch112 decode`: shows what the service understands of one message, for operators and checks.

Reads one file or standard input and prints one JSON object. This is the only file of the package
that reads and writes; the parsers know nothing of it.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import msgspec

from dispatch.formats import aml
from dispatch.formats.osmand import decode_osmand
from dispatch.formats.pidf_lo import MAX_PIDF_BYTES, PidfLocation, decode_pidf_lo
from dispatch.formats.trackers import Ignored, LastWill, Position, decode_owntracks
from dispatch.formats.values import FormatError

MAX_INPUT_BYTES = MAX_PIDF_BYTES
FORMATS = ("aml", "owntracks", "osmand", "pidf-lo")
EXAMPLE = """examples:
  dispatch112 decode aml message.txt
  echo 'id=A22&lat=41.31108&lon=69.24056&timestamp=1763900000' | dispatch112 decode osmand -
"""

Decoded = aml.AmlMessage | Position | LastWill | Ignored | PidfLocation


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `decode`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLE
    parser.add_argument("format", choices=FORMATS, help="what the message is")
    parser.add_argument("file", nargs="?", default="-", metavar="FILE|-", help="the message; - reads stdin")
    parser.add_argument("--hmac-key", metavar="TEXT", help="aml: the secret that signs HTTPS forms")
    parser.add_argument("--sender", metavar="NUMBER", help="aml: the number the SMS came from")
    parser.add_argument("--topic", metavar="TOPIC", help="owntracks: the MQTT topic it came on")


def run(args: argparse.Namespace) -> int:
    """Prints the decoded message and gives 0, or `{"error": …}` and gives 2."""
    try:
        decoded = _decode(args, _read(args.file))
    except FormatError as error:
        fault = {"error": str(error), "where": error.where, "what": error.what, "mend": error.mend}
        _print(fault)
        print(f"dispatch112 decode: {error}", file=sys.stderr)
        return 2
    _print(described(decoded))
    return 0


def described(decoded: Decoded) -> dict[str, Any]:
    """The decoded value as the command prints it: the common keys first, then what the format adds."""
    details: dict[str, Any] = msgspec.to_builtins(decoded)
    if isinstance(decoded, Position):
        details["position"] = msgspec.to_builtins(decoded.point)
    common = ("position", "accuracy_m", "at", "method", "number", "imei")
    answer: dict[str, Any] = {key: details.pop(key, None) for key in common}
    answer["warnings"] = details.pop("warnings", ())
    answer["type"] = _type(decoded)
    if isinstance(decoded, aml.AmlMessage):
        answer["technique"] = aml.technique(decoded.method)
    return answer | details


def _type(decoded: Decoded) -> str:
    match decoded:
        case aml.AmlMessage():
            return "aml"
        case PidfLocation():
            return "pidf-lo"
        case LastWill():
            return "last_will"
        case Ignored():
            return "ignored"
        case Position():
            return "position"


def _decode(args: argparse.Namespace, data: bytes) -> Decoded:
    if not data.strip():
        raise FormatError(args.format, "nothing to read", "give a file with one message, or pipe it in")
    match args.format:
        case "aml":
            key = None if args.hmac_key is None else args.hmac_key.encode("utf-8", "surrogateescape")
            return aml.decode(data, key=key, sender=args.sender)
        case "owntracks":
            return decode_owntracks(data, args.topic)
        case "osmand":
            return decode_osmand(data)
        case _:
            return decode_pidf_lo(data)


def _read(name: str) -> bytes:
    try:
        if name == "-":
            data = sys.stdin.buffer.read(MAX_INPUT_BYTES + 1)
        else:
            with Path(name).open("rb") as stream:
                data = stream.read(MAX_INPUT_BYTES + 1)
    except (OSError, ValueError) as error:
        what = f"cannot be read ({error.strerror if isinstance(error, OSError) else error})"
        raise FormatError(name, what, "name a readable file, or - for stdin") from None
    if len(data) > MAX_INPUT_BYTES:
        raise FormatError(name, f"more than {MAX_INPUT_BYTES} bytes", "give one message")
    return data


def _print(answer: dict[str, Any]) -> None:
    print(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode())

"""AML in whichever wrapping it comes: tells SMS from form, and says when a message may belong to a call.

The readers are `aml_sms` and `aml_form`, the value is `aml_message.AmlMessage`. Matching messages to
calls is the service's work; only the time window of it is here.
"""

import re
from datetime import datetime, timedelta

from dispatch.formats.aml_form import decode_form, sign_form
from dispatch.formats.aml_message import AmlMessage, technique
from dispatch.formats.aml_sms import MAX_SMS_BYTES, decode_sms, sms_text
from dispatch.formats.values import FormatError, as_bytes

BEFORE_CALL_S = 60
AFTER_CALL_S = 120
MAX_AML_BYTES = 16_384

_FORM = re.compile(rb"\s*\??(?!A?ML=)[\w.%-]{1,64}=", re.ASCII | re.IGNORECASE)

__all__ = ["AmlMessage", "decode", "decode_form", "decode_sms", "sign_form", "technique", "window"]


def decode(data: bytes | str, *, key: bytes | None = None, sender: str | None = None) -> AmlMessage:
    """SMS text, data SMS (octets or hex) or form body, recognised by what it looks like.

    `key` is the form's shared secret, `sender` the number an SMS came from. Raises `FormatError`.
    """
    raw = as_bytes(data, MAX_AML_BYTES, "aml")
    if _FORM.match(raw):
        return decode_form(raw, key)
    if len(raw) <= MAX_SMS_BYTES and sms_text(raw) is not None:
        return decode_sms(raw, sender)
    mend = 'send A"ML=1;…, its data SMS in hex, or v=1&location_latitude=…'
    raise FormatError("aml", "neither SMS nor form", mend)


def window(started_at: datetime, ended_at: datetime) -> tuple[datetime, datetime]:
    """First and last time of receipt at which AML may belong to a call; give now for a call still open."""
    assert started_at <= ended_at, "a call ends after it starts"
    return started_at - timedelta(seconds=BEFORE_CALL_S), ended_at + timedelta(seconds=AFTER_CALL_S)

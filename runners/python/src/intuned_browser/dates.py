"""process_date: the calendar day that a text names. Pure, except that parts the text leaves out come from today."""

from __future__ import annotations

import re
import warnings
from datetime import datetime


def process_date(date_string: str) -> datetime | None:
    """Midnight, without a time zone, of the day as written; None when the text is no date.

    Time and zone are read and dropped, nothing is converted. The month comes first where the order is ambiguous.
    Not a string: AttributeError. A number beyond every calendar: OverflowError.
    """
    # `January 31,2025` is one number with decimals only to the parser.
    text = re.sub(r"(?<=\d),(?=\d{4}(?!\d))", ", ", date_string.replace(" - ", " "))
    # Imported here: a tenth of a second that only those pay who read dates.
    from dateutil import parser

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=parser.UnknownTimezoneWarning)
        try:
            parsed = parser.parse(text)
        except ValueError:
            return None
    return datetime(parsed.year, parsed.month, parsed.day)

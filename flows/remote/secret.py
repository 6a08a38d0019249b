"""What must not stand in a log or on a page: passwords in addresses, and the values of variables that hold secrets."""

import os
import re

NAMES = re.compile(
    r"secret|token|password|passwd|api_?key|access_?key|credential|private_?key|connection_?string", re.I
)
SHORT = 6
"""Letters. A shorter value hides more words than secrets."""
_IN_URL = re.compile(r"(?<=://)[^/@\s'\"]+(?=@)")


def hidden(text: str) -> str:
    """The text with stars in place of what is secret."""
    for value in sorted(_values(), key=len, reverse=True):
        text = text.replace(value, "***")
    return _IN_URL.sub("***", text)


def _values() -> set[str]:
    return {value for name, value in os.environ.items() if NAMES.search(name) and len(value) >= SHORT}

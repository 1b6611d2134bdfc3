"""Importing this lets any text be printed, whatever the terminal can show.

What stdout and stderr cannot encode is spelled: the bars of Keras and of a
learning rate in ASCII, other characters as escapes.
"""

import codecs
import sys

_SPELLED = {"━": "=", "…": "...", "×": "x", "·": "-"}
_SPELLED |= dict(zip("▁▂▃▄▅▆▇█", "__..--##", strict=True))


def _spell(error):
    if not isinstance(error, UnicodeEncodeError):
        raise error
    wrong = error.object[error.start : error.end]
    spelled = (
        _SPELLED.get(c) or c.encode("ascii", "backslashreplace").decode()
        for c in wrong
    )
    return "".join(spelled), error.end


codecs.register_error("spell", _spell)
for _stream in (sys.stdout, sys.stderr):
    if hasattr(_stream, "reconfigure"):
        _stream.reconfigure(errors="spell")

"""`soloist publish FILE`: a WHIP client for the demo, for tests and for whoever tries the service without a browser.

Innermost first: `clip.py` makes due packets of a file, `sender.py` speaks WHIP, `inquiry.py` asks the server what
FFmpeg does not tell, `pacing.py` sends by the clock, `session.py` is the process in which one session runs,
`publishing.py` runs as many as it takes, `command.py` is what a person sees.
"""

from soloist.publisher.clip import ClipError
from soloist.publisher.command import publish_command
from soloist.publisher.pacing import PublishProgress
from soloist.publisher.publishing import ChildDiedError, SentAwayError, SessionEndedError, publish
from soloist.publisher.sender import PublishRefusedError, ServerAwayError

__all__ = [
    "ChildDiedError",
    "ClipError",
    "PublishProgress",
    "PublishRefusedError",
    "SentAwayError",
    "ServerAwayError",
    "SessionEndedError",
    "publish",
    "publish_command",
]

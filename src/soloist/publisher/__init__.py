"""`soloist publish FILE`: a WHIP client for the demo, for tests and for whoever tries the service without a browser.

`clip.py` makes due packets of a file, `sender.py` is the session, `pacing.py` brings them to the clock, `command.py`
is the command.
"""

from soloist.publisher.clip import ClipError
from soloist.publisher.command import publish_command
from soloist.publisher.pacing import PublishProgress, publish
from soloist.publisher.sender import PublishRefusedError, ServerAwayError

__all__ = ["ClipError", "PublishProgress", "PublishRefusedError", "ServerAwayError", "publish", "publish_command"]

"""Whether a store keeps its word when it is told to create and not to overwrite, or to replace one version only.

A server that does not know `If-None-Match` or `If-Match` may ignore it, and only trying tells. Where it does, what
stands under the key is looked at first, which leaves a moment in which another's object can still get lost.
Spec: RFC 9110 §13.1.1 (If-Match), §13.1.2 (If-None-Match); Amazon S3 API, conditional writes.
"""

import asyncio
import contextlib
import secrets
from typing import TYPE_CHECKING

import obstore
import structlog
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import ObjectStore

if TYPE_CHECKING:
    from obstore import PutMode  # Only there: it is no name at run time.

log = structlog.get_logger("soloist.storage")

NO_VERSION = '"00000000000000000000000000000000"'
"""An e-tag of no object."""


class Conditions:
    """Knows this of one bucket; each is None until it was tried."""

    def __init__(self, store: ObjectStore, *, name: str = "", is_known: bool = False) -> None:
        """Of a store that needs no trying, `is_known` says that it keeps its word."""
        self._store = store
        self._name = name
        self._trying = asyncio.Lock()
        self.creates_only: bool | None = True if is_known else None
        self.replaces_only: bool | None = True if is_known else None

    async def learn(self, folder: str) -> None:
        """Try once, on a probe in `folder`: the credential may have a right to nothing else.

        Raises:
            OSError, BaseError: the store refused the probe.
        """
        async with self._trying:
            if self.creates_only is not None and self.replaces_only is not None:
                return
            key = f"{folder.rstrip('/')}/.soloist-probe-{secrets.token_hex(8)}".lstrip("/")
            await obstore.put_async(self._store, key, b"first")
            creates_only, replaces_only = (
                await self._keeps(key, "create"),
                await self._keeps(key, {"e_tag": NO_VERSION}),
            )
            self.creates_only = creates_only if self.creates_only is None else self.creates_only
            self.replaces_only = replaces_only if self.replaces_only is None else self.replaces_only
            with contextlib.suppress(BaseError):
                await obstore.delete_async(self._store, key)
            log.info("bucket_probed", bucket=self._name, creates_only=creates_only, replaces_only=replaces_only)

    async def _keeps(self, key: str, mode: "PutMode") -> bool:
        """Return whether a put is refused whose condition does not hold."""
        try:
            await obstore.put_async(self._store, key, b"second", mode=mode)
        except (AlreadyExistsError, PreconditionError):
            return True
        except BaseError as error:
            if "501 Not Implemented" not in str(error):
                raise
        return False

"""Finds in text what no log may hold: network addresses, ICE candidates, and given secrets."""

import ipaddress
import re

_MAYBE_ADDRESSES = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.]*\d)|(?<![\w:.])[0-9A-Fa-f]*:[0-9A-Fa-f:.]+")


def leaks(text, secrets=()):
    """Return every address, candidate and secret of `secrets` in `text`, in no order; port numbers do not hide one."""
    addresses = {found for found in _MAYBE_ADDRESSES.findall(text) if _is_address(found)}
    candidates = set(re.findall(r"candidate:(?!\*\*\*)\S+ \d+ \w+ \d+ [^\r\n]*", text))
    return addresses | candidates | {secret for secret in secrets if secret in text}


def _is_address(text):
    for shown in (text, text.rstrip(".:")):
        try:
            return not ipaddress.ip_address(shown).is_unspecified
        except ValueError:
            continue
    return False

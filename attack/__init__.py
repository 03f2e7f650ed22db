"""`make attack`: what strangers, neighbours and tenants may try, each beside a victim whose recording must be whole.

Every attack of docs/security.md runs at its full rate while somebody else's participant is recorded. The table says
what it cost the attacker, what it cost the victim (nothing), and which number tells the operator.
"""

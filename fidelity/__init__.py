"""`make fidelity`: what was sent is in the file, at the right time, and what is missing is declared with its cause.

Innermost first: `plan.py` is what a publisher will do and what must be missing for it; `pattern.py` the pictures and
sound it sends; `link.py` what a network does to packets, `proxy.py` the network itself; `publisher.py` sends by the
plan; `service.py` is the service that records; `evidence.py` reads the files; `checker.py` judges; `scenarios.py`
names what is tried and `table.py` shows it.
"""

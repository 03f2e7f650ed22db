"""The nouns: frozen values and closed enums that every other room speaks.

Knows nothing of sockets, files, clocks or HTTP; imports the standard library only.
"""

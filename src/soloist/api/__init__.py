"""HTTP in the vendor's words: the only room that spells its field names and error codes."""

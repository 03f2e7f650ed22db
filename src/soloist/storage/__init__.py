"""Objects: the local spool while a file is open, the customer's bucket when it is finished. Knows nothing of media."""

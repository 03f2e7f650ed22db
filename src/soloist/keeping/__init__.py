"""What was recorded, from the spool to the bucket: named, verified, told, and salvaged after a crash."""

"""Forwarding a job's media to RTMP servers, in a child process, so that none of them can harm a recording."""

"""One participant's media: which frames, when they stand, what is missing, and which file they go to."""

"""The task heads, one file each, and their losses; a new file here is found by its decorator."""

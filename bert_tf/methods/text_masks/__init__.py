"""Masks that are found on plain text, before any task: searches, the head and the teacher."""

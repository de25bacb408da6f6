"""Exports for servers and other runtimes."""

"""The compression methods, a folder each: stages, options and reports."""

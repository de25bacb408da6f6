"""Searches for subnetworks: super tickets, the lottery, agreement of masks."""

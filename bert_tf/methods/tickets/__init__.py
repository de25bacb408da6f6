"""Tickets: subnetworks of heads, FFNs, neurons and weights, found and trained anew."""

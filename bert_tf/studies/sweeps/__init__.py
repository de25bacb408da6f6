"""Many runs, unattended, and reports on them."""

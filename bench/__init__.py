"""How fast the harness is: measured beside the plain way in one run, printed, never asserted."""

"""What a run leaves behind: each report is a listener that is fed the run's events."""

"""The book "Pacemaker Remote: Scaling High Availability Clusters", executable."""

__version__ = "0.1.0"

"""The one loop that runs a case against wire, target and clock, and yields a Result."""

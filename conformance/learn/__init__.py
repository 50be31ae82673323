"""Learns a target's state machine from outside, compares it with the RFC's and with others, and generates cases."""

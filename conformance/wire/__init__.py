"""Frames to and from the target: the lower tester. With the codec, the only room that knows scapy."""

"""Pure TCP knowledge: numbers, segments, the notation, the event table, a target's variables, inference.

No I/O, no YAML, no scapy; imports nothing of the project outside this room.
"""

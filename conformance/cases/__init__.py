"""Cases as their authors write them: YAML with marks in, frozen objects and errors with file:line:column out.

May import `tcp` only; requirement ids are checked against a set of ids that the caller hands in.
"""

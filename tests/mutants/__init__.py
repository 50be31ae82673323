"""Deliberately wrong stacks, and how many of them the suite catches: its mutation score.

`python tests/mutants/run.py` builds and measures them all; `--help` says how to take a sample. Two kinds:

- source mutants (`lwip/*.yaml`): lwIP with one place of its source changed, compiled and run in virtual time;
- reply mutants (`replies.yaml`): any target, with what it sends altered on its way (the wire of tests/mutations).

A mutant is caught when a case that passes on the unchanged stack fails on it, and the requirement that the failing step
names is one of those that the mutant breaks. An entry of a table:

    challenge-lost:                    # its name
      file: core/tcp_in.c              # source mutants: the file below lwIP's src/
      within: tcp_process              # and the function, where the text stands more than once in the file
      old: tcp_ack_now(pcb);           # the text as it is, white space as you like; it must stand there once
      new: ""
      alter: {drop: true}              # reply mutants: what is done (tests/mutations/__init__.py says what there is)
      only: bare                       # and to which segments
      breaks: RFC5961-3.2-* RFC9293-*-RST-INWIN # requirements, or patterns
      wrong: a RST in the window draws no challenge
      equivalent: why no peer can tell # only where that is so: a proof; such a mutant does not count
      open: which case is missing      # only where one is: it counts as a survivor, and does not fail the command
"""

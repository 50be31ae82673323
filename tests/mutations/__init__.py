"""Wrong stacks made from a right one: a wire (and an agent) that alter this kernel's replies in one way.

Each case is shown to be able to fail: with the preamble left whole, the mutation makes just the guarding step fail.
The table is YAML, one file per folder of the suite, `tests/mutations/<folder>.yaml`:

    open/three-way-handshake:          # the case
      - step: "expect: SYN,ACK"        # the guarding step: how its text begins; `#2` at the end: the second such step
        alter: {ack: 1}                # what the wire does to the target's segments from the acts before that step on
        only: SYN                      # optional: alter only segments with this flag, or `text`, `copy`,
                                       # `bare`, `sack`, `again` (bare, with the numbers of the one before)
        skip: 1                        # optional: leave the first such segments alone
        variation: ip=v4               # optional: a part of the id of the variation to use (default: the first)
        since: "expect: SYN"           # optional: the step from which on to alter, where that is earlier
        requirement: RFC9293-MUST-12   # optional: the requirement that must be the reason (default: the step's, or one
                                       # of the case's)
        mends: true                    # optional: altered like this a stack that fails the case as it is passes it
        because: a stack that ...      # in words: which wrong stack this is

A row with `invariant: NAME` in place of a guarding step shows that this invariant (`conformance/tcp/invariants.py`)
fires on the altered reply, wherever in the case it is seen; a `step` then only says from where on replies are altered.

    alter:  {ack: n} {seq: n} {tsval: n} {tsecr: n}        numbers: add n to the field (`first`: as
                                in the connection's first segment)
            {win: n} {urg: n} {ttl: n} {tos: n} {doff: n}       numbers: set it
            {set: FLAGS} {clear: FLAGS} {become: LINE-FLAGS}  flags
            {drop: true}        the segment never comes          {double: true}   it comes twice
            {copies: drop}      only repeats never come          {gap: f}         repeats come f times as fast
            {late: s}           it comes s seconds later
            {text: corrupt} {text: drop} {text: n} {text: "+n"}  spoil an octet, leave the text out, cut it, lengthen it
            {say: abc}          it has this text                {extra: n}     n further segments of text follow
            {back: n}           it has the text that stood n octets before
            {option: {remove: ts}} {option: {set: [mss, 9999]}}  options
            {reply: FLAGS}      to every segment of the tester comes one more answer, made of its own numbers
            {sum: bad} {reserved: n} {tos: n} {ipopt: none} {from: other} {shrink: n}  the window smaller by n
            {ts: {val: n, ecr: n}} {sack: reverse} {sack: wide} {sack: first} {sack: inside-out}  within these options
            {call: {verb: recv, error: ECONNRESET}} {call: {verb: recv, value: "abc"}} {call: {verb: recv, value: eof}}
                                the agent's outcome is another one
"""

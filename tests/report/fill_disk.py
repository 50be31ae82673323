"""Run in a namespace of its own by test_jsonl: argv[1] is a file system of 64 kB, argv[2] the checkout."""

import sys
from pathlib import Path


def main(folder: Path) -> None:
    from report_samples import passing

    from conformance.report.jsonl import Header, Writer, read

    hog = folder / "hog"
    hog.write_bytes(b"x" * 40_000)
    writer = Writer(folder / "run.jsonl", Header((), "", {}))
    for number in range(50):
        writer.write(passing(f"case-{number}"))
    assert writer.failed, "64 kB were enough?"
    assert (folder / "run.jsonl").read_bytes().endswith(b"\n")
    before = read(folder / "run.jsonl")
    assert 0 < len(before.results) < 50
    assert before.problems == ("no footer: the run crashed or was killed, or is still going on",)
    hog.unlink()
    writer.close()
    after = read(folder / "run.jsonl")
    assert writer.pending > 0 or after.complete
    assert [line["id"] for line in after.results] == [f"case-{number}" for number in range(len(after.results))]
    print("ENOSPC-met", len(before.results), len(after.results))


sys.path[:0] = [str(Path(__file__).parent), sys.argv[2]]
main(Path(sys.argv[1]))

"""`conformance list`, `lint`, `schema`, `explain`, `doctor`."""

from __future__ import annotations

import json

import jsonschema
import pytest
import yaml
from cli_samples import BAD, GOOD
from click.testing import CliRunner

from conformance import suite
from conformance.cases.schema import case_schema
from conformance.cli import main


@pytest.fixture
def invoke(here):
    def go(*args: str):
        return CliRunner().invoke(main, args)

    return go


def test_list_and_its_selections(write, invoke):
    write("cases/open", good=GOOD, bad=BAD.replace("LISTEN", "CLOSED"))
    assert [line.split()[0] for line in invoke("list", "cases").stdout.splitlines()] == ["open/bad", "open/good"]
    assert invoke("list", "cases", "--state", "LISTEN", "--variations").stdout == "open/good[ip=v4]\nopen/good[ip=v6]\n"
    assert invoke("list", "cases", "--level", "MUST").stdout == ""
    found = json.loads(invoke("list", "cases", "--json").stdout)
    assert found[1]["id"] == "open/good"
    assert found[1]["levels"] == ["BEHAVIOUR"]
    assert found[1]["variations"] == ["open/good[ip=v4]", "open/good[ip=v6]"]
    assert invoke("list", "cases", "--level", "MAYBE").exit_code == 2


def test_lint_tells_all_mistakes_of_all_files(write, invoke):
    write(good=GOOD, one="title: x\nrequirements: [NO-SUCH]\nsteps: []\n", two=GOOD.replace("send", "sent"))
    result = invoke("lint", "cases")
    assert result.exit_code == 2
    assert "cases/one.yaml:2:16: " in result.stdout
    assert "cases/two.yaml:5:5: " in result.stdout
    assert invoke("lint", "cases/good.yaml").exit_code == 0
    assert invoke("lint", "nowhere").exit_code == 2


def test_explain(write, invoke):
    write(good=GOOD)
    said = invoke("explain", "cases/good.yaml").stdout
    assert "A SYN draws SYN,ACK" in said
    assert "RFC9293-3.10.7.2-SYN (BEHAVIOUR, RFC 9293 section 3.10.7.2)" in said
    assert "1. preamble the application calls listen()" in said
    assert (
        "written out: SYN seq=irs win=(as last said, 65535 at first) <mss 1460, or 1440 over IPv6> no payload" in said
    )
    assert "written out: SYN,ACK (PSH is free) seq=iss ack=irs+1 win=* <any options> no payload" in said
    assert invoke("explain", "cases/good.yaml::[ip=v6]").exit_code == 0
    assert invoke("explain", "cases/good.yaml::[ip=v5]").exit_code == 2
    lost = invoke("explain", "open/tree-way-handshake")
    assert lost.exit_code == 2
    assert "did you mean open/three-way-handshake" in lost.stderr


def test_explain_knows_every_step_of_the_suite(invoke):
    from conformance.cases.loader import find, load_file
    from conformance.cli.words import describe

    for path, root in find([suite.cases()]):
        for variation in load_file(path, root).variations[:1]:
            for step in variation.build()[0]:
                lines = list(describe(step))
                assert lines
                assert all("object at 0x" not in line for line in lines)


def plain(text: str) -> object:
    """As an editor reads it."""
    return yaml.safe_load(text)


def test_every_shipped_case_fits_the_schema(invoke):
    schema = json.loads(invoke("schema").stdout)
    assert schema == case_schema()
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    files = sorted(suite.cases().rglob("*.yaml"))
    assert files
    for path in files:
        errors = [
            f"{path}: {error.json_path}: {error.message}" for error in validator.iter_errors(plain(path.read_text()))
        ]
        assert not errors, errors


@pytest.mark.parametrize(
    "wrong",
    [
        GOOD.replace("steps", "step"),
        GOOD.replace("send: SYN", "sent: SYN"),
        GOOD.replace("start: LISTEN", "start: LISTENING"),
        GOOD + "needs: {ip: v5}\n",
        GOOD + "needs: {settings: {syncookies: often}}\n",
        GOOD.replace("expect: SYN,ACK", "expect: SYN,ACK\n    named: x"),
    ],
)
def test_the_schema_refuses_what_the_loader_refuses(wrong):
    assert not jsonschema.Draft202012Validator(case_schema()).is_valid(plain(wrong))


def test_doctor_says_ok(invoke):
    result = invoke("doctor")
    assert result.exit_code == 0, result.output
    assert {line[:2] for line in result.stdout.splitlines()} == {"ok"}
    for what in (
        "path",
        "offloads",
        "barrier",
        "RST leaks",
        "positive control",
        "states",
        "clock resolution",
        "clock steps",
    ):
        assert f"ok   {what} " in result.stdout


def test_check_tells_what_is_only_odd_and_goes_on(invoke):
    result = invoke("target", "check", "ns3")
    if "to install" in result.output:
        pytest.skip(result.output.strip())
    assert result.exit_code == 0, result.output
    assert "ok   positive control " in result.stdout
    assert "odd  states " in result.stdout  # it answers a FIN again with nothing


def test_doctor_says_what_is_bad(invoke):
    result = invoke("doctor", "--target", "nobody")
    assert result.exit_code == 3
    assert "bad  target " in result.stdout
    assert "is not one of: linux" in result.stdout


def test_help_is_there(conformance):
    assert conformance("--help").returncode == 0

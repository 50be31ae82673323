// A requirement with the cases that decide it; a variation with all that was seen.
const requirementCard = (requirement) => h("article", { class: "requirement" },
  h("h4", {}, h("a", { href: link("requirement", requirement.id) }, requirement.id), " ", h("span", { class: "level" }, requirement.level), " ", reference(requirement)),
  h("p", {}, requirement.summary),
  requirement.conflicts.map((conflict) => h("p", { class: "small" }, `The RFCs disagree here: ${conflict}`)),
  requirement.unseen ? h("p", { class: "small" }, `Not observable: ${requirement.unseen}`) : null);

const requirementPage = () => {
  const requirement = data.byRequirement.get(place.name);
  if (!requirement) return [h("h2", {}, "There is no such requirement")];
  const rows = requirement.cases.flatMap((one) => one.variations);
  return [h("p", {}, h("a", { href: link("matrix") }, "← matrix")), h("h2", {}, requirement.id),
    h("p", {}, h("span", { class: "level" }, requirement.level), ` ${reference(requirement)}`),
    h("p", { class: "lead" }, requirement.summary),
    requirement.conflicts.map((conflict) => h("p", {}, `The RFCs disagree here: ${conflict}`)),
    requirement.states.length ? h("p", { class: "small" }, `It can be tested in ${requirement.states.join(", ")}.`) : null,
    requirement.unseen ? h("p", {}, `Not observable from outside: ${requirement.unseen}`) : null,
    h("p", {}, data.runs.map((run) => [h("span", {}, `${run.label}: `), badge(STATUSES[run.status[requirement.number]] || STATUSES["-"]), " "])),
    rows.length ? variationTable(rows) : h("p", {}, "No case of these runs decides it.")];
};

const variationTable = (rows) => h("div", { class: "scroll" }, h("table", { class: "matrix" },
  h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "variation"), data.runs.map((run) => h("th", { scope: "col", class: "run" }, run.label)))),
  h("tbody", {}, rows.map((variation) => h("tr", {}, h("th", { scope: "row", class: "what" }, h("a", { href: link("case", variation.id) }, variation.id),
    h("span", { class: "summary" }, variation.case.title)),
    data.runs.map((_, run) => {
      const verdict = verdictOf(run, variation);
      return mark(VERDICTS[verdict], verdict === "." ? null : caseLink(variation, run), whyOf(run, variation));
    }))))));

const findingBox = (result) => {
  const finding = result.finding;
  if (!finding) return h("p", { class: "reason" }, result.reason);
  const code = (text, side) => h("code", {}, marked(text, marksOf(text, finding.differences, side), 0, (part, differs) => differs ? h("mark", {}, part) : part));
  return h("section", { class: `finding ${VERDICTS[spelt(result.verdict)][2]}` },
    h("p", { class: "message" }, h("strong", {}, finding.message)),
    h("dl", { class: "pairs" },
      h("dt", {}, finding.step >= 0 ? `step ${finding.step + 1}` : "the case"), h("dd", {}, h("code", {}, finding.yaml.trim() || "outside the steps"), " ", h("span", { class: "small" }, `${finding.file}:${finding.line}:${finding.column}`)),
      finding.expected ? [h("dt", {}, "expected"), h("dd", {}, code(finding.expected, "expected"))] : null,
      finding.seen ? [h("dt", {}, "seen"), h("dd", {}, code(finding.seen, "seen"))] : null,
      result.known ? [h("dt", {}, "known"), h("dd", {}, result.known)] : null),
    finding.differences.length ? h("div", { class: "scroll" }, h("table", { class: "differences" }, h("thead", {}, h("tr", {}, ["field", "expected", "seen"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, finding.differences.map((one) => h("tr", {}, h("th", { scope: "row" }, one.field), h("td", {}, h("code", {}, one.expected || "none")), h("td", {}, h("code", {}, one.seen || "none"))))))) : null);
};

const stepTable = (result) => h("div", { class: "scroll" }, h("table", { class: "steps" },
  h("thead", {}, h("tr", {}, ["", "step", "file and line"].map((name) => h("th", { scope: "col" }, name)))),
  h("tbody", {}, result.steps.map((step, number) => {
    const failing = result.finding && result.finding.step === number;
    return h("tr", { class: failing ? "failing" : step.file === result.file ? "" : "preamble" },
      h("td", { class: "number" }, `${failing ? "▶ " : ""}${number + 1}`), h("td", {}, h("code", {}, step.text)), h("td", { class: "small" }, step.line ? `${step.file}:${step.line}` : ""));
  }))));

const evidence = (result) => result.states.length ? h("div", { class: "scroll" }, h("table", {}, h("thead", {}, h("tr", {}, ["step", "state", "evidence", "possible", "the target's own word"].map((name) => h("th", { scope: "col" }, name)))),
  h("tbody", {}, result.states.map((state) => h("tr", { class: missed(state) ? "failing" : null }, h("td", { class: "number" }, String(state.step + 1)), h("td", {}, h("strong", {}, `${missed(state) ? "✗ not " : ""}${state.connection && state.connection !== "main" ? `${state.connection}: ` : ""}${state.state}`)),
    h("td", {}, state.evidence), h("td", {}, (state.possible || []).join(", ")), h("td", {}, state.oracle || "not asked")))))) : h("p", { class: "small" }, "No state was named.");

const fileName = (id) => `${id.replace(/[^A-Za-z0-9._=,[\]+-]/g, "_")}.pcapng`;

const resultSection = (run, variation, result) => {
  const title = h("h3", {}, data.runs[run].label, " ", badge(VERDICTS[verdictOf(run, variation)]), " ", h("span", { class: "small" }, judgedAs(run, variation)));
  if (!result) return h("section", { class: "card" }, title, h("p", {}, "This run has no result of it."));
  const header = data.runs[run].header;
  const raw = h("pre", {});
  const copy = h("pre", {});
  const filled = (target, make) => ({ toggle: (event) => { if (event.target.open && !target.textContent) target.textContent = make(); } });
  const again = [h("h4", {}, "Run it again"), copyable(result.rerun || `conformance run ${quoted(`${result.file}::${variation.rest}`)} --target=${quoted(String(header.target.name))}`)];
  const chosen = Object.keys(result.observations).length ? [h("h4", {}, "Which way it chose"), pairs(Object.entries(result.observations))] : null;
  if (header.brief) return h("section", { class: "card" }, title, findingBox(result), chosen, again,
    h("p", { class: "small" }, "This run is kept without its traces: run the case again to see ladder, steps and evidence."));
  return h("section", { class: "card" }, title, findingBox(result),
    h("h4", {}, "Ladder"), ladderPlace(result),
    h("details", { on: filled(copy, () => ladderText(result)) }, h("summary", {}, "The ladder as text"), copy),
    h("h4", {}, "Steps"), stepTable(result),
    h("h4", {}, "States, and what they were told from"), evidence(result), chosen, again,
    h("h4", {}, "Capture"), hasFrames(result)
      ? h("p", {}, h("button", { type: "button", class: "capture", on: { click: () => download(fileName(result.id), "application/x-pcapng", capture(result, header.tool)) } }, "Download the capture (pcapng)"))
      : h("p", { class: "small" }, "No frames were recorded: a run records those of what it does not pass, and with --capture all every one."),
    h("details", {}, h("summary", {}, "Environment"), pairs([["target", data.runs[run].label], ["command", (header.command || []).join(" ")], ["tester", header.tool], ["suite", header.case_set],
      ["started", result.started], ["took", `${result.duration} s, of which ${result.waited} s of waiting; attempt ${result.attempts}`],
      ...flat(result.settings, "setting"), ...flat(result.pairs, "pair"), ...flat(result.isns, "number"), ...flat(header.target, "target")].filter(([, value]) => value !== "none"))),
    h("details", { on: filled(raw, () => JSON.stringify(result, null, 1)) }, h("summary", {}, "The result as it was recorded"), raw));
};

const casePage = async () => {
  const variation = data.byVariation.get(place.name) || data.byCase.get(place.name)?.variations[0];
  if (!variation) return [h("h2", {}, "There is no such case")];
  const worst = data.runs.map((_, run) => ORDER.indexOf(verdictOf(run, variation)));
  const asked = filter("run") === "" ? worst.indexOf(Math.min(...worst)) : Number(filter("run"));
  const run = data.runs[asked] ? asked : 0;
  const other = filter("with") !== "" && data.runs[Number(filter("with"))] && Number(filter("with")) !== run ? Number(filter("with")) : null;
  const [result, second] = await Promise.all([resultOf(run, variation), other === null ? null : resultOf(other, variation)]);
  const siblings = variation.case.variations;
  const at = siblings.indexOf(variation);
  const go = (target, text, key) => target ? h("a", { href: caseLink(target, run, { with: other }), "data-key": key, class: "button" }, text) : null;
  const picker = data.runs.length > 1 ? h("p", { class: "picker" }, "Run: ", data.runs.map((one, number) => verdictOf(number, variation) === "." ? null :
    [h("a", { class: `badge ${VERDICTS[verdictOf(number, variation)][2]}`, "aria-current": number === run ? "true" : null, href: caseLink(variation, number) }, `${VERDICTS[verdictOf(number, variation)][0]} ${one.label}`), " "]),
    h("label", {}, " beside ", h("select", { id: "beside", on: { change: (event) => { location.hash = caseLink(variation, run, { with: event.target.value }); } } },
      h("option", { value: "" }, "no other run"), data.runs.map((one, number) => number === run || verdictOf(number, variation) === "." ? null : h("option", { value: number, selected: number === other }, one.label))))) : null;
  return [h("p", {}, h("a", { href: link("matrix", "", { run: null }) }, "← matrix")), h("h2", {}, variation.id), h("p", { class: "lead" }, variation.case.title), picker,
    siblings.length > 1 ? h("details", { class: "siblings", open: siblings.length < 9 }, h("summary", {}, `${siblings.length} variations`), siblings.map((one) =>
      [h("a", { class: `badge ${VERDICTS[verdictOf(run, one)][2]}`, "aria-current": one === variation ? "true" : null, href: caseLink(one, run, { with: other }) }, `${VERDICTS[verdictOf(run, one)][0]} ${one.rest || "the case"}`), " "])) : null,
    h("p", {}, go(siblings[at - 1] || data.variations[variation.number - 1], "← previous (k)", "k"), " ", go(siblings[at + 1] || data.variations[variation.number + 1], "next (j) →", "j")),
    h("section", { "aria-label": "Requirements" }, variation.case.requirements.map((number) => requirementCard(data.requirements[number]))),
    h("div", { class: other === null ? "one" : "two" }, resultSection(run, variation, result), other === null ? null : resultSection(other, variation, second))];
};

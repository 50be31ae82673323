// The first screen: per run, how many requirements of each RFC and level were decided, and how.
const COLUMNS = [["M", "met"], ["D", "deviating"], ["F", "failed"], ["U", "unsupported"], ["O", "undecided"], ["-", "not covered"]];

const tally = (run, wanted) => {
  const counts = { M: 0, D: 0, F: 0, U: 0, O: 0, "-": 0, x: 0 };
  let all = 0;
  for (const requirement of data.requirements) {
    if (!wanted(requirement)) continue;
    counts[data.runs[run].status[requirement.number] || "-"] += 1;
    all += 1;
  }
  return { counts, all, decided: counts.M + counts.D + counts.F };
};

const bar = ({ counts, all }) => {
  const parts = Object.keys(STATUSES).filter((one) => counts[one]);
  const words = parts.map((one) => `${counts[one]} ${STATUSES[one][1]}`).join(", ");
  return h("div", { class: "bar", role: "img", "aria-label": words, title: words },
    parts.map((one) => h("span", { class: STATUSES[one][2], "width%": (100 * counts[one]) / all })));
};

const tallyRow = (run, name, filters, wanted, kind) => {
  const found = tally(run, wanted);
  if (!found.all) return null;
  const cell = (status, count) => h("td", { class: count ? `number ${STATUSES[status][2]}` : "number zero" },
    count ? h("a", { href: link("matrix", "", { run, status, ...filters }) }, String(count)) : "0");
  return h("tr", { class: kind },
    h("th", { scope: "row" }, h("a", { href: link("matrix", "", { run, ...filters }) }, name)),
    h("td", { class: "bar-cell" }, bar(found)),
    h("td", { class: "number" }, String(found.all)), h("td", { class: "number" }, String(found.decided)),
    COLUMNS.map(([status]) => status === "-"
      ? h("td", { class: "number" }, found.counts["-"] + found.counts.x
        ? h("a", { href: link("matrix", "", { run, status: "-", ...filters }), title: `${found.counts.x} of them can't be seen from outside` },
          String(found.counts["-"] + found.counts.x)) : "0")
      : cell(status, found.counts[status])));
};

const verdictLine = (number) => {
  const run = data.runs[number];
  const counts = {};
  for (const one of run.verdicts) counts[one] = (counts[one] || 0) + 1;
  return h("p", { class: "verdicts" }, Object.keys(VERDICTS).filter((one) => one !== "." && counts[one]).map((one) =>
    h("a", { class: `badge ${VERDICTS[one][2]}`, href: link("matrix", "", { run: number, rows: "cases", verdict: VERDICTS[one][1] }) },
      `${VERDICTS[one][0]} ${counts[one]} ${VERDICTS[one][1]}`)));
};

const runCard = (number) => {
  const run = data.runs[number];
  const levels = [...new Set([...data.levels, ""])];
  const rfcs = [...new Set(data.requirements.map((one) => one.rfc))].filter((rfc) => rfc)
    .map((rfc) => [rfc, tally(number, (one) => one.rfc === rfc)]).filter(([, found]) => found.decided + found.counts.U + found.counts.O);
  const must = tally(number, (one) => one.level.startsWith("MUST"));
  const rows = data.levels.map((level) => tallyRow(number, level, { level }, (one) => one.level === level, "grade"));
  for (const [rfc] of rfcs) {
    rows.push(tallyRow(number, `RFC ${rfc}`, { rfc }, (one) => one.rfc === rfc, "rfc"));
    for (const level of levels.filter(Boolean))
      rows.push(tallyRow(number, level, { rfc, level }, (one) => one.rfc === rfc && one.level === level, "sub"));
  }
  return h("section", { class: "card", id: `run-${number}` },
    h("h2", {}, h("a", { href: link("run", String(number)) }, run.label)),
    h("p", { class: "headline" }, h("strong", {}, `${must.counts.M} of ${must.decided}`),
      ` MUST and MUST NOT that were decided are met; ${must.counts.F} failed, ${must.all - must.decided} of ${must.all} were not decided or not covered.`),
    verdictLine(number),
    run.problems.map((problem) => h("p", { class: "problem" }, `Not the whole story: ${problem}`)),
    h("div", { class: "scroll" }, h("table", { class: "tally" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "requirements"), h("th", { scope: "col" }, h("span", { class: "unseen" }, "shares")),
        ["all", "decided", ...COLUMNS.map(([status, name]) => `${STATUSES[status][0]} ${name}`)].map((name) => h("th", { scope: "col", class: "number" }, name)))),
      h("tbody", {}, rows))),
    h("p", { class: "small" }, `started ${run.header.started} · ${run.source}`));
};

const overview = () => {
  const several = data.runs.length > 1, many = data.runs.length > 3;
  return [h("h2", {}, "How conformant?"), several ? h("div", { class: "scroll" }, h("table", { class: "tally" },
    h("thead", {}, h("tr", {}, ["run", "", "MUST met / decided", "SHOULD met / decided", "BEHAVIOUR met / decided", "failed"].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, data.runs.map((run, number) => {
      const of = (word) => tally(number, (one) => one.level.startsWith(word));
      const cell = (found) => h("td", { class: "number" }, `${found.counts.M} / ${found.decided}`);
      const all = tally(number, () => true);
      return h("tr", {}, h("th", { scope: "row" }, h("a", { href: link("run", String(number)) }, run.label)), h("td", { class: "bar-cell" }, bar(all)),
        ["MUST", "SHOULD", "BEHAVIOUR"].map((word) => cell(of(word))),
        h("td", { class: "number" }, h("a", { href: link("matrix", "", { run: number, status: "F" }) }, `✗ ${all.counts.F}`)));
    })))) : null,
  many ? h("p", {}, "A run's name opens its own table.") : data.runs.map((run, number) => runCard(number))];
};

const runPage = () => {
  const number = Number(place.name);
  const run = data.runs[number];
  if (!run) return [h("h2", {}, "There is no such run")];
  return [runCard(number), h("section", { class: "card" }, h("h2", {}, "Environment"),
    pairs([["command", (run.header.command || []).join(" ")], ["tester", run.header.tool], ["suite", run.header.case_set],
      ["started", run.header.started], ["ended", run.footer.ended || "no footer"], ["how it ended", [run.footer.how, run.footer.reason].filter(Boolean).join(": ")],
      ["selected", String(run.header.selected)], ["not run", String(run.not_run)], ...flat(run.header.target, "target"), ...flat(run.header.options, "option")]))];
};

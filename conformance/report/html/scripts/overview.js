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

const tallyCells = (run, found, filters) => [
  h("td", { class: "bar-cell" }, bar(found)),
  h("td", { class: "number every" }, String(found.all)), h("td", { class: "number" }, String(found.decided)),
  COLUMNS.map(([status]) => {
    const count = found.counts[status] + (status === "-" ? found.counts.x : 0);
    const title = status === "-" ? `${found.counts.x} of them can't be seen from outside` : null;
    return h("td", { class: count ? `number ${status === "-" ? "" : STATUSES[status][2]}` : "number zero" },
      count ? h("a", { href: link("matrix", "", { run, status, ...filters }), title }, String(count)) : "0");
  })];
const tallyHead = (name) => h("thead", {}, h("tr", {}, h("th", { scope: "col" }, name), h("th", { scope: "col" }, h("span", { class: "unseen" }, "shares")),
  h("th", { scope: "col", class: "number every" }, "all"), h("th", { scope: "col", class: "number" }, "decided"),
  COLUMNS.map(([status, word]) => h("th", { scope: "col", class: "number", title: word }, STATUSES[status][0], h("span", { class: "word" }, ` ${word}`)))));
const tallyLegend = () => h("p", { class: "small narrow" }, COLUMNS.map(([status, word]) => `${STATUSES[status][0]} ${word}`).join(", "));

const tallyRow = (run, name, filters, wanted, kind) => {
  const found = tally(run, wanted);
  return found.all ? h("tr", { class: kind }, h("th", { scope: "row" }, h("a", { href: link("matrix", "", { run, ...filters }) }, name)), tallyCells(run, found, filters)) : null;
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
  const rfcs = [...new Set(data.requirements.map((one) => one.rfc))].filter((rfc) => rfc)
    .map((rfc) => [rfc, tally(number, (one) => one.rfc === rfc)]).filter(([, found]) => found.decided + found.counts.U + found.counts.O);
  const must = tally(number, (one) => one.level.startsWith("MUST"));
  const rows = data.levels.map((level) => tallyRow(number, level, { level }, (one) => one.level === level, "grade"));
  for (const [rfc] of rfcs) {
    rows.push(tallyRow(number, `RFC ${rfc}`, { rfc }, (one) => one.rfc === rfc, "rfc"));
    for (const level of data.levels)
      rows.push(tallyRow(number, level, { rfc, level }, (one) => one.rfc === rfc && one.level === level, "sub"));
  }
  return h("section", { class: "card", id: `run-${number}` },
    h("h2", {}, h("a", { href: link("run", String(number)) }, run.label)),
    h("p", { class: "headline" }, h("strong", {}, `${must.counts.M} of ${must.decided}`),
      ` MUST and MUST NOT that were decided are met; ${must.counts.F} failed, ${must.all - must.decided} of ${must.all} were not decided or not covered.`),
    verdictLine(number),
    run.problems.map((problem) => h("p", { class: "problem" }, `Not the whole story: ${problem}`)),
    tallyLegend(), h("div", { class: "scroll" }, h("table", { class: "tally" }, tallyHead("requirements"), h("tbody", {}, rows))),
    h("p", { class: "small" }, `started ${run.header.started} · ${run.source}`));
};

// RFC and level x runs: met of decided, and what failed.
const sideBySide = () => {
  const runs = data.runs.map((_, number) => number);
  const row = (name, filters, wanted, kind) => {
    const found = runs.map((run) => tally(run, wanted));
    if (!found.some((one) => one.decided)) return null;
    return h("tr", { class: kind }, h("th", { scope: "row" }, h("a", { href: link("matrix", "", filters) }, name)), found.map((one, run) => h("td", { class: "number" },
      one.decided ? h("a", { href: link("matrix", "", { run, ...filters }), title: `${one.counts.M} met of ${one.decided} that were decided, ${one.all - one.decided} not decided or not covered` }, `${one.counts.M} / ${one.decided}`) : "·",
      one.counts.D ? [" ", h("a", { class: "deviation", href: link("matrix", "", { run, status: "D", ...filters }), "aria-label": `${one.counts.D} deviating` }, `△${one.counts.D}`)] : null,
      one.counts.F ? [" ", h("a", { class: "fail", href: link("matrix", "", { run, status: "F", ...filters }), "aria-label": `${one.counts.F} failed` }, `✗${one.counts.F}`)] : null)));
  };
  const rows = data.levels.map((level) => row(level, { level }, (one) => one.level === level, "grade"));
  for (const rfc of [...new Set(data.requirements.map((one) => one.rfc))].filter(Boolean)) {
    rows.push(row(`RFC ${rfc}`, { rfc }, (one) => one.rfc === rfc, "rfc"));
    for (const level of data.levels) rows.push(row(level, { rfc, level }, (one) => one.rfc === rfc && one.level === level, "sub"));
  }
  return [h("h3", {}, "By RFC and level"), h("p", { class: "small" }, "Met / decided, △ deviating, ✗ failed."),
    h("div", { class: "scroll" }, h("table", { class: "tally beside" }, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "requirements"),
      data.runs.map((run, number) => h("th", { scope: "col", class: "number" }, h("a", { href: link("run", String(number)) }, run.label))))), h("tbody", {}, rows)))];
};

const overview = () => {
  const several = data.runs.length > 1;
  return [h("h2", {}, "How conformant?"), several ? [tallyLegend(), h("div", { class: "scroll" }, h("table", { class: "tally runs" }, tallyHead("all requirements"),
    h("tbody", {}, data.runs.map((run, number) => h("tr", {}, h("th", { scope: "row" }, h("a", { href: link("run", String(number)) }, run.label)), tallyCells(number, tally(number, () => true), {}))))))] : null,
  several ? data.runs.map((run) => run.problems.map((problem) => h("p", { class: "problem" }, `${run.label} is not the whole story: ${problem}`))) : null,
  several ? sideBySide() : null,
  data.runs.length > 3 ? h("p", {}, "A run's name opens its own table.") : data.runs.map((run, number) => runCard(number))];
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

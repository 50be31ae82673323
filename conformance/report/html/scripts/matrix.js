// The matrix: requirements (or cases) x runs, filtered by what the fragment says.
const lower = (text) => text.toLowerCase();
const within = (section, part) => `${section}.`.startsWith(`${part}.`);
const shown = () => {
  const run = filter("run");
  return run !== "" && data.runs[Number(run)] ? [Number(run)] : data.runs.map((_, number) => number);
};

const fits = (requirement) =>
  (!filter("rfc") || String(requirement.rfc) === filter("rfc")) &&
  (!filter("section") || within(requirement.section, filter("section"))) &&
  (!filter("level") || requirement.level === filter("level"));
const hasState = (requirement) => !filter("state") || requirement.states.includes(filter("state")) ||
  requirement.cases.some((one) => one.states.includes(filter("state")));
const caseVerdict = (one) => {
  const verdict = spelt(filter("verdict"));
  return !filter("verdict") || one.variations.some((variation) => shown().some((run) => verdictOf(run, variation) === verdict));
};
const found = (texts) => {
  const words = lower(filter("q")).split(/\s+/).filter(Boolean);
  const text = lower(texts.join(" "));
  return words.every((word) => text.includes(word));
};

const inOrder = (rows) => {
  const rfcs = [...new Set(data.requirements.map((one) => one.rfc))];
  return rows.sort((a, b) => rfcs.indexOf(a.rfc) - rfcs.indexOf(b.rfc) ||
    a.section.localeCompare(b.section, "en", { numeric: true }) || a.number - b.number);
};
const requirementRows = () => inOrder(data.requirements.filter((requirement) => {
  if (!fits(requirement) || !hasState(requirement)) return false;
  const status = shown().map((run) => data.runs[run].status[requirement.number]);
  const wanted = filter("status");
  if (wanted && !status.some((one) => one === wanted || (wanted === "-" && one === "x"))) return false;
  if (filter("differs") && new Set(data.runs.map((run) => run.status[requirement.number])).size < 2) return false;
  if (filter("verdict") && !requirement.cases.some(caseVerdict)) return false;
  return found([requirement.id, requirement.summary, requirement.section, `RFC ${requirement.rfc}`, ...requirement.cases.map((one) => `${one.id} ${one.title}`)]);
}));
const caseRows = () => [...data.cases].sort((a, b) => (a.id < b.id ? -1 : 1)).filter((one) => {
  const requirements = one.requirements.map((number) => data.requirements[number]);
  if (!requirements.some(fits) && (requirements.length || filter("rfc") || filter("level") || filter("section"))) return false;
  if (filter("state") && !one.states.includes(filter("state"))) return false;
  const wanted = filter("status");
  if (wanted && !requirements.some((requirement) => shown().some((run) => data.runs[run].status[requirement.number] === wanted))) return false;
  if (filter("differs") && !one.variations.some((variation) => new Set(data.runs.map((run) => run.verdicts[variation.number])).size > 1)) return false;
  const why = filter("q") ? one.variations.flatMap((variation) => shown().map((run) => whyOf(run, variation))) : [];
  return caseVerdict(one) && found([one.id, one.title, ...requirements.map((requirement) => requirement.id), ...why]);
});

// A cell is one link with one sign: there are thousands of them.
const mark = (words, href, title) => h("td", { class: `cell ${words[2]}` },
  href ? h("a", { href, "aria-label": words[1], title: title ? `${words[1]}: ${title}` : words[1] }, words[0])
    : h("span", { role: "img", "aria-label": words[1], title: words[1] }, words[0]));

const requirementRow = (requirement) => h("tr", {},
  h("th", { scope: "row", class: "what" }, h("a", { href: link("requirement", requirement.id) }, requirement.id),
    h("span", { class: "level" }, requirement.level), h("span", { class: "summary" }, requirement.summary)),
  shown().map((run) => mark(STATUSES[data.runs[run].status[requirement.number]] || STATUSES["-"],
    requirement.cases.length ? link("requirement", requirement.id, { at: run }) : null)));

const ORDER = "FDEIUP.";
const caseRow = (one) => h("tr", {},
  h("th", { scope: "row", class: "what" }, h("a", { href: link("case", one.variations[0].id) }, one.id), h("span", { class: "summary" }, one.title)),
  shown().map((run) => {
    const count = {};
    for (const variation of one.variations) count[verdictOf(run, variation)] = (count[verdictOf(run, variation)] || 0) + 1;
    const worst = [...ORDER].find((verdict) => count[verdict]);
    const variation = one.variations.find((each) => verdictOf(run, each) === worst);
    const words = Object.entries(count).map(([verdict, times]) => `${times} ${VERDICTS[verdict][1]}`).join(", ");
    return h("td", { class: `cell ${VERDICTS[worst][2]}` }, worst === "." ? "·" : h("a", { href: caseLink(variation, run), "aria-label": words, title: words },
      [...ORDER].filter((each) => count[each] && each !== ".").map((each) => `${VERDICTS[each][0]}${count[each] > 1 ? count[each] : ""}`).join(" ")));
  }));

// The first rows at once, the others while the first are read.
const FIRST = 40;
let filling = 0;

const table = () => {
  const cases = filter("rows") === "cases";
  const rows = cases ? caseRows() : requirementRows();
  const columns = shown();
  const body = h("tbody", {});
  const count = h("p", { class: "small", role: "status", id: "count" }, `${rows.length} of ${cases ? data.cases.length : data.requirements.length} ${cases ? "cases" : "requirements"}`);
  filling += 1;
  const mine = filling;
  let heading = "", at = 0;
  const fill = () => {
    if (mine !== filling) return;
    const part = [];
    for (const row of rows.slice(at, at + FIRST * (at ? 3 : 1))) {
      const group = cases ? row.id.split("/")[0] : reference(row);
      if (group !== heading) {
        heading = group;
        part.push(h("tr", { class: "group" }, h("th", { colspan: columns.length + 1, scope: "colgroup" }, group)));
      }
      part.push(cases ? caseRow(row) : requirementRow(row));
    }
    at += FIRST * (at ? 3 : 1);
    body.append(...part);
    count.toggleAttribute("data-more", at < rows.length);
    if (at < rows.length) setTimeout(fill);
  };
  fill();
  return [count, h("div", { class: "scroll" }, h("table", { class: "matrix" },
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, cases ? "case" : "requirement"),
      columns.map((run) => h("th", { scope: "col", class: "run" }, h("a", { href: link("run", String(run)) }, data.runs[run].label))))), body))];
};

const matrix = () => {
  const holder = h("div", {});
  let waiting = 0;
  const change = (name, value) => {
    const query = new URLSearchParams(place.query);
    if (value) query.set(name, value);
    else query.delete(name);
    place.query = query;
    const rest = query.toString();
    history.replaceState(null, "", `#/matrix${rest ? `?${rest}` : ""}`);
    holder.replaceChildren(...table());
    navigation();
  };
  const choice = (name, title, values) => h("label", {}, h("span", {}, title), h("select", { id: `filter-${name}`, on: { change: (event) => change(name, event.target.value) } },
    h("option", { value: "" }, "all"),
    values.map(([value, text]) => h("option", { value, selected: filter(name) === String(value) }, text))));
  const sections = [...new Set(data.requirements.filter((one) => !filter("rfc") || String(one.rfc) === filter("rfc")).flatMap((one) => {
    const parts = one.section.split(".");
    return parts.map((_, number) => parts.slice(0, number + 1).join("."));
  }))].filter(Boolean).sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  const plain = (values) => values.map((value) => [value, String(value)]);
  const form = h("form", { class: "filters", role: "search", on: { submit: (event) => event.preventDefault() } },
    choice("rows", "Rows", [["cases", "cases"]]),
    choice("rfc", "RFC", plain([...new Set(data.requirements.map((one) => one.rfc))].filter(Boolean).sort((a, b) => a - b))),
    choice("section", "Section", plain(sections)),
    choice("level", "Level", plain(data.levels)),
    choice("state", "State", plain(data.states)),
    choice("status", "Requirement is", Object.keys(STATUSES).map((one) => [one, STATUSES[one][1]])),
    choice("verdict", "Verdict", plain(Object.values(VERDICTS).map((words) => words[1]))),
    data.runs.length > 1 ? choice("run", "Run", data.runs.map((run, number) => [number, run.label])) : null,
    h("label", { class: "wide" }, h("span", {}, "Text"), h("input", { type: "search", id: "filter-q", value: filter("q"), placeholder: "press / to search", on: {
      input: (event) => {
        clearTimeout(waiting);
        waiting = setTimeout(() => change("q", event.target.value), 120);
      } } })),
    data.runs.length > 1 ? h("label", { class: "check" }, h("input", { type: "checkbox", id: "filter-differs", checked: Boolean(filter("differs")), on: { change: (event) => change("differs", event.target.checked ? "1" : "") } }), h("span", {}, "only where runs differ")) : null,
    h("a", { class: "button", href: "#/matrix" }, "Clear"));
  form.querySelector("#filter-rows").firstChild.textContent = "requirements";
  holder.append(...table());
  return [h("h2", {}, "Matrix"), form, holder, legend()];
};

const legend = () => h("p", { class: "legend small" }, Object.values(filter("rows") === "cases" ? VERDICTS : STATUSES).map((words) => badge(words)));

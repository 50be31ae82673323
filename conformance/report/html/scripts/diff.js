// Two runs compared: every variation whose verdict, or whose finding, is not the same.
const changes = (a, b) => data.variations.filter((variation) =>
  verdictOf(a, variation) !== verdictOf(b, variation) || data.runs[a].prints[variation.number] !== data.runs[b].prints[variation.number]);

const byCase = (list) => {
  const found = new Map();
  for (const variation of list) found.set(variation.case, [...(found.get(variation.case) || []), variation]);
  return [...found.entries()];
};

const diffPage = () => {
  if (data.runs.length < 2) return [h("h2", {}, "Compare"), h("p", {}, "There is only one run here.")];
  const number = (name, other) => (data.runs[Number(filter(name))] && filter(name) !== "" ? Number(filter(name)) : other);
  const a = number("a", 0), b = number("b", 1);
  const pick = (name, now) => h("select", { id: `pick-${name}`, "aria-label": `run ${name}`, on: { change: (event) => { location.hash = link("diff", "", { a, b, [name]: event.target.value }); } } },
    data.runs.map((run, each) => h("option", { value: each, selected: each === now }, run.label)));
  const moved = changes(a, b);
  const groups = new Map();
  for (const variation of moved) {
    const key = verdictOf(a, variation) + verdictOf(b, variation);
    groups.set(key, [...(groups.get(key) || []), variation]);
  }
  const names = (run) => flat(data.runs[run].header.target);
  const before = new Map(names(a));
  const settings = names(b).filter(([key, value]) => before.get(key) !== value);
  const words = (verdict) => VERDICTS[verdict];
  return [h("h2", {}, "What changed"), h("p", {}, pick("a", a), " → ", pick("b", b)),
    h("p", { id: "changed" }, h("strong", {}, String(moved.length)), ` of ${data.variations.length} variations are not the same.`),
    settings.length ? h("details", {}, h("summary", {}, `The target says ${settings.length} things differently`), h("div", { class: "scroll" }, h("table", {}, h("tbody", {}, settings.map(([key, value]) =>
      h("tr", {}, h("th", { scope: "row" }, key), h("td", {}, before.get(key) ?? "nothing"), h("td", {}, value))))))) : null,
    [...groups.entries()].sort(([x], [y]) => ORDER.indexOf(x[1]) - ORDER.indexOf(y[1])).map(([key, list]) => h("section", { class: "card" },
      h("h3", {}, badge(words(key[0])), " → ", badge(words(key[1])), ` ${list.length}`),
      h("ul", { class: "changes" }, byCase(list).slice(0, 400).map(([one, changed]) => h("li", {}, h("a", { href: link("case", changed[0].id, { run: a, with: b }) }, changed.length > 1 ? one.id : changed[0].id),
        changed.length > 1 ? h("details", {}, h("summary", { class: "small" }, `${changed.length} variations`), changed.map((variation) => [h("a", { class: "badge", href: link("case", variation.id, { run: a, with: b }) }, variation.rest), " "])) : null,
        h("span", { class: "summary" }, [whyOf(a, changed[0]), whyOf(b, changed[0])].filter(Boolean).join(" → "))))),
      byCase(list).length > 400 ? h("p", {}, `... and ${byCase(list).length - 400} more cases`) : null))];
};

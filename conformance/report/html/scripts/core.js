// What all views share: unpacking, elements made of text alone, the words for verdicts, the fragment with its filters.
const byId = (id) => document.getElementById(id);

const unpack = async (id) => {
  const text = atob(byId(id).textContent.trim());
  const octets = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at += 1) octets[at] = text.charCodeAt(at);
  const stream = new Blob([octets]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text());
};

// Elements: children are nodes, text, or lists of them. Text stays text: nothing here reads markup.
const put = (element, attributes, children) => {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "on") for (const [kind, call] of Object.entries(value)) element.addEventListener(kind, call);
    else if (name === "width%") element.style.width = `${value}%`;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
};
const h = (name, attributes, ...children) => put(document.createElement(name), attributes, children);
const s = (name, attributes, ...children) =>
  put(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);

const VERDICTS = {
  P: ["✓", "PASS", "pass"],
  D: ["△", "DEVIATION", "deviation"],
  F: ["✗", "FAIL", "fail"],
  U: ["∅", "UNSUPPORTED", "unsupported"],
  I: ["?", "INCONCLUSIVE", "undecided"],
  E: ["!", "ERROR", "undecided"],
  ".": ["·", "not run", "none"],
};
const STATUSES = {
  M: ["✓", "met", "pass"],
  D: ["△", "deviating", "deviation"],
  F: ["✗", "failed", "fail"],
  U: ["∅", "unsupported", "unsupported"],
  O: ["?", "undecided", "undecided"],
  "-": ["·", "not covered", "none"],
  x: ["○", "not observable from outside", "none"],
};
const badge = (words) => h("span", { class: `badge ${words[2]}` }, `${words[0]} ${words[1]}`);
const spelt = (verdict) => Object.keys(VERDICTS).find((one) => VERDICTS[one][1] === verdict) || ".";

// Halves of characters can't stand in a link.
const whole = (text) => text.replace(/\p{Surrogate}/gu, "\ufffd");

const data = { runs: [], cases: [], variations: [], requirements: [], texts: [] };
let chunks = new Map();

const prepare = (index) => {
  Object.assign(data, index);
  data.requirements = index.requirements.map(
    ([id, rfc, section, level, summary, states, observable, unseen, conflicts], number) =>
      ({ id: whole(id), rfc, section, level, summary, states, observable, unseen, conflicts, number, cases: [] }));
  data.cases = index.cases.map(([id, title, file, requirements, states], number) =>
    ({ id: whole(id), title, file, requirements, states, number, variations: [] }));
  data.variations = index.variations.map(([of, rest], number) => {
    const variation = { case: data.cases[of], rest, id: data.cases[of].id + whole(rest), number };
    data.cases[of].variations.push(variation);
    return variation;
  });
  for (const one of data.cases) for (const number of one.requirements) data.requirements[number].cases.push(one);
  data.byCase = new Map(data.cases.map((one) => [one.id, one]));
  data.byVariation = new Map(data.variations.map((one) => [one.id, one]));
  data.byRequirement = new Map(data.requirements.map((one) => [one.id, one]));
};

// The whole result of a variation in a run, or null; a chunk of results is unpacked when the first of them is asked for.
const resultOf = async (run, variation) => {
  const number = data.runs[run].numbers[variation.number];
  if (number < 0) return null;
  const key = `c${run}-${Math.floor(number / data.chunk)}`;
  if (!chunks.has(key)) {
    if (chunks.size > 40) chunks = new Map();
    chunks.set(key, unpack(key));
  }
  return (await chunks.get(key))[number % data.chunk];
};
const verdictOf = (run, variation) => data.runs[run].verdicts[variation.number];
const whyOf = (run, variation) => data.texts[data.runs[run].why[variation.number]] || "";
const judgedAs = (run, variation) => data.runs[run].judgements[data.runs[run].judged[variation.number]] || "";
const reference = (requirement) =>
  requirement.rfc ? `RFC ${requirement.rfc} section ${requirement.section}` : "another catalogue";

// The fragment: #/view/name?filters. Filters stay in every link, so that the way back keeps them.
const FILTERS = ["rfc", "section", "level", "state", "status", "verdict", "run", "q", "rows", "differs"];
const place = { view: "", name: "", query: new URLSearchParams() };
const readPlace = () => {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?", 2);
  const [view, ...name] = path.split("/");
  place.view = view;
  try {
    place.name = decodeURIComponent(name.join("/"));
  } catch {
    place.name = name.join("/");
  }
  place.query = new URLSearchParams(query || "");
};
const filter = (name) => place.query.get(name) || "";
const link = (view, name, extra) => {
  const query = new URLSearchParams();
  for (const one of FILTERS) if (filter(one)) query.set(one, filter(one));
  for (const [key, value] of Object.entries(extra || {})) {
    if (value === null || value === "") query.delete(key);
    else query.set(key, value);
  }
  const rest = query.toString();
  return `#/${view}${name ? `/${encodeURIComponent(name)}` : ""}${rest ? `?${rest}` : ""}`;
};
const caseLink = (variation, run, extra) => link("case", variation.id, { run, ...extra });

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`; // one word for a shell
const copyable = (text) => {
  const code = h("code", { class: "copy" }, text);
  const button = h("button", { type: "button", on: { click: async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "copied";
    } catch {
      getSelection().selectAllChildren(code);
    }
  } } }, "copy");
  return h("div", { class: "command" }, code, button);
};
const pairs = (rows) => h("dl", { class: "pairs" }, rows.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
const flat = (value, prefix = "") => {
  if (value === null || typeof value !== "object") return [[prefix, value === null ? "none" : String(value)]];
  if (Array.isArray(value) && value.every((one) => one === null || typeof one !== "object"))
    return [[prefix, value.join(", ") || "none"]];
  return Object.entries(value).flatMap(([key, one]) => flat(one, prefix ? `${prefix} ${key}` : key));
};
const download = (name, type, content) => {
  const url = URL.createObjectURL(new Blob([content], { type }));
  const anchor = h("a", { href: url, download: name });
  document.body.append(anchor);
  anchor.click();
  anchor.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
};

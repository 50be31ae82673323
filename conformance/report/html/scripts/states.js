// The state diagram: where the target was seen, what led from one state to the next, and what deviated there.
const SPOTS = {
  CLOSED: [360, 30], LISTEN: [180, 110], "SYN-SENT": [560, 110], "SYN-RECEIVED": [180, 210], ESTABLISHED: [400, 210],
  "FIN-WAIT-1": [180, 320], "CLOSE-WAIT": [600, 320], "FIN-WAIT-2": [180, 430], CLOSING: [390, 400], "LAST-ACK": [600, 430], "TIME-WAIT": [390, 520],
};
const HALF = 58;

const outcome = (counts) => counts.F ? "fail" : counts.D ? "deviation" : counts.P ? "pass" : counts.U || counts.I || counts.E ? "undecided" : "none";
const counted = (counts) => Object.keys(VERDICTS).filter((one) => counts[one]).map((one) => `${counts[one]} ${VERDICTS[one][1]}`).join(", ") || "not covered";

const edge = (from, to, seen, title) => {
  const [ax, ay] = SPOTS[from], [bx, by] = SPOTS[to];
  const length = Math.hypot(bx - ax, by - ay) || 1;
  const dx = (bx - ax) / length, dy = (by - ay) / length;
  const inset = Math.min(HALF / (Math.abs(dx) || 1e-9), 17 / (Math.abs(dy) || 1e-9)) + 3;
  const sx = ax + dx * inset, sy = ay + dy * inset, ex = bx - dx * inset, ey = by - dy * inset;
  const bend = 14 + length / 14;
  const mx = (sx + ex) / 2 - dy * bend, my = (sy + ey) / 2 + dx * bend;
  const turn = (Math.atan2(ey - my, ex - mx) * 180) / Math.PI;
  return s("g", { class: `edge ${seen}` }, s("title", {}, title),
    s("path", { d: `M${sx},${sy} Q${mx},${my} ${ex},${ey}`, class: "line" }),
    s("path", { d: "M0,0 l-9,-4 v8 z", transform: `translate(${ex},${ey}) rotate(${turn})`, class: "head" }));
};

const statesPage = () => {
  const number = Number(filter("run")) || 0;
  const run = data.runs[number] || data.runs[0];
  const moves = new Map(run.moves.map(([from, to, counts]) => [`${from} ${to}`, counts]));
  const rfc = new Set(data.moves.map(([from, to]) => `${from} ${to}`));
  const edges = data.moves.map(([from, to, labels]) => {
    const counts = moves.get(`${from} ${to}`) || {};
    return edge(from, to, outcome(counts), `${from} to ${to}: ${labels.join("; ")}. In cases: ${counted(counts)}`);
  });
  const drawn = s("svg", { viewBox: "60 0 680 560", class: "diagram", role: "img", "aria-label": "State diagram; the tables below say the same" }, edges, data.states.map((state) => {
    const counts = run.states[state] || {};
    const [x, y] = SPOTS[state];
    const look = outcome(counts);
    return s("a", { href: link("matrix", "", { run: number, state, rows: "cases" }), class: `node ${look}` }, s("title", {}, `${state}: ${counted(counts)}`),
      s("rect", { x: x - HALF, y: y - 17, width: 2 * HALF, height: 34, rx: 8 }), s("text", { x, y: y - 1, "text-anchor": "middle" }, state),
      s("text", { x, y: y + 12, "text-anchor": "middle", class: "count" }, [..."PDFUIE"].filter((one) => counts[one]).map((one) => `${VERDICTS[one][0]} ${counts[one]}`).join("  ") || "not covered"));
  }));
  const more = run.moves.filter(([from, to]) => !rfc.has(`${from} ${to}`));
  const row = (name, counts, href) => h("tr", {}, h("th", { scope: "row" }, href ? h("a", { href }, name) : name),
    ["P", "D", "F", "I", "U", "E"].map((one) => h("td", { class: `number ${counts[one] ? VERDICTS[one][2] : "none"}` }, String(counts[one] || 0))));
  const heads = (name) => h("thead", {}, h("tr", {}, h("th", { scope: "col" }, name), ["P", "D", "F", "I", "U", "E"].map((one) => h("th", { scope: "col", class: "number" }, VERDICTS[one][1]))));
  return [h("h2", {}, `States: ${run.label}`),
    data.runs.length > 1 ? h("p", { class: "picker" }, data.runs.map((one, each) => [h("a", { class: "badge", "aria-current": each === number ? "true" : null, href: link("states", "", { run: each }) }, one.label), " "])) : null,
    h("p", { class: "small" }, "A state counts the variations that begin in it or in which the target was told to be in it; an arrow those in which both its ends were named one after the other, and as failed those that should have come to its end and did not. What a case failed on need not lie in the state it begins in: its page says."),
    h("div", { class: "scroll" }, drawn),
    h("h3", {}, "States"), h("div", { class: "scroll" }, h("table", {}, heads("state"), h("tbody", {}, data.states.map((state) => row(state, run.states[state] || {}, link("matrix", "", { run: number, state, rows: "cases" })))))),
    h("h3", {}, "From one to the next"), h("div", { class: "scroll" }, h("table", {}, heads("from and to"), h("tbody", {}, data.moves.map(([from, to]) => row(`${from} → ${to}`, moves.get(`${from} ${to}`) || {}))))),
    more.length ? [h("h3", {}, "By way of states that were not named"), h("div", { class: "scroll" }, h("table", {}, heads("from and to"), h("tbody", {}, more.map(([from, to, counts]) => row(`${from} → ${to}`, counts)))))] : null];
};

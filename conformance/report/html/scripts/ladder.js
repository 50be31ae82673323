// The ladder of a result as SVG: the tester's axis, the target's axis, time downwards; what was expected beside what came.
const CHAR = 7.3; // the width of a character of the ladder's type, as laid out here
const LINE = 15;

const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

// Those parts of a line of the notation that differ, as [start, end].
const marksOf = (line, differences, side) => {
  const found = [];
  for (const difference of differences || []) {
    const name = difference.field;
    if (name === "flags") {
      found.push([0, line.split(" ", 1)[0].length]);
      continue;
    }
    const match = name && (line.match(new RegExp(`(?<!\\S)${escaped(name)}=\\S+`)) ||
      line.match(new RegExp(`(?<=[<\\s])${escaped(name)}(?:\\s[^,>]*)?(?=[,>])`)));
    const text = difference[side];
    if (match) found.push([match.index, match.index + match[0].length]);
    else if (text && line.includes(text)) found.push([line.indexOf(text), line.indexOf(text) + text.length]);
  }
  return found.sort((a, b) => a[0] - b[0]);
};

// Text with some parts marked, as nodes made by `node(text, marked)`.
const marked = (text, marks, from, node) => {
  const nodes = [];
  let at = 0;
  for (const [start, end] of marks) {
    const a = Math.max(start - from, at), b = Math.min(end - from, text.length);
    if (b <= a) continue;
    if (a > at) nodes.push(node(text.slice(at, a), false));
    nodes.push(node(text.slice(a, b), true));
    at = b;
  }
  if (at < text.length) nodes.push(node(text.slice(at), false));
  return nodes;
};

const wrapped = (text, most) => {
  const lines = [];
  let at = 0;
  while (text.length - at > most && lines.length < 12) {
    let end = text.lastIndexOf(" ", at + most);
    if (end <= at) end = at + most;
    lines.push([text.slice(at, end), at]);
    at = text[end] === " " ? end + 1 : end;
  }
  const rest = text.slice(at);
  lines.push([rest.length > most ? `${rest.slice(0, most - 1)}…` : rest, at]);
  return lines;
};

const seconds = (nanos) => `${nanos < 0 ? "-" : "+"}${(Math.abs(nanos) / 1e9).toFixed(6)}`;

// What the ladder shows, top to bottom: steps, frames, notes, states, and the expectation beside what came.
// A state that the replies rule out: what they leave, in words.
const missed = (state) => state.possible.length && !state.possible.includes(state.state) ? state.possible.join(" or ") : "";

const rungs = (result) => {
  const rows = [];
  const finding = result.finding;
  const failing = finding && finding.step >= 0 ? finding.step : null;
  const first = result.trace.length ? result.trace[0].at : 0;
  const several = new Set(result.trace.map((event) => event.connection).filter(Boolean)).size > 1;
  const named = new Map();
  for (const state of result.states) named.set(state.step, [...(named.get(state.step) || []), state]);
  const own = result.steps.findIndex((step) => step.file === result.file);
  let started = !result.start;
  const busy = new Set(result.trace.map((event) => event.step));
  let current = null, latest = -1, told = false;
  const head = (step) => {
    if (!started && own >= 0 && step >= own) {
      rows.push({ kind: "state", text: `starts in ${result.start}` });
      started = true;
    }
    rows.push({ kind: "step", step, failing: step === failing, text: stepName(result, step) });
  };
  const states = (step) => {
    for (const state of named.get(step) || []) {
      const where = several && state.connection ? `${state.connection}: ` : "";
      const other = missed(state);
      rows.push({ kind: "state", failing: Boolean(other), text: `${where}${other ? `✗ ${other}, not ` : ""}${state.state}`, title: state.evidence });
    }
    named.delete(step);
  };
  const expectation = () => {
    if (told || !finding || !(finding.expected || finding.seen)) return;
    told = true;
    const line = result.steps[failing]?.text.startsWith("expect") || !result.steps[failing];
    if (finding.expected) rows.push({ kind: line ? "expected" : "note", expected: !line, text: line ? finding.expected : `expected: ${finding.expected}`, marks: marksOf(finding.expected, finding.differences, "expected") });
  };
  const leave = () => {
    if (current === null) return;
    if (current === failing) {
      expectation();
      if (!result.trace.some((event) => event.step === failing && event.kind === "seen" && event.text === finding.seen) && finding.seen)
        rows.push({ kind: "note", failing: true, text: `seen: ${finding.seen}` });
    }
    states(current);
  };
  for (const event of result.trace) {
    if (event.step !== current) {
      leave();
      for (let between = latest + 1; between < event.step; between += 1) if (!busy.has(between)) head(between);
      current = event.step;
      latest = Math.max(latest, current);
      if (event.step >= 0) head(event.step);
    }
    const here = failing !== null && event.step === failing;
    const where = several && event.connection ? `${event.connection}: ` : "";
    const time = seconds(event.at - first);
    const said = event.remark ? `${event.text} # ${event.remark}` : event.text;
    if (event.kind === "call" || event.kind === "note") {
      rows.push({ kind: "note", time, failing: false, text: `${event.kind === "call" ? "application: " : ""}${where}${said}` });
      continue;
    }
    const culprit = here && event.kind === "seen" && event.text === finding.seen;
    if (culprit) expectation();
    const marks = culprit ? marksOf(event.text, finding.differences, "seen").map(([a, b]) => [a + where.length, b + where.length]) : [];
    rows.push({ kind: event.kind, time, failing: culprit, text: where + said, marks });
  }
  leave();
  if (failing !== null && !told) {
    head(failing);
    current = failing;
    leave();
  }
  for (const step of [...named.keys()].sort((a, b) => a - b)) states(step);
  return rows;
};

const ladder = (result, width) => {
  const narrow = width < 620;
  const left = narrow ? 12 : 112, right = width - (narrow ? 12 : 136);
  const most = Math.max(18, Math.floor((right - left - 34) / CHAR));
  const group = s("g", {});
  let y = 44;
  const text = (x, at, content, attributes) => s("text", { x, y: at, ...attributes }, content);
  const tspan = (part, differs) => s("tspan", differs ? { class: "differs" } : {}, part);
  const axes = [left, right];
  for (const row of rungs(result)) {
    if (row.kind === "step") {
      y += 8;
      const lines = wrapped(`${row.failing ? "▶ " : ""}${row.text}`, Math.floor((width - 10) / CHAR));
      for (const [line] of lines) {
        group.append(s("rect", { x: 0, y: y - 11, width, height: LINE, class: row.failing ? "band failing" : "band" }),
          text(4, y, line, { class: row.failing ? "step failing" : "step" }));
        y += LINE;
      }
      y += 6;
      continue;
    }
    if (row.kind === "state") {
      const size = (row.text.length + 2) * CHAR;
      const x = Math.max(2, Math.min(right - 8, width - size - 2));
      const look = row.failing ? "state failing" : "state";
      group.append(s("rect", { x, y: y - 11, width: size, height: 17, rx: 8, class: look }),
        s("text", { x: x + CHAR, y: y + 1.5, class: look }, row.text, row.title ? s("title", {}, row.title) : null));
      y += 22;
      continue;
    }
    if (row.time && !narrow) group.append(text(left - 10, y + (row.kind === "note" ? 0 : 2), row.time, { class: "time" }));
    const lead = row.time && narrow ? `${row.time} ` : "";
    if (row.kind === "note") {
      for (const [line] of wrapped(lead + row.text, most + 2)) {
        group.append(text(left + 12, y, line, { class: row.failing ? "note failing" : row.expected ? "note expected" : "note" }));
        y += LINE;
      }
      group.append(s("circle", { cx: right, cy: y - LINE - 4, r: 3, class: "dot" }));
      y += 4;
      continue;
    }
    const label = { expected: "expected: ", seen: row.failing ? "✗ came: " : "" }[row.kind] || (row.kind === "probe" ? "probe: " : "");
    const shift = lead.length + label.length;
    const lines = wrapped(lead + label + row.text, most);
    const marks = (row.marks || []).map(([a, b]) => [a + shift, b + shift]);
    const look = `${row.kind}${row.failing ? " failing" : ""}`;
    for (const [line, from] of lines) {
      group.append(s("text", { x: left + 16, y, class: `frame ${look}` }, marked(line, marks, from, tspan)));
      y += LINE;
    }
    y -= 6;
    const leftwards = row.kind === "seen" || row.kind === "expected";
    const [a, b] = leftwards ? [right, left] : [left, right];
    const back = leftwards ? 9 : -9;
    group.append(s("line", { x1: a, y1: y, x2: b, y2: y, class: `arrow ${look}` }),
      s("path", { d: `M${b},${y} l${back},-4.5 v9 z`, class: `head ${look}` }));
    y += 20;
  }
  const height = y + 6;
  return s("svg", { viewBox: `0 0 ${width} ${height}`, width, height, class: "ladder", role: "img",
    "aria-label": `Ladder of ${result.id}: the same stands as text below` },
    axes.map((x) => s("line", { x1: x, y1: 26, x2: x, y2: height, class: "axis" })),
    text(left, 18, "tester", { class: "end", "text-anchor": narrow ? "start" : "middle" }),
    text(right, 18, "target", { class: "end", "text-anchor": narrow ? "end" : "middle" }),
    group);
};

const ladderText = (result) => rungs(result).map((row) => {
  const time = (row.time || "").padStart(13);
  const arrow = { sent: "--->", probe: "-?->", seen: "<---", expected: "<- - expected:", note: "|   ", state: "  []" }[row.kind];
  return row.kind === "step" ? `${row.failing ? ">" : " "} ${row.text}` : `${row.failing ? ">" : " "} ${time}  ${arrow} ${row.text}`;
}).join("\n");

// A place for a ladder, drawn when it comes near the view, and again when its width changes.
const ladderPlace = (result) => {
  const holder = h("div", { class: "ladder-place" });
  let drawn = 0;
  const draw = () => {
    const width = Math.max(300, Math.floor(holder.clientWidth));
    if (width === drawn) return;
    drawn = width;
    holder.replaceChildren(ladder(result, width));
  };
  const seen = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    seen.disconnect();
    draw();
    new ResizeObserver(() => requestAnimationFrame(draw)).observe(holder);
  }, { rootMargin: "400px" });
  seen.observe(holder);
  addEventListener("beforeprint", draw, { once: true });
  return holder;
};

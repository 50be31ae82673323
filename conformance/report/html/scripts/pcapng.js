// A capture of a result's recorded frames, octet for octet what conformance/report/pcapng.py writes.
const utf8 = new TextEncoder();
const LONGEST = 0xfff0;

const bytesOf = (parts) => {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
};
const padded = (octets) => (octets.length % 4 ? bytesOf([octets, new Uint8Array(4 - (octets.length % 4))]) : octets);
const words = (layout, ...values) => {
  const sizes = { H: 2, I: 4, q: 8 };
  const view = new DataView(new ArrayBuffer([...layout].reduce((sum, kind) => sum + sizes[kind], 0)));
  let at = 0;
  [...layout].forEach((kind, number) => {
    if (kind === "H") view.setUint16(at, values[number], true);
    else if (kind === "I") view.setUint32(at, values[number], true);
    else view.setBigInt64(at, values[number], true);
    at += sizes[kind];
  });
  return new Uint8Array(view.buffer);
};
const option = (code, value) => bytesOf([words("HH", code, value.length), padded(value)]);
const block = (kind, body, options) => {
  const inner = bytesOf(options ? [padded(body), options, option(0, new Uint8Array())] : [padded(body)]);
  const size = words("I", inner.length + 12);
  return bytesOf([words("I", kind), size, inner, size]);
};
const comment = (text) => {
  const octets = utf8.encode(text);
  if (octets.length <= LONGEST) return option(1, octets);
  let end = LONGEST;
  while ((octets[end] & 0xc0) === 0x80) end -= 1;
  return option(1, octets.slice(0, end));
};

// Nanoseconds of a time stamp of the report, as a BigInt: no double has so many digits.
const nanoseconds = (text) => {
  const [seconds, fraction] = text.replace(/Z$/, "").split(".");
  return BigInt(Date.parse(`${seconds}Z`)) * 1000000n + BigInt((fraction || "0").padEnd(9, "0").slice(0, 9));
};
const printable = (text) =>
  text.replace(/[\p{C}\p{Z}]/gu, (char) => {
    if (char === " ") return char;
    const code = char.codePointAt(0);
    if (code < 0x100) return `\\x${code.toString(16).padStart(2, "0")}`;
    return code < 0x10000 ? `\\u${code.toString(16).padStart(4, "0")}` : `\\U${code.toString(16).padStart(8, "0")}`;
  });
const stepName = (result, step) => {
  if (step < 0) return "outside the steps";
  const known = result.steps[step];
  if (!known) return `step ${step + 1}`;
  return `step ${step + 1} ${printable(known.text)}${known.line ? ` (${printable(known.file)}:${known.line})` : ""}`;
};
const hasFrames = (result) => result.trace.some((event) => event.frame);

const capture = (result, tool) => {
  const finding = result.finding;
  const head = [`${result.verdict} ${printable(result.id)}: ${printable(result.title)}`, printable(result.reason)];
  if (finding) {
    head.push(`${printable(`${finding.file}:${finding.line}:${finding.column}`)}: ${printable(finding.message)}`);
  }
  const blocks = [
    block(0x0a0d0d0a, words("IHHq", 0x1a2b3c4d, 1, 0, -1n), bytesOf([
      ...head.filter(Boolean).map(comment), option(4, utf8.encode(`tcp-conformance ${tool}`))])),
    block(1, words("HHI", 1, 0, 0), bytesOf([option(2, utf8.encode("tester")), option(9, new Uint8Array([9]))])),
  ];
  const started = nanoseconds(result.started);
  let before = [];
  for (const event of result.trace) {
    if (event.frame === undefined) {
      before.push(`before: ${event.kind}: ${event.text}`);
      continue;
    }
    const frame = Uint8Array.from(event.frame.match(/../g) || [], (pair) => parseInt(pair, 16));
    const time = started + BigInt(event.at);
    const probe = event.kind === "probe" ? " (probe)" : "";
    const mark = finding && finding.step >= 0 && finding.step === event.step ? " <-- the finding" : "";
    const said = event.remark ? `${event.text} # ${event.remark}` : event.text;
    const comments = [`${stepName(result, event.step)}${probe}${mark}`, said, ...before].map(comment);
    before = [];
    const body = bytesOf([
      words("IIIII", 0, Number(time >> 32n), Number(time & 0xffffffffn), frame.length, frame.length), frame]);
    blocks.push(block(6, body, bytesOf([...comments, option(2, words("I", event.kind === "seen" ? 1 : 2))])));
  }
  return bytesOf(blocks);
};

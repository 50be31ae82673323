// What is shown for which fragment, the navigation, the keys.
const VIEWS = { "": overview, run: runPage, matrix, requirement: requirementPage, case: casePage, states: statesPage, diff: diffPage };
let turn = 0;

function navigation() {
  const item = (view, text, extra) => h("a", { href: view ? link(view, "", extra) : "#/", "aria-current": place.view === view ? "page" : null }, text);
  byId("nav").replaceChildren(item("", "Summary"), item("matrix", "Matrix"), item("states", "States"),
    ...(data.runs.length > 1 ? [item("diff", "Compare")] : []));
}

const show = async (first) => {
  turn += 1;
  const mine = turn;
  readPlace();
  navigation();
  const view = VIEWS[place.view];
  const nodes = view ? await view() : [h("h2", {}, "There is no such page")];
  if (mine !== turn) return;
  byId("main").replaceChildren(...nodes.flat(Infinity).filter(Boolean));
  document.title = [byId("main").querySelector("h2")?.textContent, byId("top").textContent && "TCP conformance"].filter(Boolean).join(" · ");
  if (!first) {
    scrollTo(0, 0);
    byId("main").focus({ preventScroll: true });
  }
  document.documentElement.dataset.shown = String(turn);
  performance.mark("shown");
};

const failed = (error) => {
  byId("main").replaceChildren(h("p", { class: "problem" }, `The page could not be shown: ${error}. It needs a browser of 2023 or newer.`));
  throw error;
};

addEventListener("hashchange", () => show(false).catch(failed));
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
  if (event.key === "/") {
    event.preventDefault();
    if (place.view === "matrix") byId("filter-q").focus();
    else location.hash = link("matrix");
    return;
  }
  if (event.key === "m") location.hash = link("matrix");
  for (const target of document.querySelectorAll("[data-key]")) if (target.dataset.key === event.key) target.click();
});
unpack("index").then((index) => {
  prepare(index);
  if (index.start && location.hash.length < 2) history.replaceState(null, "", index.start);
  return show(true);
}).catch(failed);

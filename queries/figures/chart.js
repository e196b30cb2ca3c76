// A Vega-Lite chart in its box: as wide as there is room, in the colours of the page. It needs
// vegaEmbed (vega.js) and no network; statements are interpreted, so that a page may forbid eval.
"use strict";

// A title's lines, and the notes below it, broken anew to fit.
function folded(text, characters) {
  const lines = [""];
  for (const word of [].concat(text).join(" ").split(" ")) {
    const line = lines[lines.length - 1];
    if (line && line.length + word.length + 1 > characters) lines.push(word);
    else lines[lines.length - 1] = line ? `${line} ${word}` : word;
  }
  return lines;
}

// Names at the ends of lines stand beside the plot; a legend at the right does too.
const BESIDE = 110;

// One panel that is chosen of many is shown large.
const LARGE = 460;

function fitted(given, width, pick) {
  const spec = structuredClone(given);
  for (const own of spec.params ?? []) if (own.name === "pick" && pick !== undefined) own.value = pick;
  if (spec.title) {
    spec.title.text = folded(spec.title.text, width / 7.2);
    if (spec.title.subtitle) spec.title.subtitle = folded(spec.title.subtitle, width / 6.4);
  }
  if (spec.facet && pick && choosesPanel(spec)) {
    spec.columns = 1;
    spec.spec.width = Math.min(LARGE, width - 90);
    spec.spec.height = Math.round(0.65 * spec.spec.width);
  } else if (spec.facet) {
    const [side, gap, room] = [spec.spec.width, spec.spacing ?? 20, width - 70 - (narrow(width) ? 0 : legendBeside(spec))];
    spec.columns = Math.max(1, Math.min(spec.columns ?? 1, Math.floor(room / (0.8 * side + gap))));
    const each = Math.max(60, Math.min(1.3 * side, room / spec.columns - gap));
    if (spec.usermeta?.square) spec.spec.height = each;
    spec.spec.width = each;
  } else if (spec.hconcat) {
    const room = width / spec.hconcat.length - BESIDE - 60;
    const below = room < 130;
    for (const part of spec.hconcat) part.width = Math.min(480, below ? Math.max(140, width - BESIDE - 70) : room);
    if (below) [spec.vconcat, spec.hconcat] = [spec.hconcat, undefined];
  } else if (spec.usermeta?.cells) {  // a matrix: cells stay as wide as they are high
    const [columns, rows] = spec.usermeta.cells;
    const side = Math.max(8, Math.min(spec.width / columns, (width - (narrow(width) ? 80 : 2 * BESIDE)) / columns));
    [spec.width, spec.height] = [side * columns, side * rows];
    if (side < 18) spec.layer = spec.layer.filter((layer) => layer.mark.type !== "text");
  } else {
    const beside = namesBeside(spec) ? BESIDE : narrow(width) ? 20 : 20 + legendBeside(spec);
    spec.width = Math.max(140, Math.min(spec.width < 500 ? spec.width : 860, width - 60 - beside));
    aslant(spec);
  }
  return narrow(width) || spec.hconcat?.some((part) => part.width < 240) ? slim(spec) : spec;
}

const narrow = (width) => width < 520;

// Where there is little room: legends of two columns, names along an axis aslant.
function slim(part) {
  if (part === null || typeof part !== "object") return part;
  if (part.labelAngle === 0 && !part.labelExpr) part.labelAngle = -45;
  if (part.legend) part.legend = { ...part.legend, columns: part.type === "quantitative" ? undefined : 2 };
  for (const [key, own] of Object.entries(part)) if (key !== "datasets") slim(own);
  return part;
}

// Names of groups that would run into each other stand aslant.
function aslant(spec) {
  const names = Object.values(spec.datasets ?? {}).flat().map((row) => row.group).filter((name) => name);
  const longest = Math.max(0, ...names.flatMap((name) => name.split("\n")).map((line) => line.length));
  if (new Set(names).size * longest * 6 <= spec.width) return;
  for (const layer of spec.layer ?? []) if (layer.encoding?.x?.axis?.labelAngle === 0) layer.encoding.x.axis.labelAngle = -45;
}

function choosesPanel(spec) {
  return JSON.stringify(spec.transform ?? []).includes(`datum.${spec.facet.field} ==`);
}

function namesBeside(spec) {
  return JSON.stringify(spec.layer ?? []).includes('"label_y"');
}

function legendBeside(spec) {
  const parts = [spec, ...(spec.layer ?? []), ...(spec.spec ? [spec.spec, ...(spec.spec.layer ?? [])] : [])];
  const has = parts.some((part) => ["color", "shape"].some((channel) => {
    const own = part.encoding?.[channel];
    return own?.field && own.legend !== null && own.legend?.orient !== "top";
  }));
  return has ? BESIDE + 20 : 0;
}

// What a tooltip says: a row a field that has a value, escaped.
function rowsOf(value, sanitize) {
  const told = Object.entries(value).filter(([, own]) => !["null", "undefined", "NaN", ""].includes(String(own)));
  const row = ([key, own]) => `<tr><td class="key">${sanitize(key)}</td><td class="value">${sanitize(String(own))}</td></tr>`;
  return `<table>${told.map(row).join("")}</table>`;
}

// Draw a chart and keep it fitted. Returns a function that draws it anew, after a change of theme.
//   box      element that is given the chart, with role img and a label; bind: one for drop-downs
//   looks    {light, dark}: what Vega-Lite calls config; isDark: () => boolean
function fstoreChart(box, spec, { looks, isDark, bind }) {
  let width = 0;
  let drawn = null;
  let pick;
  let turn = 0;
  const draw = async () => {
    const mine = ++turn;
    width = box.clientWidth;
    if (!width) return;  // not shown, as on paper: drawn when it is
    const dark = isDark();
    const look = looks[dark ? "dark" : "light"];
    const legend = { ...look.legend, ...(narrow(width) ? { orient: "bottom", columns: 2 } : {}) };
    const config = { ...look, legend, aria: false, background: "transparent" };
    const tooltip = { theme: dark ? "dark" : "light", formatTooltip: rowsOf };
    const options = { ast: true, actions: false, renderer: "svg", config, tooltip };
    const focused = bind?.contains(document.activeElement);
    if (drawn) drawn.finalize();
    drawn = null;
    if (bind) bind.replaceChildren();
    const inner = document.createElement("div");  // the box itself says in words what is drawn
    inner.setAttribute("aria-hidden", "true");
    box.replaceChildren(inner);
    const result = await vegaEmbed(inner, fitted(spec, width, pick), bind ? { ...options, bind } : options);
    if (mine !== turn) { result.finalize(); return; }
    drawn = result;
    if (spec.params?.some((own) => own.name === "pick")) {
      result.view.addSignalListener("pick", (_, value) => {
        pick = value;
        if (spec.facet && choosesPanel(spec)) draw();
      });
    }
    if (focused) bind.querySelector("select")?.focus();
    box.dataset.drawn = String(turn);
  };
  new ResizeObserver(() => { if (box.clientWidth !== width) draw(); }).observe(box);
  draw();
  return draw;
}

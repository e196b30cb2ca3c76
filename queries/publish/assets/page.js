// Theme, contents and charts of a study's page. No request is made; charts are drawn by Plotly.
"use strict";

const root = document.documentElement;
const wide = matchMedia("(min-width: 52.01rem)");
const darkByDefault = matchMedia("(prefers-color-scheme: dark)");

const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : darkByDefault.matches);

function themeButton(redraw) {
  const button = document.getElementById("theme");
  const tell = () => { button.textContent = isDark() ? "Light" : "Dark"; };
  button.hidden = false;
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("fstore-theme", root.dataset.theme); } catch { /* not kept then */ }
    tell();
    redraw();
  });
  darkByDefault.addEventListener("change", () => { tell(); redraw(); });
  tell();
}

function contents() {
  const box = document.getElementById("contents");
  const fold = () => { box.open = wide.matches; };
  wide.addEventListener("change", fold);
  fold();
}

// Charts

const BUTTONS = [["toImage"], ["zoom2d", "pan2d"], ["zoomIn2d", "zoomOut2d", "resetScale2d"]];

function tokens() {
  const style = getComputedStyle(document.body);
  const probe = document.createElement("span");
  document.body.append(probe);
  const of = (name) => { probe.style.color = `var(${name})`; return getComputedStyle(probe).color; };
  const found = { ink: of("--ink"), muted: of("--muted"), rule: of("--rule"), paper: of("--paper"), font: style.fontFamily };
  probe.remove();
  return found;
}

function coloured(trace, t) {
  const colour = isDark() ? trace.dark : trace.light;
  const own = { ...trace };
  for (const key of ["light", "dark", "facets", "ring"]) delete own[key];
  if (trace.type === "heatmap") {
    const bar = { ...own.colorbar, tickfont: { color: t.muted }, outlinewidth: 0 };
    return { ...own, colorscale: colour, colorbar: bar };
  }
  own.line = { ...own.line, color: colour };
  own.marker = { ...own.marker, color: trace.ring ? t.ink : colour };
  if (own.marker.line) own.marker.line = { ...own.marker.line, color: trace.ring ? t.ink : colour };
  if (own.error_y) own.error_y = { ...own.error_y, color: trace.type === "bar" ? t.ink : colour };
  if (trace.type === "bar") delete own.line;
  return own;
}

function axis(given, t) {
  return {
    gridcolor: t.rule, zerolinecolor: t.rule, linecolor: t.muted, tickcolor: t.muted, automargin: true,
    tickfont: { color: t.muted, size: 12 }, ...given,
    title: given.title ? { ...given.title, standoff: 10, font: { color: t.ink, size: 13 } } : undefined,
  };
}

function layoutOf(spec, t, width) {
  const layout = {
    paper_bgcolor: t.paper, plot_bgcolor: t.paper, font: { family: t.font, color: t.ink, size: 12 },
    margin: { l: width < 500 ? 44 : 60, r: 12, t: 32, b: 50 }, showlegend: false, hovermode: "closest", hoverdistance: 30, dragmode: "zoom", ...spec.layout,
    width, height: Math.min(spec.layout.height || 420, Math.max(360, 1.15 * width)),
    hoverlabel: { bgcolor: t.ink, bordercolor: t.ink, font: { color: t.paper, family: t.font, size: 13 }, align: "left" },
  };
  for (const key of Object.keys(layout)) {
    if (/^[xy]axis\d*$/.test(key)) layout[key] = axis(layout[key], t);
  }
  return layout;
}

// Marks of lines, about (13, 6), as Plotly draws them.
const SYMBOLS = {
  circle: "M8.5 6a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0",
  square: "M9 2h8v8h-8z",
  diamond: "M13 0.5l5.5 5.5l-5.5 5.5l-5.5 -5.5z",
  "triangle-up": "M13 1l5 9h-10z",
  "triangle-down": "M13 11l5 -9h-10z",
  x: "M10 1l3 3l3 -3l2 2l-3 3l3 3l-2 2l-3 -3l-3 3l-2 -2l3 -3l-3 -3z",
  cross: "M11.5 1h3v3.5h3.5v3h-3.5v3.5h-3v-3.5h-3.5v-3h3.5z",
};

function swatch(value) {
  const [w, h] = [26, 12];
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("width", w);
  svg.setAttribute("height", h);
  svg.setAttribute("aria-hidden", "true");
  const dashes = { solid: "", dash: "7 4", dot: "2 4", dashdot: "8 3 2 3" };
  const colour = value.light ? `light-dark(${value.light}, ${value.dark})` : "currentColor";
  const add = (tag, attributes) => {
    const shape = document.createElementNS(svg.namespaceURI, tag);
    for (const [k, v] of Object.entries(attributes)) shape.setAttribute(k, v);
    shape.style[attributes.fill === "none" ? "stroke" : "fill"] = colour;
    svg.append(shape);
  };
  const open = { fill: "none", "stroke-width": 2 };
  if (value.symbol === "circle-open") add("circle", { cx: 13, cy: 6, r: 4, ...open });
  else if (value.symbol === "square" && !value.light) add("rect", { x: 8.5, y: 1.5, width: 9, height: 9 });
  else if (SYMBOLS[value.symbol]) {
    add("path", { d: "M0 6H26", ...open });
    add("path", { d: SYMBOLS[value.symbol], stroke: "none" });
  } else if (value.dash) add("path", { d: "M0 6H26", "stroke-dasharray": dashes[value.dash], ...open });
  else if (value.light) add("rect", { x: 0, y: 2, width: w, height: 8, rx: 1 });
  else return null;
  return svg;
}

function facetControls(spec, chosen, changed) {
  const place = document.getElementById("facets");
  for (const facet of spec.facets) {
    const values = facet.values.map((v) => v.value);
    if (facet.choose) {
      const label = document.createElement("label");
      const select = document.createElement("select");
      if (facet.every) select.append(new Option("all", "\u0000"));
      for (const v of values) select.append(new Option(v, v));
      label.className = "choose";
      label.append(document.createElement("span"), select);
      label.firstChild.textContent = facet.name;
      chosen[facet.name] = new Set(facet.every ? values : values.slice(0, 1));
      select.addEventListener("change", () => {
        chosen[facet.name] = new Set(select.value === "\u0000" ? values : [select.value]);
        changed();
      });
      place.append(label);
      continue;
    }
    const set = document.createElement("fieldset");
    const legend = document.createElement("legend");
    legend.textContent = facet.name;
    set.append(legend);
    chosen[facet.name] = new Set(values);
    for (const value of facet.values) {
      const label = document.createElement("label");
      const box = document.createElement("input");
      box.type = "checkbox";
      box.checked = true;
      box.addEventListener("change", () => {
        chosen[facet.name][box.checked ? "add" : "delete"](value.value);
        changed();
      });
      const sign = swatch(value);
      label.append(box, ...(sign ? [sign] : []), (value.mark ? `${value.mark} ` : "") + value.value);
      set.append(label);
    }
    place.append(set);
  }
}

function chart() {
  const source = document.getElementById("spec");
  const plot = document.getElementById("plot");
  if (!source) return () => {};
  const spec = JSON.parse(source.textContent);
  const chosen = {};
  const shown = (trace) => Object.entries(trace.facets || {}).every(([k, v]) => !chosen[k] || chosen[k].has(v));
  let width = 0;
  const draw = () => {
    const t = tokens();
    width = plot.clientWidth;
    const traces = spec.traces.map((trace) => ({ ...coloured(trace, t), visible: shown(trace) }));
    const config = { displaylogo: false, showSendToCloud: false, plotlyServerURL: "", topojsonURL: "", modeBarButtons: BUTTONS };
    const layout = layoutOf(spec, t, width);
    plot.style.height = `${layout.height}px`;
    return Plotly.react(plot, traces, layout, config);
  };
  facetControls(spec, chosen, draw);
  draw();
  new ResizeObserver(() => { if (plot.clientWidth !== width) draw(); }).observe(plot);
  return draw;
}

// A table that is wider than its box says so: that columns are out of sight, and how many.
function clipped() {
  for (const box of document.querySelectorAll(".scroll")) {
    const hint = document.createElement("p");
    hint.className = "more";
    box.before(hint);
    const tell = () => {
      const edge = box.getBoundingClientRect().right;
      const heads = [...box.querySelectorAll("thead tr:last-child th")];
      const beyond = heads.filter((th) => th.getBoundingClientRect().right > edge + 1).length;
      box.classList.toggle("clipped", box.scrollWidth > box.clientWidth + 1);
      hint.hidden = !beyond;
      hint.textContent = beyond ? `${beyond} more column${beyond > 1 ? "s" : ""} to the right: scroll →` : "";
    };
    box.addEventListener("scroll", tell, { passive: true });
    new ResizeObserver(tell).observe(box);
    tell();
  }
}

contents();
clipped();
themeButton(chart());

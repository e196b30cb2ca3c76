// Theme, contents and charts of a study's page. No request is made; charts are drawn by Vega.
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
  const here = box.querySelector("[aria-current]");
  if (here && wide.matches) box.scrollTop = here.offsetTop - box.clientHeight / 2;
}

// The chart: fitted to its box by chart.js, in the colours of the theme; its drop-downs stand above.
function chart() {
  const source = document.getElementById("spec");
  if (!source) return () => {};
  const { chart: spec, looks } = JSON.parse(source.textContent);
  const bind = document.getElementById("facets");
  return fstoreChart(document.getElementById("plot"), spec, { looks, isDark, bind });
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
      box.classList.toggle("scrolled", box.scrollLeft > 0);
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

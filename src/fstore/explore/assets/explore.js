/* Charts, theme, keys. Pages work without: what they say is in the HTML. */
"use strict";
(() => {
  const root = document.documentElement;
  const looks = JSON.parse(document.getElementById("looks").textContent);
  const dark = () => root.dataset.theme
    ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;

  /* charts */
  async function draw(figure) {
    const spec = JSON.parse(figure.querySelector("script").textContent);
    const place = figure.querySelector(".vega");
    figure.fstoreView?.finalize();
    const made = await vegaEmbed(place, spec, {
      actions: false, ast: true, renderer: "svg", defaultStyle: false, tooltip: { theme: dark() ? "dark" : "light" },
      config: dark() ? looks.dark : looks.light,
    });
    figure.fstoreView = made.view;
    place.querySelector("svg")?.setAttribute("aria-hidden", "true"); /* the label says what it shows */
    figure.dispatchEvent(new CustomEvent("fstore:chart", { detail: made.view, bubbles: true }));
  }
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) { seen.unobserve(entry.target); draw(entry.target); }
  }, { rootMargin: "300px" });
  const watch = (place) => place.querySelectorAll("figure.chart").forEach((f) => seen.observe(f));
  const redraw = () => document.querySelectorAll("figure.chart").forEach((f) => f.fstoreView && draw(f));
  watch(document);
  document.addEventListener("htmx:after:swap", () => watch(document));

  /* theme */
  const button = document.getElementById("theme");
  const name = () => { button.textContent = dark() ? "Light" : "Dark"; button.title = `Change to the ${dark() ? "light" : "dark"} theme`; };
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    try { localStorage.setItem("fstore-theme", root.dataset.theme); } catch { /* only for this page */ }
    name(); redraw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { name(); redraw(); });
  name();

  /* keys */
  const typing = (e) => e.target.closest("input, textarea, select, [contenteditable], .vega");
  document.addEventListener("keydown", (e) => {
    if (typing(e) || e.ctrlKey || e.metaKey || e.altKey) return;
    const go = { ArrowLeft: 'a[rel="prev"]', ArrowRight: 'a[rel="next"]', o: 'a.home' }[e.key];
    if (go) document.querySelector(go)?.click();
    if (e.key === "/") { e.preventDefault(); document.querySelector("main input, main select, main textarea")?.focus(); }
  });

  /* Ctrl-Enter sends a statement */
  document.addEventListener("keydown", (e) => {
    if (e.key === "Enter" && (e.ctrlKey || e.metaKey) && e.target.matches("textarea")) e.target.form.requestSubmit();
  });

  /* a choice in a form with data-auto is asked for at once */
  document.addEventListener("change", (e) => { if (e.target.form?.dataset.auto !== undefined) e.target.form.requestSubmit(); });
})();

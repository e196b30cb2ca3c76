/* The map of samples: points on a canvas, a picture at the pointer or the chosen point, lasso, zoom. */
"use strict";
(() => {
  const RADIUS = 3.4, NEAR = 12, STEP = 4, CORNERS = 120;
  const clamp = (v, low, high) => Math.min(high, Math.max(low, v));
  const shapes = {
    circle: (p, x, y, r) => { p.moveTo(x + r, y); p.arc(x, y, r, 0, 7); },
    square: (p, x, y, r) => p.rect(x - 0.9 * r, y - 0.9 * r, 1.8 * r, 1.8 * r),
    "triangle-up": (p, x, y, r) => turn(p, x, y, [[0, -1.2], [1.1, 0.9], [-1.1, 0.9]], r),
    "triangle-down": (p, x, y, r) => turn(p, x, y, [[0, 1.2], [1.1, -0.9], [-1.1, -0.9]], r),
    "triangle-right": (p, x, y, r) => turn(p, x, y, [[1.2, 0], [-0.9, 1.1], [-0.9, -1.1]], r),
    "triangle-left": (p, x, y, r) => turn(p, x, y, [[-1.2, 0], [0.9, 1.1], [0.9, -1.1]], r),
    diamond: (p, x, y, r) => turn(p, x, y, [[0, -1.3], [1.3, 0], [0, 1.3], [-1.3, 0]], r),
    cross: (p, x, y, r) => { p.rect(x - 0.4 * r, y - 1.2 * r, 0.8 * r, 2.4 * r); p.rect(x - 1.2 * r, y - 0.4 * r, 2.4 * r, 0.8 * r); },
  };
  const turn = (path, x, y, corners, r) => {
    corners.forEach(([a, b], i) => path[i ? "lineTo" : "moveTo"](x + r * a, y + r * b));
    path.closePath();
  };

  class SampleMap {
    constructor(place) {
      this.place = place;
      this.canvas = place.querySelector("canvas");
      this.card = place.querySelector(".card");
      this.said = place.querySelector("output");
      this.bar = place.parentElement.querySelector(".mapbar");
      this.corners = place.dataset.corners ? JSON.parse(place.dataset.corners) : null;
      this.does = "lasso";
      this.at = -1;
      this.line = null;
      this.bar.hidden = place.parentElement.querySelector(".keys").hidden = false;
    }

    async start() {
      const answer = await fetch(this.place.dataset.points);
      if (!answer.ok) { this.said.classList.remove("hidden"); this.said.textContent = "The points could not be loaded."; return; }
      this.data = await answer.json();
      this.listen();
      this.resize();
      new ResizeObserver(() => this.resize()).observe(this.canvas);
    }

    /* where things are */
    resize() {
      const box = this.canvas.getBoundingClientRect(), ratio = devicePixelRatio || 1;
      if (!box.width) return;
      const first = !this.width;
      const middle = first ? null : this.middle();
      this.width = box.width; this.height = box.height; this.ratio = ratio;
      this.canvas.width = Math.round(box.width * ratio); this.canvas.height = Math.round(box.height * ratio);
      if (first) { this.whole(); this.fromAddress(); } else this.centre(...middle);
      this.draw();
    }
    whole() {
      const { x, y } = this.data;
      const ends = (v) => v.reduce(([low, high], n) => [Math.min(low, n), Math.max(high, n)], [Infinity, -Infinity]);
      const [x0, x1] = ends(x), [y0, y1] = ends(y), pad = 18;
      this.scale = this.fit = Math.min((this.width - 2 * pad) / (x1 - x0 || 1), (this.height - 2 * pad) / (y1 - y0 || 1));
      this.centre((x0 + x1) / 2, (y0 + y1) / 2);
    }
    centre(x, y) { this.dx = this.width / 2 - this.scale * x; this.dy = this.height / 2 + this.scale * y; }
    middle() { return this.back(this.width / 2, this.height / 2); }
    px(i) { return this.dx + this.scale * this.data.x[i]; }
    py(i) { return this.dy - this.scale * this.data.y[i]; }
    back(px, py) { return [(px - this.dx) / this.scale, (this.dy - py) / this.scale]; }
    fromAddress() {
      const zoom = (new URLSearchParams(location.search).get("zoom") || "").split(",").map(Number);
      if (zoom.length === 3 && zoom.every(Number.isFinite)) { this.scale = this.fit * clamp(zoom[2], 0.5, 500); this.centre(zoom[0], zoom[1]); }
    }
    zoomText() {
      const [x, y] = this.middle();
      return [x.toPrecision(5), y.toPrecision(5), (this.scale / this.fit).toPrecision(4)].map(Number).join(",");
    }
    keep() {
      clearTimeout(this.later);
      this.later = setTimeout(() => {
        const here = new URL(location.href);
        here.searchParams.set("zoom", this.zoomText());
        history.replaceState(history.state, "", here);
      }, 300);
    }
    zoom(factor, px = this.width / 2, py = this.height / 2) {
      const [x, y] = this.back(px, py);
      this.scale = clamp(this.scale * factor, this.fit * 0.5, this.fit * 500);
      this.dx = px - this.scale * x; this.dy = py + this.scale * y;
      this.hideCard(); this.draw(); this.keep();
    }

    /* drawing */
    draw() {
      cancelAnimationFrame(this.frame);
      this.frame = requestAnimationFrame(() => this.paint());
    }
    paint() {
      const c = this.canvas.getContext("2d"), style = getComputedStyle(this.place);
      const ink = style.color, { group, groups } = this.data, n = group.length;
      c.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
      c.clearRect(0, 0, this.width, this.height);
      const r = RADIUS * clamp(Math.sqrt(this.scale / this.fit), 0.8, 2);
      const paths = groups.map(() => new Path2D()), rest = new Path2D();
      for (let i = 0; i < n; i++) {
        const x = this.px(i), y = this.py(i);
        if (x < -9 || y < -9 || x > this.width + 9 || y > this.height + 9) continue;
        if (group[i] < 0) shapes.circle(rest, x, y, 0.7 * r); else shapes[groups[group[i]].shape](paths[group[i]], x, y, r);
      }
      c.globalAlpha = 0.4; c.strokeStyle = ink; c.lineWidth = 1; c.stroke(rest);
      c.globalAlpha = 0.85;
      paths.forEach((path, g) => { c.fillStyle = groups[g].color; c.fill(path); });
      c.globalAlpha = 1;
      if (this.line) this.outline(c, ink, this.line, false);
      else if (this.corners) this.outline(c, ink, this.corners.map(([x, y]) => [this.dx + this.scale * x, this.dy - this.scale * y]), true);
      if (this.at >= 0) { c.strokeStyle = ink; c.lineWidth = 2; c.beginPath(); c.arc(this.px(this.at), this.py(this.at), r + 4, 0, 7); c.stroke(); }
    }
    outline(c, ink, corners, closed) {
      c.beginPath();
      corners.forEach(([x, y], i) => (i ? c.lineTo(x, y) : c.moveTo(x, y)));
      if (closed) c.closePath();
      c.strokeStyle = ink; c.lineWidth = 1.5; c.setLineDash([5, 3]); c.stroke(); c.setLineDash([]);
      c.globalAlpha = 0.07; c.fillStyle = ink; c.fill("evenodd"); c.globalAlpha = 1;
    }

    /* one point */
    nearest(px, py, within = NEAR) {
      let best = -1, least = within * within;
      for (let i = 0; i < this.data.x.length; i++) {
        const d = (this.px(i) - px) ** 2 + (this.py(i) - py) ** 2;
        if (d < least) { least = d; best = i; }
      }
      return best;
    }
    beside(key) {
      const [ux, uy] = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
      if (this.at < 0) return this.nearest(this.width / 2, this.height / 2, Infinity);
      const x0 = this.px(this.at), y0 = this.py(this.at);
      let best = this.at, least = Infinity;
      for (let i = 0; i < this.data.x.length; i++) {
        const x = this.px(i) - x0, y = this.py(i) - y0, along = x * ux + y * uy;
        if (along <= 0.5) continue;
        const cost = along + 3 * Math.abs(x * uy - y * ux);
        if (cost < least) { least = cost; best = i; }
      }
      return best;
    }
    told(i) { return this.data.shown[i].map((c) => this.data.classes[c]).join(", "); }
    link(i) { return `${this.place.dataset.image}&sample=${this.data.id[i]}`; }
    show(i, pinned = false) {
      this.at = i;
      if (i < 0) { this.hideCard(); return; }
      const x = this.px(i), y = this.py(i);
      const image = this.card.querySelector("img") || this.picture(), source = `${this.place.dataset.thumb}&sample=${this.data.id[i]}`;
      if (image.getAttribute("src") !== source) image.src = source;
      image.alt = `Sample ${this.data.id[i]}`;
      this.card.querySelector("a").href = this.link(i);
      this.card.querySelector("span").textContent = `${this.data.id[i]}${this.told(i) ? ": " + this.told(i) : ""}`;
      this.card.hidden = false;
      this.card.classList.toggle("pinned", pinned);
      this.pinned = pinned;
      const w = this.card.offsetWidth, h = this.card.offsetHeight;
      this.card.style.left = `${clamp(x + 14 + w > this.width ? x - 14 - w : x + 14, 0, Math.max(0, this.width - w))}px`;
      this.card.style.top = `${clamp(y - h / 2, 0, Math.max(0, this.height - h))}px`;
      this.draw();
    }
    picture() { // there from when a point is shown: an image without an address would be a broken one
      const image = Object.assign(new Image(128, 128), { alt: "" });
      this.card.querySelector("a").append(image);
      return image;
    }
    hideCard() { this.at = -1; this.pinned = false; this.card.hidden = true; this.draw(); }
    seen(i) {
      const x = this.px(i), y = this.py(i), edge = 30;
      if (x < edge || y < edge || x > this.width - edge || y > this.height - edge) { this.centre(this.data.x[i], this.data.y[i]); this.keep(); }
    }

    /* pointer, wheel, keys */
    listen() {
      const c = this.canvas;
      const spot = (e) => { const b = c.getBoundingClientRect(); return [e.clientX - b.left, e.clientY - b.top]; };
      c.addEventListener("pointerdown", (e) => {
        if (e.button) return;
        c.setPointerCapture(e.pointerId);
        this.from = spot(e); this.moved = false;
        this.line = this.does === "lasso" ? [this.from] : null;
      });
      c.addEventListener("pointermove", (e) => {
        const [x, y] = spot(e);
        if (!this.from) { if (!this.pinned) { const i = this.nearest(x, y); if (i !== this.at) this.show(i); } return; }
        const [px, py] = this.line ? this.line[this.line.length - 1] : this.from;
        if (Math.hypot(x - px, y - py) < STEP) return;
        if (!this.moved) this.hideCard();
        this.moved = true;
        if (this.line) this.line.push([x, y]);
        else { this.dx += x - px; this.dy += y - py; this.from = [x, y]; }
        this.draw();
      });
      c.addEventListener("pointerup", (e) => {
        const line = this.line, spotted = spot(e);
        this.from = this.line = null;
        if (!this.moved) this.show(this.nearest(...spotted), true);
        else if (line) this.select(line); else this.keep();
        this.draw();
      });
      c.addEventListener("pointercancel", () => { this.from = this.line = null; this.draw(); });
      c.addEventListener("pointerleave", () => { if (!this.pinned && !this.from) this.hideCard(); });
      c.addEventListener("wheel", (e) => {
        if (document.activeElement !== c && !e.ctrlKey) return;
        e.preventDefault();
        this.zoom(Math.exp(-e.deltaY * 0.002), ...spot(e));
      }, { passive: false });
      c.addEventListener("keydown", (e) => this.key(e));
      c.addEventListener("blur", () => { if (!this.card.matches(":hover")) this.hideCard(); });
      this.bar.addEventListener("click", (e) => this.press(e.target.closest("[data-do]")));
      new MutationObserver(() => this.draw()).observe(document.documentElement, { attributeFilter: ["data-theme"] });
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    }
    key(e) {
      if (e.ctrlKey || e.metaKey || e.altKey) return;
      if (e.key.startsWith("Arrow")) {
        const i = this.beside(e.key);
        if (i >= 0) { this.seen(i); this.show(i, true); this.said.textContent = `Sample ${this.data.id[i]} ${this.told(i)}`; }
      } else if (e.key === "Enter" && this.at >= 0) location.assign(this.link(this.at));
      else if (e.key === "+" || e.key === "=") this.zoom(1.5);
      else if (e.key === "-") this.zoom(1 / 1.5);
      else if (e.key === "0") { this.whole(); this.hideCard(); this.keep(); }
      else if (e.key === "Escape") { this.line = this.from = null; this.hideCard(); }
      else return;
      e.preventDefault(); e.stopPropagation();
    }
    press(button) {
      if (!button) return;
      const what = button.dataset.do;
      if (what === "in") this.zoom(1.5);
      else if (what === "out") this.zoom(1 / 1.5);
      else if (what === "all") { this.whole(); this.hideCard(); this.keep(); }
      else {
        this.does = this.place.dataset.does = what;
        this.bar.querySelectorAll("[aria-pressed]").forEach((b) => b.setAttribute("aria-pressed", String(b === button)));
      }
    }

    /* the outline goes into the address; the server says what lies inside */
    select(line) {
      const every = Math.ceil(line.length / CORNERS), kept = line.filter((_, i) => i % every === 0);
      const size = (v) => Math.max(...v) - Math.min(...v);
      if (kept.length < 3 || size(kept.map((p) => p[0])) < 5 || size(kept.map((p) => p[1])) < 5) return;
      const digits = clamp(Math.ceil(Math.log10(this.scale)) + 1, 0, 12); // a tenth of a pixel
      const text = kept.map((p) => this.back(...p).map((v) => Number(v.toFixed(digits))).join(",")).join(" ");
      const zoomed = Math.abs(this.scale / this.fit - 1) > 0.01 || new URLSearchParams(location.search).has("zoom");
      location.assign(`${this.place.dataset.select}&polygon=${encodeURIComponent(text)}${zoomed ? `&zoom=${this.zoomText()}` : ""}`);
    }
  }

  const look = () => document.querySelectorAll(".map:not([data-on])").forEach((place) => { place.dataset.on = ""; new SampleMap(place).start(); });
  document.addEventListener("htmx:after:swap", look);
  look();
})();
